"""Chapter 8: run a record again."""

import minigrad as mg


def replay(tape, x):
    values = [x]
    for entry in tape[1:]:
        inputs = [values[a.number] if isinstance(a, mg.inspect.Entry) else a for a in entry.arguments]
        values.append(entry.node.primitive(*inputs, **entry.static))
    return values[-1]
