"""`compile`: a function runs once, as a trace, and is replayed from then on as a list of NumPy calls.

Where to read: README.md, which follows one function through it, and tells what each file is.
"""
