#!/usr/bin/env bash
# Match error rate and word information of TorchMetrics and torcheval are wrong where a word is lost and another added.
#
# Versions: torchmetrics 1.9.0, torcheval 0.0.7, jiwer 4.0.0, torch 2.13.0, numpy 2.4.6; Python 3.11, CPU.
#   Date: 2026-11-29.
# Behaviour: match_error_rate (MER), word_information_preserved (WIP) and word_information_lost (WIL) count the words
#   that match as the longer length minus the edit distance. That is too few as soon as a sentence has a deletion and an
#   insertion. jiwer counts them along the alignment, as the definition does (Morris, Maier and Green 2004). The word
#   error rate is right. It is issue 3511 of TorchMetrics, whose page gives the formula with the alignment's counts;
#   torcheval has the same fault, and no MER.
# A good guess: three numbers of a published definition, tested against jiwer, as TorchMetrics' are.
# Seen: MER, WIP and WIL
#   'a b c d' for 'a x c d': jiwer 0.25 0.56 0.44, TorchMetrics 0.25 0.56 0.44, torcheval - 0.56 0.44
#   'b c d e' for 'a b c d': jiwer 0.40 0.56 0.44, TorchMetrics 0.50 0.25 0.75, torcheval - 0.25 0.75
#   'b c x d e' for 'a b c d': jiwer 0.50 0.45 0.55, TorchMetrics 0.60 0.20 0.80, torcheval - 0.20 0.80
#   the word error rate of the last: jiwer 0.75, TorchMetrics 0.75, torcheval 0.75
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torchmetrics==1.9.0 torcheval==0.0.7 jiwer==4.0.0 torch==2.13.0 numpy==2.4.6
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import jiwer
import torcheval.metrics.functional as torcheval
import torchmetrics.functional.text as torchmetrics

# reference, hypothesis, words that match, edit distance: each has one best alignment, found by hand
cases = [
    ("a x c d", "a b c d", 3, 1, True),
    ("a b c d", "b c d e", 3, 2, False),
    ("a b c d", "b c x d e", 3, 3, False),
]
for reference, hypothesis, matches, distance, right in cases:
    preserved = matches / len(reference.split()) * matches / len(hypothesis.split())
    exact = [distance / (matches + distance), preserved, 1 - preserved]
    pair = [hypothesis], [reference]
    measures = jiwer.process_words(reference, hypothesis)
    found = {
        "jiwer": [measures.mer, measures.wip, measures.wil],
        "TorchMetrics": [
            torchmetrics.match_error_rate(*pair).item(),
            torchmetrics.word_information_preserved(*pair).item(),
            torchmetrics.word_information_lost(*pair).item(),
        ],
        "torcheval": [
            None,
            torcheval.word_information_preserved(*pair).item(),
            torcheval.word_information_lost(*pair).item(),
        ],
    }
    shown = [" ".join([name] + ["-" if v is None else f"{v:.2f}" for v in values]) for name, values in found.items()]
    print(f"{hypothesis!r} for {reference!r}: {', '.join(shown)}")
    for name, values in found.items():
        close = [abs(v - e) < 1e-6 for v, e in zip(values, exact) if v is not None]
        if not all(close) if right or name == "jiwer" else any(close):
            sys.exit(f"CHANGED: {name} has other measures of {hypothesis!r} for {reference!r}")
rates = [jiwer.wer(*pair[::-1]), torchmetrics.word_error_rate(*pair).item(), torcheval.word_error_rate(*pair).item()]
print("the word error rate of the last: jiwer {:.2f}, TorchMetrics {:.2f}, torcheval {:.2f}".format(*rates))
assert all(abs(rate - distance / 4) < 1e-6 for rate in rates)
PYTHON
