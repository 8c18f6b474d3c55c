#!/usr/bin/env bash
# MXNet's recurrent layers drop nothing between their layers on the CPU, and clip no state, without a word.
#
# Versions: mxnet 1.9.1, numpy 1.23.5; Python 3.11, CPU. Date: 2026-11-28.
# Behaviour: gluon.rnn.LSTM, GRU and RNN of two layers with dropout=0.9 compute in training, twice, exactly what they
#   compute with dropout=0, and an LSTM with state_clip_max=0.1 keeps states of 0.28. Dropout by itself works there, and
#   cells with a DropoutCell between them do drop.
# A good guess: as on a GPU, nine of ten inputs of the second layer are 0 in training, or an error says that it is not
#   supported, as one does for the gradient of a projection.
# Seen:
#   LSTM  dropout 0.9 in training: two runs differ by 0, from dropout 0 by 0
#   GRU   dropout 0.9 in training: two runs differ by 0, from dropout 0 by 0
#   RNN   dropout 0.9 in training: two runs differ by 0, from dropout 0 by 0
#   cells with a DropoutCell between them: two runs differ by 0.69
#   LSTM  state_clip_max 0.1: the largest C is 0.282
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==1.23.5 mxnet==1.9.1
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import mxnet as mx
from mxnet import autograd, nd

rnn = mx.gluon.rnn
mx.random.seed(0)
x = nd.random.normal(shape=(5, 2, 2))


def like(net, other):
    """`other` with the weights of `net`."""
    other.initialize()
    for (_, p), (_, q) in zip(sorted(net.collect_params().items()), sorted(other.collect_params().items())):
        q.set_data(p.data())
    return other


def gap(a, b):
    return float(nd.abs(a - b).max().asscalar())


for kind in ("LSTM", "GRU", "RNN"):
    make = getattr(rnn, kind)
    dropping = make(30, num_layers=2, dropout=0.9, input_size=2)
    dropping.initialize(mx.init.Normal(0.5))
    plain = like(dropping, make(30, num_layers=2, dropout=0.0, input_size=2))
    with autograd.record(train_mode=True):
        runs, without = [dropping(x), dropping(x)], plain(x)
    twice, changed = gap(*runs), gap(runs[0], without)
    print(f"{kind:<5} dropout 0.9 in training: two runs differ by {twice:.2g}, from dropout 0 by {changed:.2g}")
    if twice or changed:
        sys.exit(f"CHANGED: {kind} drops between its layers")

stack = rnn.SequentialRNNCell()
for cell in (rnn.LSTMCell(30, input_size=2), rnn.DropoutCell(0.5), rnn.LSTMCell(30, input_size=30)):
    stack.add(cell)
stack.initialize(mx.init.Normal(0.5))
with autograd.record(train_mode=True):
    runs = [stack.unroll(5, x, layout="TNC", merge_outputs=True)[0] for _ in range(2)]
print(f"cells with a DropoutCell between them: two runs differ by {gap(*runs):.2f}")
if not gap(*runs):
    sys.exit("CHANGED: DropoutCell drops nothing either")

free = rnn.LSTM(3, input_size=2)
free.initialize(mx.init.Normal(1.0))
clipped = like(free, rnn.LSTM(3, input_size=2, state_clip_min=-0.1, state_clip_max=0.1))
_, (_, C) = clipped(3 * x, [nd.zeros((1, 2, 3)), nd.zeros((1, 2, 3))])
largest = float(nd.abs(C).max().asscalar())
print(f"LSTM  state_clip_max 0.1: the largest C is {largest:.3g}")
if largest <= 0.1:
    sys.exit("CHANGED: the state is clipped")
PYTHON
