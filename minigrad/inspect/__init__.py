"""Look at a record: `tape` prints, draws and shows it, `explain` goes through its backward pass step by step.

Where to read: `entries` (the tape as a sequence), `folding` (what repeats), `table` (the tape as text), `rules` (the
text of a derivative rule), `explanation` (the backward pass, step by step), `draw` (pictures), `page` (a page for the
browser), `run` (`tape` and `explain` themselves). Nothing here is needed to compute; the engine knows nothing of it.
"""

from .entries import Entry, Tape
from .explanation import Explanation, Step
from .lookup import ByEntry
from .run import explain, tape

__all__ = ["ByEntry", "Entry", "Explanation", "Step", "Tape", "explain", "tape"]
