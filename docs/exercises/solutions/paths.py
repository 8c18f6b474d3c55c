"""Chapter 1: the walk with the rule `lambda g, ...: g` for every input."""


def paths(tape):
    ways = [0] * len(tape)
    ways[-1] = 1
    for k in range(len(tape) - 1, -1, -1):
        for n in tape[k].inputs:
            ways[n] += ways[k]
    return ways
