#!/usr/bin/env bash
# Paddle's recurrent layers return wrong gradients for their backward direction, given lengths and an initial state.
#
# Versions: paddlepaddle 3.3.1; Python 3.11, CPU. Date: 2026-11-28.
# Behaviour: with sequence_length shorter than the padding and initial states, results are right, but of the gradients
#   of a bidirectional LSTM or SimpleRNN that of the backward direction's weight_hh is wrong, and of a GRU all of that
#   direction. Without lengths, or from states of zeros, all are right.
# A good guess: gradients are those of the results, as finite differences in the same tool have them.
# Seen: the worst difference between a gradient and central differences, float64; 0 is below 1e-6
#   LSTM        lengths 5 5  0           lengths 5 3  0.0428 weight_hh_l0_reverse    from zeros 0
#   GRU         lengths 5 5  0           lengths 5 3  1.55 weight_ih_l0_reverse      from zeros 0
#   SimpleRNN   lengths 5 5  0           lengths 5 3  0.943 weight_hh_l0_reverse     from zeros 0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet paddlepaddle==3.3.1
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
import paddle

paddle.set_default_dtype("float64")
T, B, I, H, step = 5, 2, 2, 3, 1e-5


def worst(kind, lengths, scale):
    """The largest difference between a gradient of a weight and a central difference, and whose it is."""
    rng = np.random.default_rng(0)
    net = getattr(paddle.nn, kind)(I, H, direction="bidirect", time_major=True)
    for p in net.parameters():
        p.set_value(0.7 * rng.standard_normal(p.shape))
    x = paddle.to_tensor(rng.standard_normal((T, B, I)))
    h = paddle.to_tensor(scale * rng.standard_normal((2, B, H)))
    state, lengths = (h, h) if kind == "LSTM" else h, paddle.to_tensor(lengths)

    def loss():
        return (net(x, state, lengths)[0] ** 2).sum()

    loss().backward()
    found = (0.0, "")
    for name, p in net.state_dict().items():
        if name.startswith("0."):  # each is listed twice
            continue
        g, value = p.grad.numpy(), p.numpy().copy()
        for k in np.ndindex(*value.shape):
            ends = []
            for sign in (1, -1):
                moved = value.copy()
                moved[k] += sign * step
                p.set_value(moved)
                ends.append(float(loss()))
            p.set_value(value)
            found = max(found, (abs((ends[0] - ends[1]) / (2 * step) - g[k]), name))
    return found if found[0] > 1e-6 else (0.0, "")


expected = {"LSTM": "weight_hh_l0_reverse", "GRU": "weight_ih_l0_reverse", "SimpleRNN": "weight_hh_l0_reverse"}
for kind, name in expected.items():
    full, short, zeros = worst(kind, [5, 5], 1), worst(kind, [5, 3], 1), worst(kind, [5, 3], 0)
    print(f"{kind:<11} lengths 5 5  {full[0]:<10.3g}  lengths 5 3  {short[0]:.3g} {short[1]:<24} from zeros {zeros[0]:.3g}")
    if full[0] or zeros[0] or short[0] < 0.01 or short[1] != name:
        sys.exit(f"CHANGED: gradients of {kind} with lengths and a state: {full}, {short}, {zeros}")
PYTHON
