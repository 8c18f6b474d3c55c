"""MXNet: run with it (Python 3.8, NumPy before 1.24), records what it computes. See `record`."""

import sys

import mxnet as mx
import numpy as np
from cases import B, Draws, H, I, P, T, case, write
from mxnet import autograd, nd


def recorded(kind, n, layers=1, directions=1, **options):
    """A case of one of Gluon's layers; its lengths are ignored on the CPU, so there are none."""
    draws = Draws()
    net = getattr(mx.gluon.rnn, kind)(H, num_layers=layers, bidirectional=directions == 2, input_size=I, **options)
    net.initialize()
    params = {name[len(net.prefix) :]: p for name, p in net.collect_params().items()}
    for _, p in sorted(params.items()):
        p.set_data(nd.array(draws(*p.shape)))
    xs, cells = nd.array(draws(T, B, I)), layers * directions
    widths = [options.get("projection_size") or H, H][:n]
    states = [nd.array(draws(cells, B, width)) for width in widths]
    gs, g_finals = draws(T, B, directions * widths[0]), [draws(cells, B, width) for width in widths]
    for a in (xs, *states):
        a.attach_grad()
    plain = lambda arrays: [tuple(np.asarray(a)[k] for a in arrays) for k in range(cells)]
    weights, first = {name: p.data().asnumpy() for name, p in params.items()}, plain([s.asnumpy() for s in states])
    if options.get("projection_size"):  # of which it computes no gradient on the CPU
        outputs, finals = net(xs, states)
        results = outputs.asnumpy(), plain([s.asnumpy() for s in finals])
        return case(weights, xs.asnumpy(), first, results, (gs, plain(g_finals)), {})
    with autograd.record():
        outputs, finals = net(xs, states)
        total = (nd.array(gs) * outputs).sum()
        for g, s in zip(g_finals, finals):
            total = total + (nd.array(g) * s).sum()
    total.backward()
    grads = {"weights/" + name: p.grad().asnumpy() for name, p in params.items()}
    grads["xs"] = xs.grad.asnumpy()
    grads.update({f"state/{k}/{j}": s.grad.asnumpy()[k] for j, s in enumerate(states) for k in range(cells)})
    results = outputs.asnumpy(), plain([s.asnumpy() for s in finals])
    return case(weights, xs.asnumpy(), first, results, (gs, plain(g_finals)), grads)


CASES = {}
for kind, n, options in (("LSTM", 2, {}), ("GRU", 1, {}), ("RNN", 1, {}), ("RNN", 1, {"activation": "tanh"})):
    name = "mxnet.gluon.rnn." + kind + ("(activation='tanh')" if options else "")
    CASES[name] = recorded(kind, n, **options)
    CASES[name + ", 2 layers, 2 directions"] = recorded(kind, n, 2, 2, **options)
for layers, directions in ((1, 1), (2, 2)):
    more = ", 2 layers, 2 directions" if layers > 1 else ""
    CASES["mxnet.gluon.rnn.LSTM, projection" + more] = recorded("LSTM", 2, layers, directions, projection_size=P)

if __name__ == "__main__":
    write(sys.argv[1], CASES, {"mxnet": mx.__version__})
