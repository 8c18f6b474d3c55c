"""Chainer: run with it (Python 3.8, NumPy before 1.24), records what it computes. See `record`."""

import sys
import warnings

import numpy as np
from cases import LENGTHS, B, Draws, H, I, T, case, past_end, write

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import chainer
    from chainer import Variable, functions, links


def drawn(link, draws):
    """Fill a link's parameters; returns them by the names that `save_npz` gives them."""
    params = {name.lstrip("/"): p for name, p in sorted(link.namedparams())}
    for p in params.values():
        p.array = draws(*p.shape)
    link.cleargrads()
    return params


def gradients(params, xs, states):
    """Gradients under the names of a case."""
    found = {"weights/" + name: p.grad for name, p in params.items()}
    found["xs"] = xs.grad
    found.update({f"state/{k}/{j}": s.grad for k, parts in enumerate(states) for j, s in enumerate(parts)})
    return found


def sums(gs, results):
    return sum((functions.sum(g * y) for g, y in zip(gs, results)), 0)


def link_case(kind, n):
    """L.LSTM and StatefulGRU, which keep their state; in the tool's order c, h."""
    draws = Draws()
    link = getattr(links, kind)(I, H)
    params = drawn(link, draws)
    xs, states = Variable(draws(T, B, I)), [tuple(Variable(draws(B, H)) for _ in range(n))]
    gs = draws(T, B, H), [tuple(draws(B, H) for _ in range(n))]
    link.set_state(*states[0])
    outputs = functions.stack([link(xs[t]) for t in range(T)])
    final = (link.c, link.h) if n == 2 else (link.h,)
    sums([gs[0], *gs[1][0]], [outputs, *final]).backward()
    plain = lambda cells: [tuple(s.array for s in parts) for parts in cells]
    weights = {name: p.array for name, p in params.items()}
    results = outputs.array, plain([final])
    return case(weights, xs.array, plain(states), results, gs, gradients(params, xs, states))


def steps_case(kind, n, layers, directions, lengths):
    """NStep links: sequences in a list, the longest first; here they are put in order and back."""
    draws = Draws()
    link = getattr(links, kind)(layers, I, H, 0.0)
    params = drawn(link, draws)
    xs, cells = Variable(draws(T, B, I)), layers * directions
    states = [tuple(Variable(draws(B, H)) for _ in range(n)) for _ in range(cells)]
    gs = past_end(draws(T, B, directions * H), lengths), [tuple(draws(B, H) for _ in range(n)) for _ in range(cells)]
    order = np.argsort(-lengths, kind="stable")
    back = np.argsort(order)
    first = [functions.stack([parts[j] for parts in states])[:, order] for j in range(n)]
    *final, ys = link(*first, [xs[: lengths[b], b] for b in order])
    final = [s[:, back] for s in final]
    outputs = functions.pad_sequence([ys[k] for k in back], T).transpose(1, 0, 2)
    finals = [tuple(s[k] for s in final) for k in range(cells)]
    flat = lambda cells: [s for parts in cells for s in parts]
    sums([gs[0], *flat(gs[1])], [outputs, *flat(finals)]).backward()
    plain = lambda cells: [tuple(s.array for s in parts) for parts in cells]
    weights = {name: p.array for name, p in params.items()}
    results = outputs.array, plain(finals)
    return case(weights, xs.array, plain(states), results, gs, gradients(params, xs, states), lengths)


CASES = {"chainer.links.LSTM": link_case("LSTM", 2), "chainer.links.StatefulGRU": link_case("StatefulGRU", 1)}
CASES["chainer.links.StatefulMGU"] = link_case("StatefulMGU", 1)
for kind, n in (("LSTM", 2), ("GRU", 1), ("RNNTanh", 1), ("RNNReLU", 1)):
    for directions, name in ((1, "NStep" + kind), (2, "NStepBi" + kind)):
        if name == "NStepBiRNNReLU":
            continue
        case_name = f"chainer.links.{name}, 2 layers, {directions} directions, lengths"
        CASES[case_name.replace("1 directions", "1 direction")] = steps_case(name, n, 2, directions, LENGTHS)

if __name__ == "__main__":
    write(sys.argv[1], CASES, {"chainer": chainer.__version__})
