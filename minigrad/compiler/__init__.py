"""`compile`: a function runs once, as a trace, and is replayed from then on as a flat list of NumPy calls.

Where to read: `trace` (what is called), `listing` and `instruction` (how it is written down), `outline` (what need not
be computed meanwhile), `passes` and `batches` (how the list is rewritten), `places` and `collecting` (where values
lie), `calls` and `program` (the replay).
"""
