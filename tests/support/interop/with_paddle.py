"""PaddlePaddle: run with it, records what it computes. See `record`."""

import sys
import warnings

import numpy as np
from cases import LENGTHS, B, Draws, H, I, P, T, case, past_end, write

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import paddle


def recorded(kind, layers=1, directions=1, lengths=None, **options):
    """A case of one of Paddle's modules."""
    draws, both = Draws(), "bidirect" if directions == 2 else "forward"
    net = getattr(paddle.nn, kind)(I, H, num_layers=layers, direction=both, time_major=True, **options)
    with paddle.no_grad():
        for p in net.parameters():
            p.set_value(draws(*p.shape))
    widths = ([options.get("proj_size") or H] + ([H] if kind == "LSTM" else []))  # fmt: skip
    tensor = lambda a: paddle.to_tensor(a, stop_gradient=False)
    states = [tensor(draws(layers * directions, B, width)) for width in widths]
    xs, gs = tensor(draws(T, B, I)), draws(T, B, directions * widths[0])
    g_finals = [draws(*s.shape) for s in states]
    gs = gs if lengths is None else past_end(gs, lengths)
    state = tuple(states) if len(states) == 2 else states[0]
    outputs, final = net(xs, state, None if lengths is None else paddle.to_tensor(lengths))
    finals = list(final) if len(states) == 2 else [final]
    total = (paddle.to_tensor(gs) * outputs).sum()
    for g, s in zip(g_finals, finals):
        total = total + (paddle.to_tensor(g) * s).sum()
    total.backward()
    cells = lambda arrays: [tuple(np.asarray(a)[k] for a in arrays) for k in range(layers * directions)]
    weights = {name: p.numpy() for name, p in net.state_dict().items()}
    grads = {f"weights/{name}": p.grad.numpy() for name, p in net.state_dict().items()} | {"xs": xs.grad.numpy()}
    grads |= {f"state/{k}/{j}": s.grad.numpy()[k] for j, s in enumerate(states) for k in range(layers * directions)}
    results = outputs.numpy(), cells([s.numpy() for s in finals])
    return case(weights, xs.numpy(), cells([s.numpy() for s in states]), results, (gs, cells(g_finals)), grads, lengths)


def cell_case(kind, n):
    """A case of a cell, in paddle.nn.RNN."""
    draws, cell = Draws(), getattr(paddle.nn, kind)(I, H)
    with paddle.no_grad():
        for p in cell.parameters():
            p.set_value(draws(*p.shape))
    tensor = lambda a: paddle.to_tensor(a, stop_gradient=False)
    xs, states = tensor(draws(T, B, I)), [tensor(draws(B, H)) for _ in range(n)]
    gs, g_finals = draws(T, B, H), [draws(B, H) for _ in range(n)]
    outputs, final = paddle.nn.RNN(cell, time_major=True)(xs, tuple(states) if n == 2 else states[0])
    finals = list(final) if n == 2 else [final]
    total = (paddle.to_tensor(gs) * outputs).sum()
    for g, s in zip(g_finals, finals):
        total = total + (paddle.to_tensor(g) * s).sum()
    total.backward()
    weights = {name: p.numpy() for name, p in cell.state_dict().items()}
    grads = {f"weights/{name}": p.grad.numpy() for name, p in cell.state_dict().items()} | {"xs": xs.grad.numpy()}
    grads |= {f"state/0/{j}": s.grad.numpy() for j, s in enumerate(states)}
    results = outputs.numpy(), [tuple(s.numpy() for s in finals)]
    return case(weights, xs.numpy(), [tuple(s.numpy() for s in states)], results, (gs, [tuple(g_finals)]), grads)


CASES = {}
for kind, n in (("LSTMCell", 2), ("GRUCell", 1), ("SimpleRNNCell", 1)):
    CASES[f"paddle.nn.{kind}"] = cell_case(kind, n)
for kind, options in (("LSTM", {}), ("GRU", {}), ("SimpleRNN", {}), ("SimpleRNN", {"activation": "relu"})):
    name = f"paddle.nn.{kind}" + ("(activation='relu')" if options else "")
    CASES[name] = recorded(kind, **options)
    CASES[f"{name}, 2 layers, 2 directions, lengths"] = recorded(kind, 2, 2, LENGTHS, **options)
    # whose gradients are all right, unlike those of the backward direction with lengths
    CASES[f"{name}, 2 layers, 2 directions"] = recorded(kind, 2, 2, **options)
    CASES[f"{name}, 2 layers, lengths"] = recorded(kind, 2, 1, LENGTHS, **options)
for layers, directions in ((1, 1), (2, 2)):
    more = f", {layers} layers, {directions} directions" if layers > 1 else ""
    CASES[f"paddle.nn.LSTM, projection{more}"] = recorded("LSTM", layers, directions, proj_size=P)

if __name__ == "__main__":
    write(sys.argv[1], CASES, {"paddle": paddle.__version__})
