"""The character-level language model, run as a program: what it learns, keeps, refuses and prints."""

from __future__ import annotations

import functools
import io
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from char_lm_runs import PERIOD, assert_same_run, contents, train

import minigrad as mg
import nn
from examples import char_lm, char_lm_checkpoint, char_lm_model
from examples.char_lm_data import encode, frequency_loss, read_text, split
from examples.char_lm_options import LEARNING_RATES, OPTIONS, Settings

# --- learning and writing -------------------------------------------------------------------------------------------


def test_it_learns_a_periodic_text(trained: Path) -> None:
    arrays, _ = nn.load(trained)
    _, ids = encode(PERIOD * 50)
    training, validation, _ = split(ids, Settings(batch_size=4, seq_length=10))
    last = arrays["history.validations"][-1]
    assert last[0] == 250
    assert last[1] < 0.1 * frequency_loss(training, validation, ids.max() + 1)


def test_it_writes_what_it_learnt(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert char_lm.main(["sample", str(trained), "--prime", PERIOD, "--length", "90", "--temperature", "0"]) == 0
    assert capsys.readouterr().out == PERIOD * 3 + "\n"


def write(capsys: pytest.CaptureFixture[str], checkpoint: Path, *options: str) -> str:
    assert char_lm.main(["sample", str(checkpoint), "--length", "60", *options]) == 0
    return capsys.readouterr().out


def test_a_seed_makes_writing_reproducible(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, again, other = (write(capsys, trained, "--temperature", "2", "--seed", seed) for seed in "778")
    assert one == again != other
    assert len(one) == 61


def test_a_low_temperature_is_greedy(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = {
        write(capsys, trained, "--temperature", t, "--seed", "3", "--prime", "the ") for t in ("0", "1e-4", "1e-300")
    }
    assert len(texts) == 1


def test_temperature_scales_the_logits(trained: Path) -> None:
    run_of = lambda temperature: "".join(
        char_lm_model.generate(model, vocabulary, "q", 1000, temperature, np.random.default_rng(0))
    )
    checkpoint, model = char_lm_checkpoint.read_model(str(trained))
    vocabulary = checkpoint.vocabulary
    for parameter in model.parameters():
        parameter.data = np.zeros(parameter.shape)
    bias = np.zeros(len(vocabulary))
    bias[0] = 3.0  # with all other weights 0 the first character has p = e^(3/t) / (e^(3/t) + V - 1)
    model.output.b.data = bias
    for temperature in (0.5, 1.0, 3.0):
        p = np.exp(3 / temperature) / (np.exp(3 / temperature) + len(vocabulary) - 1)
        assert abs(run_of(temperature).count(vocabulary[0]) / 1000 - p) < 4 * np.sqrt(p * (1 - p) / 1000)


@pytest.mark.parametrize(
    "options",
    [
        "--cell rnn --layers 2 --dropout 0.3",
        "--cell gru --layers 2 --optimizer adamw --weight-decay 0.01",
        "--cell lstm --init uniform --init-scale 0.1 --forget-bias 2 --clip-value 0.1",
        "--optimizer rmsprop --rms-decay 0.95 --schedule exponential",
        "--optimizer sgd --momentum 0.8 --schedule constant --clip-norm 1",
        "--optimizer adagrad --split rows --val-fraction 0.2",
    ],
)
def test_every_option_trains(options: str, text: str, tmp_path: Path) -> None:
    assert train(text, *options.split(), "--steps", 30, "--out", tmp_path) == 0
    losses = contents(tmp_path)[0]["history.losses"]
    assert losses[-5:].mean() < losses[:5].mean()


def test_there_is_no_option_without_effect(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mg, "compile", lambda f: f)
    changed = {
        "split": "rows", "val_fraction": 0.2, "test_fraction": 0.1, "seq_length": 9, "batch_size": 3, "cell": "gru",
        "hidden": 9, "layers": 2, "dropout": 0.5, "init": "uniform", "init_scale": 0.3, "forget_bias": 3,
        "optimizer": "sgd", "lr": 0.5, "schedule": "constant", "schedule_steps": 9, "rms_decay": 0.5, "momentum": 0.2,
        "weight_decay": 0.1, "clip_norm": 1e-3, "clip_value": 1e-4, "steps": 6, "minutes": 1e-9, "epochs": 1,
        "seed": 1, "validate_every": 3,
    }  # fmt: skip
    elsewhere = {"sample_every", "eager", "decay", "decay_after", "patience"}  # in tests of their own
    assert changed.keys() | elsewhere == OPTIONS.keys()

    @functools.cache
    def result(*options: str) -> dict[str, np.ndarray]:
        folder = tmp_path / " ".join(options)
        assert train(text, *options, "--quiet", "--out", folder) == 0
        return contents(folder)[0]

    for name, value in changed.items():
        only = OPTIONS[name].metadata.get("only", ())
        together = [f"--{only[0]}", only[1]] if only else []
        steps = [] if name in ("steps", "minutes", "epochs") else ["--steps", "5"]
        option = f"--{name.replace('_', '-')}", str(value)
        results = result("--steps", "5", *together), result(*steps, *together, *option)
        same = results[0].keys() == results[1].keys() and all(
            np.array_equal(results[0][key], results[1][key]) for key in results[0]
        )
        assert not same, f"{name} changed nothing"


def test_steps_are_compiled_unless_eager_is_asked_for(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    traced, compile_ = [], mg.compile
    monkeypatch.setattr(mg, "compile", lambda f: traced.append(compile_(f)) or traced[-1])
    options = ["--steps", "8", "--dropout", "0.3"]
    assert train(text, *options, "--out", tmp_path / "compiled") == 0
    assert [step.program is not None for step in traced] == [True]
    assert train(text, *options, "--eager", "--out", tmp_path / "eager") == 0
    assert len(traced) == 1
    compiled, eager = (contents(tmp_path / name)[0] for name in ("compiled", "eager"))
    np.testing.assert_allclose(compiled["history.losses"], eager["history.losses"], rtol=1e-4)


def test_defaults_that_depend_on_other_options_are_filled_in() -> None:
    for name, lr in LEARNING_RATES.items():
        assert Settings(optimizer=name).complete().lr == lr
    assert Settings().complete().clip_norm == 5
    assert Settings(clip_value=1.0).complete().clip_norm == 0


def test_a_time_budget_ends_the_run(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mg, "compile", lambda f: f)  # takes longer than a step
    assert train(text, "--minutes", 0.002, "--out", tmp_path) == 0
    arrays, metadata = contents(tmp_path)
    assert len(arrays["history.losses"]) > 1
    assert 0.12 <= float(metadata["seconds"]) < 20


def test_standard_input_is_read(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path(text).read_bytes())))
    assert train("-", "--steps", 3, "--out", tmp_path / "a") == 0
    assert train(text, "--steps", 3, "--out", tmp_path / "b") == 0
    assert_same_run(tmp_path / "a", tmp_path / "b")


def test_files_are_read_one_after_the_other_without_marks_and_carriage_returns(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfone\r\n")
    (tmp_path / "b").write_bytes("zwei ö\n".encode())
    assert read_text([str(tmp_path / "b"), str(tmp_path / "a")]) == "zwei ö\none\n"


def test_the_default_text_is_the_language_reference() -> None:
    text = read_text([])
    assert len(text) > 300_000
    assert text.startswith('The "assert" statement')


@pytest.mark.parametrize(("kind", "starts_anew"), [("tail", True), ("rows", False)])
def test_an_epoch_starts_from_a_zero_state_in_tail_and_not_in_rows(
    kind: str, starts_anew: bool, text: str, tmp_path: Path
) -> None:
    still = ["--optimizer", "sgd", "--lr", "1e-30", "--momentum", "0", "--split", kind]  # the weights do not change
    states = []
    for steps in (1, 22):  # an epoch has 21 batches
        assert train(text, *still, "--steps", steps, "--out", tmp_path / str(steps)) == 0
        states.append(contents(tmp_path / str(steps))[0]["state.0"])
    assert np.array_equal(*states) == starts_anew


# --- stopping and going on ------------------------------------------------------------------------------------------

RESUMABLE = {
    "an LSTM with dropout and a schedule": "--layers 2 --dropout 0.2 --schedule-steps 30",
    "a GRU with RMSprop": "--cell gru --optimizer rmsprop --schedule constant",
    "a simple RNN with momentum in rows": "--cell rnn --optimizer sgd --split rows --schedule constant --lr 0.1",
}


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The folder of a run of 30 steps with some options, made when it is first asked for."""
    made: dict[str, Path] = {}

    def run_of(options: str, text: str) -> Path:
        if options not in made:
            made[options] = tmp_path_factory.mktemp("whole")
            assert train(text, *options.split(), "--steps", 30, "--out", made[options]) == 0
        return made[options]

    return run_of


@pytest.mark.parametrize("options", RESUMABLE.values(), ids=RESUMABLE.keys())
@pytest.mark.parametrize("stop", [14, 18, 25])  # an epoch has 21 batches
def test_a_resumed_run_is_bit_identical(options: str, stop: int, text: str, tmp_path: Path, whole_run: Any) -> None:
    whole, parts = whole_run(options, text), tmp_path / "parts"
    assert train(text, *options.split(), "--steps", stop, "--out", parts) == 0
    assert len(contents(parts)[0]["history.losses"]) == stop
    assert char_lm.main(["--resume", str(parts / "checkpoint.safetensors"), "--steps", "30"]) == 0
    assert_same_run(whole, parts)
    assert len(contents(whole)[0]["history.losses"]) == 30


def interrupt_at(step: int, monkeypatch: pytest.MonkeyPatch, signum: int = signal.SIGINT) -> None:
    """Have a signal arrive in the middle of a step."""
    detach, calls = nn.detach, []

    def detach_and_raise(state: Any) -> Any:
        calls.append(1)
        if len(calls) == step:
            signal.raise_signal(signum)
        return detach(state)

    monkeypatch.setattr(nn, "detach", detach_and_raise)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_and_says_how_to_resume(
    signum: int, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "with space"
    before = signal.getsignal(signum)
    assert train(text, "--steps", 40, "--out", whole) == 0
    with monkeypatch.context() as patch:
        interrupt_at(17, patch, signum)
        capsys.readouterr()
        assert train(text, "--steps", 40, "--out", parts) == 128 + signum
    (line,) = capsys.readouterr().err.splitlines()
    assert "step 17" in line
    resume = f"python -m examples.char_lm --resume '{parts}/checkpoint.safetensors'"
    assert line.endswith(resume)
    assert char_lm.main(["--resume", str(parts / "checkpoint.safetensors")]) == 0
    assert_same_run(whole, parts)
    assert signal.getsignal(signum) is before


def test_the_checkpoint_of_an_earlier_run_is_kept(text: str, tmp_path: Path) -> None:
    assert train(text, "--steps", 3, "--out", tmp_path) == 0
    first = (tmp_path / "checkpoint.safetensors").read_bytes()
    assert train(text, "--steps", 2, "--out", tmp_path) == 0
    assert (tmp_path / "previous.checkpoint.safetensors").read_bytes() == first


def test_a_checkpoint_holds_no_pickle_and_nothing_but_numbers(trained: Path) -> None:
    header = int.from_bytes(trained.read_bytes()[:8], "little")
    assert trained.read_bytes()[8:9] == b"{"
    assert header < trained.stat().st_size
    arrays, metadata = nn.load(trained)
    assert {a.dtype.kind for a in arrays.values()} <= set("fi")
    assert metadata.keys() == char_lm_checkpoint.METADATA


def test_a_changed_bit_anywhere_in_a_checkpoint_is_noticed(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = trained.read_bytes()
    damaged = tmp_path / "damaged.safetensors"
    rng = np.random.default_rng(0)
    for place in [*rng.integers(0, len(whole), 30), *rng.integers(0, 2000, 30)]:  # numbers, and names and text
        data = bytearray(whole)
        data[place] ^= 1 << rng.integers(8)
        damaged.write_bytes(data)
        capsys.readouterr()
        assert char_lm.main(["sample", str(damaged), "--length", "1"]) == 2, f"byte {place}"
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.pictures
def test_no_file_is_left_beside_the_checkpoint_and_the_picture(text: str, tmp_path: Path) -> None:
    assert train(text, "--steps", 8, "--out", tmp_path / "out") == 0
    found = {path.name for path in (tmp_path / "out").iterdir()}
    assert found == {"checkpoint.safetensors", "best.safetensors", "loss.png"}
    assert (tmp_path / "out" / "loss.png").read_bytes().startswith(b"\x89PNG")


# --- what is shown --------------------------------------------------------------------------------------------------


def test_output_that_is_no_terminal_has_no_control_codes(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    (tmp_path / "escapes.txt").write_text("\x1b[2J\x07 red \x1b[31m" * 200)
    assert train(tmp_path / "escapes.txt", "--steps", 20, "--sample-every", 10, "--out", tmp_path) == 0
    out = capsys.readouterr().out
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", out)
    assert "sample at step 10" in out
    assert re.search(r"step 7: validation \d+\.\d{3} nats = \d+\.\d{3} bits/character", out)


def test_a_terminal_shows_a_live_line_and_text_without_its_control_codes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "escapes.txt").write_text("\x1b[2J[red]\x07 [/red]" * 100)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert train(tmp_path / "escapes.txt", "--steps", 20, "--sample-every", 10, "--out", tmp_path) == 0
    out = capsys.readouterr().out
    assert "\x1b[?25l" in out  # the cursor is hidden
    assert out.rindex("\x1b[?25h") > out.rindex("\x1b[?25l")  # and comes back
    assert re.search(r"step \d+ of 20", out)
    assert "sample at step 10" in out
    assert "\x1b[2J" not in out
    assert "\x07" not in out


def test_the_result_names_loss_baseline_checkpoint_and_picture(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(text, "--steps", 9, "--out", tmp_path, "--quiet") == 0
    out = capsys.readouterr().out
    last = contents(tmp_path)[0]["history.validations"][-1, 1]
    assert out.startswith(f"validation {last:.3f} nats = {last / np.log(2):.3f} bits per character (single-character")
    assert f"checkpoint {tmp_path}/checkpoint.safetensors, picture {tmp_path}/loss.png" in out


def test_a_closed_pipe_is_no_error(trained: Path) -> None:
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "examples.char_lm", "sample", str(trained), "--length", "30000"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 128 + 13
