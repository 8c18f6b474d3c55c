"""Chapter 1: how many ways lead from the result to each entry? Test it: pytest docs/exercises/test_paths.py"""


def paths(tape):
    """A list with, for each entry of the tape, the number of ways that lead to it from the result, the last entry.

    `tape[k].inputs` are the numbers of the entries that entry k was computed from; x * x has x twice.
    """
    raise NotImplementedError(
        "Chapter 1: write paths() in docs/exercises/paths.py. One way leads to the result; go from the last entry to "
        "the first, as walk() does, and hand on to the inputs what has arrived."
    )
