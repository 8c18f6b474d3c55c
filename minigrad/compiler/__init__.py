"""`compile`: a function runs once, as a trace, and is replayed from then on as a flat list of NumPy calls.

Where to read: `trace` (what is written down), `passes` and `batches` (how the list is rewritten), `places` (where
values lie), `program` (the replay).
"""
