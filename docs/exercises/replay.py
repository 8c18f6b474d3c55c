"""Chapter 8: run a record again. Test it: pytest docs/exercises/test_replay.py"""


def replay(tape, x):
    """What the function that made this tape returns for another x: the value of the last entry.

    Entry 0 is x, all others are calls of primitives. `entry.arguments` has an Entry or a constant for each input.
    """
    raise NotImplementedError(
        "Chapter 8: write replay() in docs/exercises/replay.py. Keep a list of values, one for each entry, that begins "
        "with x; for each further entry, oldest first, call entry.node.primitive on the values of its arguments."
    )
