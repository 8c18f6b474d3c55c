#!/usr/bin/env bash
# pretty_midi's piano roll on the grid of its own notes loses the first note and has the others one step early.
#
# Versions: pretty_midi 0.2.11.post0, mido 1.3.3, setuptools 80.9.0, numpy 2.4.6; Python 3.11. Date: 2026-11-29.
# Behaviour: 64 sixteenth notes, one after the other, each of another pitch, are written to a file and read again.
#   get_piano_roll(fs=1 / sixteenth) cuts start * fs down to an integer. A file has the tempo in whole microseconds, so at
#   many tempos all times are a little early, and every note falls into the column before its own; the first one has no
#   column left, and there are 63. At other tempos all are right. times=, "of the start of each column", always leaves
#   the last column silent, and mixes neighbours into the others.
# A good guess: times are rounded to the nearest step; a roll at the rate of a piece's shortest note has its notes.
# Seen: columns, then how many of the 64 notes are alone in the column that is theirs
#   100 bpm: by fs 64 columns, 64 right; by times 64 columns, 63 right
#   130 bpm: by fs 63 columns, 0 right; by times 64 columns, 29 right
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pretty_midi==0.2.11.post0 mido==1.3.3 numpy==2.4.6 setuptools==80.9.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
from pretty_midi import Instrument, Note, PrettyMIDI

NOTES, FIRST = 64, 30


def right(roll):
    """How many columns hold their own note and no other."""
    own = np.zeros((128, NOTES), bool)
    own[FIRST + np.arange(NOTES), np.arange(NOTES)] = True
    columns = min(NOTES, roll.shape[1])
    return int(((roll[:, :columns] > 0) == own[:, :columns]).all(axis=0).sum())


seen = {100: (64, 64, 64, 63), 130: (63, 0, 64, 29)}
for tempo in seen:
    step = 60 / tempo / 4
    music, instrument = PrettyMIDI(initial_tempo=tempo), Instrument(0)
    instrument.notes = [Note(80, FIRST + k, k * step, (k + 1) * step) for k in range(NOTES)]
    music.instruments.append(instrument)
    music.write("notes.mid")
    read = PrettyMIDI("notes.mid")
    by_number = [round(note.start / step) for note in read.instruments[0].notes]
    assert by_number == list(range(NOTES))  # the file is exact enough
    by_fs, by_times = read.get_piano_roll(fs=1 / step), read.get_piano_roll(times=np.arange(NOTES) * step)
    found = (by_fs.shape[1], right(by_fs), by_times.shape[1], right(by_times))
    print("{} bpm: by fs {} columns, {} right; by times {} columns, {} right".format(tempo, *found))
    if found != seen[tempo]:
        sys.exit(f"CHANGED: pretty_midi's piano rolls at {tempo} bpm are {found}")
PYTHON
