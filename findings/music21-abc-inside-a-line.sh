#!/usr/bin/env bash
# music21 reads ABC tunes without changes of key and note length inside a line, and without the rests x and Z.
#
# Versions: music21 10.5.1, abcjs 6.7.2; Python 3.11, Node 18 or later. Date: 2026-11-29.
# Behaviour: [K:D] and [L:1/16] in a line of notes, where ABC 2.1 allows them, have no effect on the notes that follow;
#   on a line of their own, K:D and L:1/16 have. A rest x (not printed) or Z (a whole bar) is left out, so all that
#   follows comes early; z is kept. A sharp counts for its own note only, not for the rest of the bar, unless the file
#   begins with %abc-2.1, of which only the reference of music21.abcFormat speaks; few tunes have it. No message.
# A good guess: what a reader for music does not know it reports, and a sharp holds to the end of its bar.
# Seen: pitches as MIDI numbers with starts in quarters, by music21 and by abcjs (abc2midi writes the same as abcjs)
#   F2[K:D]F2: music21 65@0 65@1, abcjs 65@0 66@1
#   A2[L:1/16]A2A2: music21 69@0 69@1 69@2, abcjs 69@0 69@1 69@1.5
#   x2A2: music21 69@0, abcjs 69@1
#   Z|A2: music21 69@0, abcjs 69@4
#   z2A2: music21 69@1, abcjs 69@1
#   ^F2F2: music21 66@0 65@1, abcjs 66@0 66@1
#   ^F2F2 of a file of %abc-2.1: music21 66@0 66@1, abcjs 66@0 66@1
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet music21==10.5.1
npm install --silent --no-fund --no-audit --prefix "$work" abcjs@6.7.2
cat > notes.js <<'NODE'
const abcjs = require("abcjs");
const [tune] = abcjs.parseOnly(require("fs").readFileSync(0, "utf8"));
const notes = tune.setUpAudio({}).tracks[0].filter((event) => event.cmd === "note");
console.log(notes.map((event) => `${event.pitch}@${4 * event.start}`).join(" "));
NODE
cat > program.py <<'PYTHON'
import subprocess
import sys

from music21 import converter


def by_music21(tune):
    notes = converter.parse(tune, format="abc").flatten().notes
    return " ".join(f"{note.pitch.midi}@{float(note.offset):g}" for note in notes)


def by_abcjs(tune):
    return subprocess.run(["node", "notes.js"], input=tune, check=True, capture_output=True, text=True).stdout.strip()


cases = [
    ("", "F2[K:D]F2", "65@0 65@1", "65@0 66@1"),
    ("", "A2[L:1/16]A2A2", "69@0 69@1 69@2", "69@0 69@1 69@1.5"),
    ("", "x2A2", "69@0", "69@1"),
    ("", "Z|A2", "69@0", "69@4"),
    ("", "z2A2", "69@1", "69@1"),
    ("", "^F2F2", "66@0 65@1", "66@0 66@1"),
    ("%abc-2.1", "^F2F2", "66@0 66@1", "66@0 66@1"),
]
for version, notes, *seen in cases:
    tune = f"{version}\n".lstrip() + f"X:1\nT:tune\nM:4/4\nL:1/8\nK:C\n{notes}|\n"
    found = [by_music21(tune), by_abcjs(tune)]
    print(f"{notes}{version and f' of a file of {version}'}: music21 {found[0]}, abcjs {found[1]}")
    if found != seen:
        sys.exit(f"CHANGED: {notes} is read differently")
PYTHON
"$work/venv/bin/python" -W ignore program.py
