"""Checkpoints of `char_lm`: everything that the next step depends on, in one `.safetensors` file.

    model.*      the weights                          settings    the options, as JSON
    optimizer.*  its moments and number of steps      vocabulary  the characters, in the order of their numbers
    state.*      the recurrent state (B, H)           random      the generator's state, as JSON
    history.*    losses of steps and validations      text        SHA-256 of the text; the place in it follows from
                                                                  the number of steps

So a run that was stopped and resumed goes on bit for bit as if it had not been stopped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
import nn

from .char_lm_model import CharLM, Run
from .char_lm_options import Settings
from .common import UserError, set_aside


def digest(text: str) -> str:
    """What tells one text from another."""
    return hashlib.sha256(text.encode()).hexdigest()


LAST, BEST = "checkpoint.safetensors", "best.safetensors"
METADATA = {"settings", "vocabulary", "random", "text", "seconds"}


class Checkpoint(NamedTuple):
    """What a file holds."""

    path: str
    settings: Settings
    vocabulary: str
    text: str
    arrays: dict[str, np.ndarray]
    random: list[dict[str, Any]]  # of each rank
    seconds: float

    def part(self, name: str) -> dict[str, np.ndarray]:
        """The arrays whose names start with `name.`, without it."""
        return {key.removeprefix(f"{name}."): a for key, a in self.arrays.items() if key.startswith(f"{name}.")}


def read(path: str) -> Checkpoint:
    """Raises UserError if there is no such file, or it is not a whole checkpoint."""
    try:
        arrays, metadata = nn.load(path)
    except ModuleNotFoundError as error:
        raise UserError(str(error)) from error
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or 'there is no such checkpoint'}") from error
    except ValueError as error:
        raise UserError(f"{path} is no checkpoint, or it is damaged: {error}") from error
    try:
        if metadata.keys() != METADATA:  # `nn.load` takes a checksum whose name is damaged for one more text
            raise KeyError(*metadata.keys() ^ METADATA)
        settings = Settings.from_json(metadata["settings"])
        random, seconds = json.loads(metadata["random"]), float(metadata["seconds"])
        random = random if isinstance(random, list) else [random]
        return Checkpoint(path, settings, metadata["vocabulary"], metadata["text"], arrays, random, seconds)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is not a checkpoint of this program, or of another version of it") from error


def gathered(run: Run) -> tuple[dict[str, np.ndarray], Any]:
    """The recurrent state of all rows, and the generators' states of all ranks, or of the one that there is."""
    leaves = [np.concatenate(run.ranks.gather(leaf.data)) for leaf in mg.tree_leaves(run.state)]
    random = run.ranks.gather(run.rng.bit_generator.state)
    return {str(k): leaf for k, leaf in enumerate(leaves)}, random if len(random) > 1 else random[0]


def write(path: Path, run: Run, text: str, state: dict[str, np.ndarray], random: Any) -> None:
    """Save a run, with what is `gathered`; the file that was there before is replaced when the new one is whole.

    Raises:
        UserError: if the file cannot be written.
    """
    parts: dict[str, Mapping[str, Any]] = {
        "model": run.model.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "state": state,
        "history": {
            "losses": np.array(run.losses, np.float64),
            "validations": np.array(run.validations, np.float64).reshape(-1, 2),  # rows (step, loss)
        },
    }
    arrays = {f"{part}.{name}": array for part, named in parts.items() for name, array in named.items()}
    metadata = {
        "settings": run.settings.to_json(),
        "vocabulary": run.vocabulary,
        "random": json.dumps(random),
        "text": text,
        "seconds": repr(run.seconds),
    }
    try:
        nn.save(path, arrays, metadata)
    except OSError as error:
        raise UserError(f"cannot save {path}: {error.strerror}") from error


