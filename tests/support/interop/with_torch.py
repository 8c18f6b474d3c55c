"""PyTorch: run with it, records what it computes. See `record`."""

import sys

import torch
from cases import LENGTHS, B, Draws, H, I, P, T, case, past_end, write


def recorded(kind, layers=1, directions=1, lengths=None, **options):
    """A case of one of PyTorch's modules; a cell is unrolled."""
    draws, cell = Draws(), kind.endswith("Cell")
    more = {} if cell else {"num_layers": layers, "bidirectional": directions == 2}
    net = getattr(torch.nn, kind)(I, H, **more, **options)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.tensor(draws(*p.shape)))
    widths = [options.get("proj_size") or H] + ([H] if "LSTM" in kind else [])
    tensor = lambda a: torch.tensor(a, requires_grad=True)
    states = [tensor(draws(layers * directions, B, width)) for width in widths]
    xs, gs, g_finals = tensor(draws(T, B, I)), draws(T, B, directions * widths[0]), [draws(*s.shape) for s in states]
    gs = gs if lengths is None else past_end(gs, lengths)
    state = tuple(states) if len(states) == 2 else states[0]
    if cell:
        ys, state = [], tuple(s[0] for s in states) if len(states) == 2 else states[0][0]
        for x in xs:
            state = net(x, state)
            ys.append(state[0] if len(states) == 2 else state)
        outputs, final = torch.stack(ys), state
    elif lengths is None:
        outputs, final = net(xs, state)
    else:
        packing = torch.nn.utils.rnn
        packed = packing.pack_padded_sequence(xs, torch.tensor(lengths), enforce_sorted=False)
        outputs, final = net(packed, state)
        outputs = packing.pad_packed_sequence(outputs)[0]
    finals = [s.reshape(layers * directions, B, -1) for s in (final if len(states) == 2 else [final])]
    total = (torch.tensor(gs) * outputs).sum()
    for g, s in zip(g_finals, finals, strict=True):
        total = total + (torch.tensor(g) * s).sum()
    total.backward()
    cells = lambda arrays: [tuple(a[k] for a in arrays) for k in range(layers * directions)]
    plain = lambda tensors: [t.detach().numpy() for t in tensors]
    weights = {name: p.detach().numpy() for name, p in net.named_parameters()}
    grads = {f"weights/{name}": p.grad.numpy() for name, p in net.named_parameters()} | {"xs": xs.grad.numpy()}
    grads |= {f"state/{k}/{j}": s.grad.numpy()[k] for j, s in enumerate(states) for k in range(layers * directions)}
    results = outputs.detach().numpy(), cells(plain(finals))
    return case(weights, xs.detach().numpy(), cells(plain(states)), results, (gs, cells(g_finals)), grads, lengths)


CASES = {}
RELU = {"nonlinearity": "relu"}
for kind, options in (("LSTM", {}), ("GRU", {}), ("RNN", {}), ("RNN", RELU)):
    more = "(nonlinearity='relu')" if options else ""
    CASES[f"torch.nn.{kind}{more}"] = recorded(kind, **options)
    CASES[f"torch.nn.{kind}{more}, 2 layers, 2 directions, lengths"] = recorded(kind, 2, 2, LENGTHS, **options)
    CASES[f"torch.nn.{kind}Cell{more}"] = recorded(f"{kind}Cell", **options)
CASES["torch.nn.LSTM, projection, 2 layers, 2 directions, lengths"] = recorded("LSTM", 2, 2, LENGTHS, proj_size=P)
CASES["torch.nn.GRU, no bias"] = recorded("GRU", bias=False)

if __name__ == "__main__":
    write(sys.argv[1], CASES, {"torch": torch.__version__})
