"""The yardstick's derivatives are worked out by hand, so they are checked here; so is the taking of turns."""

from __future__ import annotations

import errno
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import __main__ as main
from benchmarks import as_written, by_hand, language_model, micro, picture, scaling, workers


@pytest.mark.parametrize("cell", by_hand.MODELS)
def test_hand_written_gradients_match_central_differences(cell: str) -> None:
    setting = by_hand.Setting(cell=cell, V=4, H=3, B=2, T=5, dtype="float64")
    model = by_hand.MODELS[cell](setting, by_hand.initial_parameters(setting))
    ids, targets = by_hand.batches(setting, 1)[0]
    model.loss_and_gradients(ids, targets)
    analytic = [gradient.copy() for gradient in model.gradients]
    for parameter, gradient in zip(model.parameters, analytic, strict=True):
        numeric = np.empty_like(parameter)
        for index in np.ndindex(parameter.shape):
            value, losses = parameter[index], []
            for step in (1e-5, -1e-5):
                parameter[index] = value + step
                losses.append(model.loss_and_gradients(ids, targets))
            parameter[index] = value
            numeric[index] = (losses[0] - losses[1]) / 2e-5
        assert np.abs(numeric).max() > 1e-4
        np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("cell", by_hand.MODELS)
def test_common_form_survives_the_way_through_columns(cell: str) -> None:
    parameters = by_hand.initial_parameters(by_hand.Setting(cell=cell, V=4, H=3))
    returned = by_hand.from_columns(*by_hand.to_columns(parameters))
    for name, parameter in parameters.items():
        np.testing.assert_array_equal(returned[name], parameter)


@pytest.mark.parametrize("clip", [0.5, 50.0])
def test_in_place_adam_follows_the_published_algorithm(clip: float) -> None:
    setting = by_hand.Setting(dtype="float64", clip=clip)
    rng = np.random.default_rng(0)
    parameter = rng.standard_normal(6)
    expected, m, v = parameter.copy(), np.zeros(6), np.zeros(6)
    adam = by_hand.Adam([parameter], setting)
    for t in range(1, 5):
        g = rng.standard_normal(6)
        clipped = g * min(1.0, clip / np.linalg.norm(g))
        adam.step([g])
        m, v = 0.9 * m + 0.1 * clipped, 0.999 * v + 0.001 * clipped**2
        expected -= setting.lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        np.testing.assert_allclose(parameter, expected, rtol=1e-12)


class Recorder:
    """Stands in for a worker and notes when it is called."""

    def __init__(self, name: str, calls: list[str]) -> None:
        self.name, self.calls = name, calls

    def call(self, method: str) -> dict[str, float]:
        self.calls.append(self.name)
        return {"step": float(len(self.calls))}


def test_workers_take_turns_round_by_round() -> None:
    calls: list[str] = []
    measured = workers.take_turns({name: Recorder(name, calls) for name in "ABC"}, rounds=3, pause=0)
    assert "".join(calls) == "ABCABCABC"
    assert [turn["step"] for turn in measured["B"]] == [2, 5, 8]


@pytest.mark.parametrize(
    "wrong",
    [
        np.array([1, 2, 3.001]),
        np.array([1, 2, np.nan]),
        np.array([1, 2, 3], "float32"),
        np.array([[1.0, 2, 3]]),
    ],
    ids=["value", "nan", "dtype", "shape"],
)
def test_frameworks_that_disagree_are_not_timed(wrong: np.ndarray) -> None:
    right = {"loss": np.array([1.0, 2, 3])}
    workers.check_agreement({"a": right, "b": {"loss": np.array([1.0, 2, 3 + 1e-13])}})
    with pytest.raises(workers.DisagreementError, match="loss: b"):
        workers.check_agreement({"a": right, "b": {"loss": wrong}})


def test_numbers_are_shown_with_three_digits() -> None:
    numbers = {"median": 0.5, "min": 0.049, "max": 23.456}
    assert main.span(numbers, " ms") == "0.50 ms [0.05 .. 23.5]"
    assert main.span(dict.fromkeys(numbers, 1234.5), " us") == "1234 us [1234 .. 1234]"
    assert main.span(dict.fromkeys(numbers, 123.45), " MiB") == "123 MiB"


def test_ratios_are_taken_within_a_round() -> None:
    row = main.rows(by_hand.Setting())["lstm"]
    times = {"numpy": [1.0, 10.0, 2.0], "autograd": [3.0, 20.0, 2.0]}
    measured = {name: [{"step": time} for time in turns] for name, turns in times.items()}
    _, entry = main.summarize("lstm", row, measured)
    assert entry["ratio_to"] == {"numpy": {"median": 2.0, "min": 1.0, "max": 3.0}}