def restore(run: Run, checkpoint: Checkpoint) -> None:
    """Set a new run of the same settings to where the checkpoint's run was.

    Raises:
        UserError: if the arrays do not fit, which only happens to a damaged file.
    """
    _restore_model(run.model, checkpoint)
    try:
        run.optimizer.load_state_dict(checkpoint.part("optimizer"))
        leaves = checkpoint.part("state")
        names = iter(range(len(leaves)))
        whole = run.settings.batch_size
        run.state = mg.tree_map(lambda zero: _like(zero, leaves[str(next(names))], whole, run.rows), run.state)
        history = checkpoint.part("history")
        run.losses = history["losses"].tolist()
        validations = [(int(n), v) for n, v in history["validations"].tolist()]
        run.best = min(validations, key=lambda v: v[1], default=None)
        # the validation after a run's last step belongs to that run; a longer one has those at regular intervals
        every = checkpoint.settings.validate_every
        run.validations = [(n, v) for n, v in validations if every and not n % every]
        if len(checkpoint.random) == run.ranks.size:
            run.rng.bit_generator.state = checkpoint.random[run.ranks.rank]
        else:
            run.rng.bit_generator.state = run.ranks.rng([run.settings.seed, run.step]).bit_generator.state
    except (KeyError, TypeError, ValueError, StopIteration) as error:
        raise UserError(f"{checkpoint.path} is damaged: {error}") from error
    run.seconds = checkpoint.seconds


def read_model(path: str) -> tuple[Checkpoint, CharLM]:
    """A checkpoint and its model; of a folder, the one that validated best.

    Raises:
        UserError: as `read` does, or if the weights are not of this model, or not finite.
    """
    if Path(path).is_dir():
        path = str(next((file for name in (BEST, LAST) if (file := Path(path, name)).exists()), Path(path, BEST)))
    checkpoint = read(path)
    model = CharLM(len(checkpoint.vocabulary), checkpoint.settings, np.random.default_rng())
    _restore_model(model, checkpoint)
    return checkpoint, model


def _restore_model(model: CharLM, checkpoint: Checkpoint) -> None:
    try:
        model.load_state_dict(checkpoint.part("model"))
    except ValueError as error:
        raise UserError(f"{checkpoint.path} is damaged: {error}") from error
    for name, array in checkpoint.part("model").items():
        if not np.isfinite(array).all():
            raise UserError(
                f"{checkpoint.path}: the weights {name} are not finite, so that this model is of no use: take another "
                f"checkpoint, or train with a smaller --lr than {checkpoint.settings.lr:g}"
            )


def _like(zero: mg.Tensor, array: np.ndarray, B: int, rows: slice) -> mg.Tensor:
    """These rows of a state of B, which must be like `zero`."""
    expected = (B, *zero.shape[1:])
    if (array.shape, array.dtype) != (expected, zero.dtype):
        raise ValueError(f"a recurrent state of {array.shape} {array.dtype} instead of {expected} {zero.dtype}")
    return mg.tensor(array[rows])


class Keeper:
    """Saves a run in a folder: what it was last as checkpoint.safetensors, and as best.safetensors what validated best.

    Those of an earlier run are set aside at the first save, unless this run goes on from one of them (`resume`).
    """

    def __init__(self, folder: Path, run: Run, text: str, resume: str | None) -> None:
        self.run, self.text = run, text
        self.last, self.best = folder / LAST, folder / BEST
        there = [path for path in (self.last, self.best) if path.exists()]
        goes_on = resume is not None and any(path.samefile(resume) for path in there)
        self.earlier = [path for path in there if not (goes_on and (path == self.best or path.samefile(str(resume))))]
        if not run.ranks.broadcast(goes_on and self.best.exists()):
            run.best = None

    def save(self) -> None:
        """Write the run, twice if it has just been validated, and better than ever."""
        state, random = gathered(self.run)
        if self.run.ranks.rank:
            return
        for path in self.earlier:
            set_aside(path)
        self.earlier = []
        write(self.last, self.run, self.text, state, random)
        if self.run.best and self.run.best[0] == self.run.step:
            write(self.best, self.run, self.text, state, random)
