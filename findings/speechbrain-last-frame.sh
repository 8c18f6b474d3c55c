#!/usr/bin/env bash
# SpeechBrain's recurrent layers leave out the last step of some sequences of a padded batch, as length 6 of 37.
#
# Versions: speechbrain 1.1.2, torch 2.13.0, torchaudio 2.11.0, numpy 2.4.6; Python 3.11, CPU. Date: 2026-11-29.
# Behaviour: lengths are fractions of the longest sequence, in float32, as PaddedBatch makes them. RNN, LSTM and GRU
#   multiply them by the number of steps and pass the product on to pack_padded_sequence, which cuts it to an integer:
#   6 / 37 * 37 is 5.9999995 and becomes 5. The outputs of the last step are 0, the final state and all outputs of a
#   backward direction are other ones. No message. A length of 1 becomes 0 and raises. The losses of the same package
#   round.
# A good guess: a batch's lengths come back as they went in; a padded batch gives what its sequences give alone.
# Seen: without torchaudio's compiled part, which needs CUDA's libraries and is not used
#   of 7140 pairs of a length and a longer one up to 120: 247 are one step short, 12 raise
#   6 of 36 steps: difference from the sequence alone 0.000
#   6 of 37 steps: difference from the sequence alone 0.368
#   6 of 37 steps, both directions: by steps 0.00 0.01 0.03 0.06 0.12 0.58
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet speechbrain==1.1.2 torch==2.13.0 torchaudio==2.11.0 numpy==2.4.6
rm -f "$work"/venv/lib/python3*/site-packages/torchaudio/lib/*.so
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import torch
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.nnet import RNN

pairs, short, refused = 0, 0, 0
for T in range(2, 121):
    for length in range(1, T):
        pairs += 1
        batch = PaddedBatch([{"x": torch.zeros(T, 1)}, {"x": torch.zeros(length, 1)}])
        try:
            packed = RNN.pack_padded_sequence(batch.x.data, batch.x.lengths)
        except RuntimeError:
            refused += 1
            continue
        steps = int((packed.batch_sizes >= 2).sum())
        assert steps in (length, length - 1)
        short += steps < length
print(f"of {pairs} pairs of a length and a longer one up to 120: {short} are one step short, {refused} raise")
if (short, refused) != (247, 12):
    sys.exit("CHANGED: SpeechBrain packs sequences of other lengths")


def differences(net, T, length):
    """The outputs of a sequence in a batch and alone, (length, features)."""
    long, sequence = torch.randn(T, 2), torch.randn(length, 2)
    batch = PaddedBatch([{"x": long}, {"x": sequence}])
    with torch.no_grad():
        return (net(batch.x.data, lengths=batch.x.lengths)[0][1, :length] - net(sequence[None])[0][0]).abs().amax(1)


torch.manual_seed(0)
one, two = (RNN.GRU(hidden_size=3, input_size=2, bidirectional=both) for both in (False, True))
right, wrong = (differences(one, T, 6).max().item() for T in (36, 37))
print(f"6 of 36 steps: difference from the sequence alone {right:.3f}")
print(f"6 of 37 steps: difference from the sequence alone {wrong:.3f}")
by_step = differences(two, 37, 6)
print("6 of 37 steps, both directions: by steps", " ".join(f"{d:.2f}" for d in by_step.tolist()))
if right > 1e-6 or wrong < 0.01 or not (by_step > 1e-3).all():
    sys.exit("CHANGED: SpeechBrain's GRU runs over other steps")
PYTHON