def test_hand_written_step_trains_in_a_worker_of_its_own() -> None:
    setting = by_hand.Setting(V=4, H=3, B=2, T=3)
    worker = workers.Worker({"OPENBLAS_NUM_THREADS": "1"}, language_model.Training, "numpy", setting)
    try:
        answers = worker.call("check")
    finally:
        worker.close()
    assert answers["float32: losses"].shape == (2,)
    assert not worker.process.is_alive()


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every row is measured at once, and mygrad, torch and jax are absent."""

    def run(make: object, frameworks: list[str], *_: object) -> tuple[dict[str, list[dict[str, float]]], dict]:
        return {framework: [{"step": 2.0 + k}] for k, framework in enumerate(frameworks)}, {}

    monkeypatch.setattr(workers, "run", run)
    monkeypatch.setattr(main, "installed", lambda framework: framework.split()[0] in ("minigrad", "numpy", "autograd"))


@pytest.mark.parametrize("without_rich", [False, True])
@pytest.mark.usefixtures("measured")
def test_absent_framework_is_named_with_the_package_to_install(
    without_rich: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if without_rich:
        monkeypatch.setitem(sys.modules, "rich.console", None)
    main.main(["lstm"])
    table = capsys.readouterr().out
    assert "pip install 'mygrad'" in table
    assert "absent" in table
    assert "5.00 ms [5.00 .. 5.00]" in table  # autograd, the fourth
    assert "2.50 [2.50 .. 2.50]" in table  # two and a half times minigrad's 2 ms


@pytest.mark.usefixtures("measured")
def test_saved_results_hold_every_round_threads_and_versions(tmp_path: Path) -> None:
    main.main(["gru", "--threads", "2", "--json", str(tmp_path / "results.json")])
    saved = json.loads((tmp_path / "results.json").read_text())
    assert saved["machine"]["environment"]["OPENBLAS_NUM_THREADS"] == "2"
    assert saved["threads"] == 2
    assert saved["versions"]["numpy"] == np.__version__
    assert [(entry["row"], entry["framework"], entry["rounds"]) for entry in saved["results"]] == [
        ("gru", "minigrad", [2.0]),
        ("gru", "minigrad compiled", [3.0]),
        ("gru", "numpy", [4.0]),
        ("gru", "autograd", [5.0]),
        ("gru", "autograd tuned", [6.0]),
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


class Fragile:
    """What a framework in a worker does: "sound" answers and is measured, another cannot run here."""

    def __init__(self, framework: str) -> None:
        self.framework = framework

    def check(self) -> dict[str, np.ndarray]:
        if self.framework != "sound":
            raise workers.UnavailableError("no compiler found")
        return {"loss": np.ones(1)}

    def measure(self) -> dict[str, float]:
        return {"step": 1.0}


def test_framework_that_cannot_run_here_is_absent_with_its_reason_and_the_others_are_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert workers.run(Fragile, ["sound", "broken"], (), 2, {}) == (
        {"sound": [{"step": 1.0}] * 2},
        {"broken": "no compiler found"},
    )
    assert workers.run(Fragile, ["broken"], (), 2, {}) == ({}, {"broken": "no compiler found"})
    monkeypatch.setattr(main, "installed", lambda framework: True)
    monkeypatch.setattr(
        workers, "run", lambda *_: ({"minigrad": [{"step": 1.0}]}, {"torch compiled cell": "no compiler"})
    )
    main.main(["mgu"])
    assert "torch compiled cell is absent: no compiler" in capsys.readouterr().out


class StandInTorch:
    """As much of torch as `TorchCompiledPeer` asks for, with a compiler that fails."""

    class _dynamo:
        class exc:
            class TorchDynamoException(RuntimeError):  # noqa: N818 - its name there
                pass

    def compile(self, cell: object, **options: bool) -> object:
        assert options["fullgraph"], "what is not compiled must be an error"

        def fails(*_: object) -> None:
            raise self._dynamo.exc.TorchDynamoException("InvalidCxxCompiler: g++ is missing\nand more")

        return fails


def test_failing_torch_compile_makes_the_framework_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = as_written.TorchCompiledPeer.__new__(as_written.TorchCompiledPeer)
    peer.xp = StandInTorch()
    cell = peer.prepared(lambda x: x)
    monkeypatch.setattr(as_written.TorchPeer, "value_and_gradients", lambda self, loss, arrays: loss(arrays))
    with pytest.raises(workers.UnavailableError, match=r"^torch.compile: InvalidCxxCompiler: g\+\+ is missing$"):
        peer.value_and_gradients(cell, {})


@pytest.mark.usefixtures("measured")
def test_all_runs_every_row_and_help_says_what_each_is(capsys: pytest.CaptureFixture[str]) -> None:
    names = list(main.rows(by_hand.Setting()))
    main.main(["all"])
    about = capsys.readouterr().out
    with pytest.raises(SystemExit):
        main.main(["--help"])
    shown = capsys.readouterr().out
    for name, row in main.rows(by_hand.Setting()).items():
        assert f"{name}: {row.title}" in about
        assert f"  {name:10}  {row.title}" in shown
    assert {"mgu", "throughput", "writing", *scaling.GROWTHS} <= set(names)


@pytest.mark.usefixtures("measured")
def test_default_rows_are_the_lstm_and_the_machinery(capsys: pytest.CaptureFixture[str]) -> None:
    main.main([])
    assert capsys.readouterr().err.split() == ["lstm", "...", "loop", "...", "overhead", "..."]


def test_unknown_row_is_refused_before_anything_runs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(["lstm", "transformer"])
    assert "no row transformer; there are all, lstm, gru" in capsys.readouterr().err


def test_error_in_a_worker_names_its_cause() -> None:
    worker = workers.Worker({}, language_model.Training, "numpy", by_hand.Setting(cell="transformer"))
    try:
        with pytest.raises(RuntimeError, match="transformer"):
            worker.call("check")
    finally:
        worker.close()


@pytest.mark.parametrize("cell", by_hand.GATES)
def test_every_installed_framework_has_the_same_losses_and_gradients(cell: str) -> None:
    setting = by_hand.Setting(cell=cell, V=7, H=5, B=3, T=6)
    row = main.rows(setting)[cell]
    # torch.compile takes half a minute and warns, which is an error here.
    present = [name for name in row.frameworks if main.installed(name) and name != "torch compiled cell"]
    assert {"minigrad", "minigrad compiled"} <= set(present)
    workers.check_agreement({name: language_model.Training(name, setting).check() for name in present})


@pytest.mark.parametrize("row", ["loop", "overhead"])
def test_every_installed_framework_has_the_same_small_gradients(row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in {"short": 2, "long": 4, "width": 3}.items():
        monkeypatch.setattr(micro.Loop, name, size)
    table = main.rows(by_hand.Setting())[row]
    present = [name for name in table.frameworks if main.installed(name)]
    if present == ["minigrad"]:
        pytest.skip("there is nothing to compare with: autograd, mygrad and torch are absent")
    workers.check_agreement({name: table.make(name).check() for name in present})


def test_picture_is_drawn_for_all_sizes(measured: None, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    main.main(["rnn", "--all-sizes", "--rounds", "1", "--picture", str(path), "--without", "autograd tuned"])
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["lstm", "--without", "pytorch"], "--without: no framework pytorch; there are minigrad, "),
        (["--without", "torch", "gru"], "no framework gru; .* (rows stand before the options)"),
        (["lstm", "--json", "{folder}"], "--json: {folder} is a directory"),
        (["lstm", "--picture", "{folder}/missing/p.png"], "the directory of {folder}/missing/p.png does not exist"),
        (["lstm", "--picture", "{folder}/p.doc"], "p.doc must end in one of .*.png, "),
        (["loop", "--picture", "{folder}/p.png"], "--picture: shows training steps .* and loop has none; choose lstm"),
        (["rnn", "--picture", "{folder}/p.png", "--without", "numpy"], "beside numpy's, which --without leaves out"),
    ],
)
def test_what_could_not_be_done_in_the_end_is_refused_before_anything_runs(
    arguments: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(workers, "run", lambda *_: pytest.fail("it ran"))
    with pytest.raises(SystemExit):
        main.main([argument.format(folder=tmp_path) for argument in arguments])
    pattern = ".*".join(map(re.escape, told.format(folder=tmp_path).split(".*")))
    assert re.search(pattern, " ".join(capsys.readouterr().err.split()))


@pytest.mark.usefixtures("measured")
def test_a_picture_without_matplotlib_is_refused_with_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(picture.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        main.main(["lstm", "--picture", str(tmp_path / "p.png")])
    assert "--picture: needs the package matplotlib: pip install matplotlib" in capsys.readouterr().err


@pytest.mark.usefixtures("measured")
def test_a_file_that_cannot_be_written_leaves_what_was_there_and_does_not_cost_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path, *_: object, **__: object) -> None:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in ("r.json", "p.png"):
        (tmp_path / name).write_text("before")
    monkeypatch.setattr(Path, "write_text", full)
    monkeypatch.setattr(picture, "draw", full)
    files = ["--json", str(tmp_path / "r.json"), "--picture", str(tmp_path / "p.png")]
    assert main.main(["lstm", *files]) == 1
    shown = capsys.readouterr()
    assert "5.00 ms" in shown.out
    assert shown.err.count("No space left on device") == 2
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"r.json": "before", "p.png": "before"}
