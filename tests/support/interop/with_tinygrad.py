"""tinygrad: run with it, records what it computes. See `record`."""

import sys
from importlib.metadata import version

from cases import B, Draws, H, I, T, case, write
from tinygrad import Tensor
from tinygrad.nn import LSTMCell
from tinygrad.nn.state import get_state_dict


def recorded(bias=True):
    """A case of the cell, unrolled."""
    draws, cell = Draws(), LSTMCell(I, H, bias)
    weights = {name: draws(*p.shape) for name, p in sorted(get_state_dict(cell).items())}
    own = {name: Tensor(a) for name, a in weights.items()}
    for name, p in own.items():
        setattr(cell, name, p)
    xs, states = draws(T, B, I), [(draws(B, H), draws(B, H))]
    gs = draws(T, B, H), [(draws(B, H), draws(B, H))]
    x, first = Tensor(xs), [Tensor(s) for s in states[0]]
    state, outputs = tuple(first), []
    for t in range(T):
        state = cell(x[t], state)
        outputs.append(state[0])
    ys = Tensor.stack(*outputs)
    total = (Tensor(gs[0]) * ys).sum() + sum((Tensor(g) * s).sum() for g, s in zip(gs[1][0], state))
    leaves = [*own.values(), x, *first]
    by = {id(leaf): g for leaf, g in zip(leaves, total.gradient(*leaves))}
    grads = {f"weights/{name}": by[id(p)].numpy() for name, p in own.items()} | {"xs": by[id(x)].numpy()}
    grads |= {f"state/0/{j}": by[id(s)].numpy() for j, s in enumerate(first)}
    return case(weights, xs, states, (ys.numpy(), [tuple(s.numpy() for s in state)]), gs, grads)


CASES = {"tinygrad.nn.LSTMCell": recorded(), "tinygrad.nn.LSTMCell, no bias": recorded(False)}

if __name__ == "__main__":
    write(sys.argv[1], CASES, {"tinygrad": version("tinygrad")})
