"""The language model trained on ranks of MPI: the run of one process, once, and never left hanging."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from char_lm_runs import PERIOD, TINY, assert_same_run, contents
from example_figures import figures
from ranks import SharedRanks, command, copies, environment, example, launch, needs_mpi

import nn
from examples import char_lm, tape

pytestmark = needs_mpi
MAIN = example("char_lm")


@pytest.fixture
def train(on_ranks: SharedRanks) -> Any:
    """Trainings, each a list of arguments, one after the other on the same ranks: the greatest exit code, all lines."""

    def run(n: int, *runs: Any) -> Any:
        done = [on_ranks(n, MAIN, *TINY, *map(str, arguments)) for arguments in runs]
        out, err = ("".join(getattr(each, stream) for each in done) for stream in ("stdout", "stderr"))
        return subprocess.CompletedProcess(runs, max(each.returncode for each in done), out, err)

    return run


def test_ranks_train_validate_and_print_as_one_process(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], train: Any
) -> None:
    one, three = tmp_path / "one", tmp_path / "three"
    Path(text).write_text(PERIOD * 50)
    options = [text, "--steps", "20", "--val-fraction", "0.5"]  # two rows to validate on
    assert char_lm.main([*TINY, *options, "--out", str(one)]) == 0
    alone = capsys.readouterr().out
    few = [text, "--steps", 3, "--batch-size", 2, "--quiet", "--out", tmp_path / "few"]  # rows, fewer than ranks
    done = train(3, few, [*options, "--out", three])
    assert (done.returncode, done.stderr) == (0, "")
    assert contents(tmp_path / "few")[0]["history.losses"].shape == (3,)
    shown = done.stdout[done.stdout.index("3 ranks") :]  # --quiet has no such line
    assert re.match(r"3 ranks, processes \d+, \d+, \d+\n", shown)
    assert shown.count("\n") == alone.count("\n") + 1
    assert sorted(path.name for path in three.iterdir()) == sorted(path.name for path in one.iterdir())
    (a, _), (b, _) = contents(one), contents(three)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=2e-3, atol=2e-4, err_msg=name)


def test_a_run_resumed_on_as_many_ranks_has_the_same_bits_and_on_one_goes_on(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], train: Any
) -> None:
    whole, parts, fewer = (tmp_path / name for name in ("whole", "parts", "fewer"))
    options = text, "--dropout", 0.2, "--schedule", "constant"
    again = ["--resume", str(parts / "checkpoint.safetensors"), text, "--steps", "14"]
    halves = [[*options, "--steps", 7, "--out", folder] for folder in (parts, fewer)]
    done = train(2, [*options, "--steps", 14, "--out", whole], *halves, again)
    assert (done.returncode, done.stderr) == (0, "")
    assert "rows are cut anew" not in done.stdout
    assert_same_run(whole, parts)
    again[1] = str(fewer / "checkpoint.safetensors")
    assert char_lm.main([*TINY, *again]) == 0
    assert "of 2 ranks before: rows are cut anew" in capsys.readouterr().out
    assert len(contents(fewer)[0]["history.losses"]) == 14


@pytest.mark.campaign
@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2), (2, 3)])
def test_a_run_goes_on_with_another_number_of_ranks_and_says_so(
    text: str, tmp_path: Path, before: int, after: int, train: Any
) -> None:
    assert train(before, [text, "--steps", 7, "--out", tmp_path]).returncode == 0
    done = train(after, ["--resume", tmp_path / "checkpoint.safetensors", text, "--steps", 14])
    assert (done.returncode, done.stderr) == (0, "")
    assert f"of {before} rank" in done.stdout
    assert "before: rows are cut anew" in done.stdout
    assert len(contents(tmp_path)[0]["history.losses"]) == 14


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("nowhere.txt", "error: .*nowhere.txt.*"),
        pytest.param("--hidden 0", "error: --hidden must be at least 1 .*", marks=pytest.mark.campaign),
        *(
            pytest.param(
                f"{what} nowhere",
                f"error: {what} runs on one rank: start it without mpiexec",
                marks=pytest.mark.campaign,
            )
            for what in ("sample", "explore")
        ),
        pytest.param("compare --cells transformer", "error: .*transformer.*", marks=pytest.mark.campaign),
    ],
)
def test_a_mistake_is_told_once(arguments: str, told: str, on_ranks: SharedRanks) -> None:
    done = on_ranks(2, MAIN, *arguments.split())
    assert done.returncode == 2
    assert re.fullmatch(told + "\n", done.stderr)


def test_compare_spreads_its_networks_over_the_ranks(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], on_ranks: SharedRanks
) -> None:
    options = ["compare", text, *TINY, "--steps", "30", "--cells", "gru", "rnn", "lstm", "--layers", "1", "--quiet"]
    one, two = tmp_path / "one", tmp_path / "two"
    assert char_lm.main([*options, "--out", str(one)]) == 0
    done = on_ranks(2, MAIN, *options, "--out", str(two))
    assert (done.returncode, done.stderr) == (0, "")
    found = [figures(folder) for folder in (one, two)]
    for result in found:
        for row in result["networks"]:
            assert row.pop("ms/step") > 0
    assert found[0] == found[1]
    cells = [re.findall("GRU|RNN|LSTM", printed) for printed in (done.stdout, capsys.readouterr().out)]
    assert cells[0] == cells[1]
    assert (two / "compare.png").exists()


def test_a_network_that_diverges_on_one_rank_ends_the_comparison(
    text: str, tmp_path: Path, on_ranks: SharedRanks
) -> None:
    options = ["--steps", "60", "--lr", "1e3", "--cells", "lstm", "rnn", "--layers", "1", "--quiet"]
    done = on_ranks(2, MAIN, "compare", text, *TINY, *options, "--out", str(tmp_path), seconds=30)
    assert done.returncode != 0
    assert "diverged" in done.stderr
    assert not list(tmp_path.glob("*.png"))


def test_what_only_looks_at_results_refuses_to_run_several_times_over(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ranks = nn.distributed.Ranks()
    ranks.size = 2
    monkeypatch.setattr(nn.distributed, "world", lambda: ranks)
    for what in ("sample", "explore", "export"):
        assert char_lm.main([what, "nowhere"]) == 2
        assert capsys.readouterr().err == f"error: {what} runs on one rank: start it without mpiexec\n"
    assert tape.main([]) == 2
    assert capsys.readouterr().err == "error: this example runs on one rank: start it without mpiexec\n"


@pytest.mark.campaign
def test_an_example_that_trains_nothing_refuses_to_run_several_times_over(on_ranks: SharedRanks) -> None:
    done = on_ranks(2, example("tape"))
    assert done.returncode == 2
    assert done.stderr == "error: this example runs on one rank: start it without mpiexec\n"


def test_a_full_disk_ends_all_ranks_and_leaves_the_last_checkpoint_whole(text: str, tmp_path: Path) -> None:
    program = example(
        "char_lm",
        "import resource; write = nn.save\n"
        "def save(path, arrays, metadata):\n"
        "    if len(arrays['history.losses']) > 7: resource.setrlimit(resource.RLIMIT_FSIZE, (99, 99))\n"
        "    write(path, arrays, metadata)\n"
        "nn.save = save",
    )
    done = launch(2, "-c", program, *TINY, text, "--steps", "40", "--out", str(tmp_path), seconds=30)
    assert done.returncode == 2
    assert done.stderr == f"error: cannot save {tmp_path / 'checkpoint.safetensors'}: File too large\n"
    assert len(contents(tmp_path)[0]["history.losses"]) == 7
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    ("how", "whom"),
    [(signal.SIGINT, "all"), pytest.param(signal.SIGINT, "one", marks=pytest.mark.campaign), (signal.SIGKILL, "one")],
    ids=str,
)
def test_ctrl_c_saves_once_and_a_killed_rank_ends_all(
    text: str, tmp_path: Path, how: signal.Signals, whom: str
) -> None:
    options = [*TINY, text, "--minutes", "5", "--out", str(tmp_path)]
    ranks = copies if whom == "all" else command  # whose processes mpiexec names
    with subprocess.Popen(
        ranks(2, "-c", example("char_lm"), *options),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as program:
        try:
            assert program.stdout is not None
            first = program.stdout.readline()
            processes = re.search(r"processes (\d+), (\d+)\n", first)
            assert processes is not None
            while not program.stdout.readline().startswith("step 14:"):
                pass
            if whom == "all":
                program.send_signal(how)
            else:
                os.kill(int(processes[2]), how)
            rest, told = program.communicate(timeout=30)
        finally:
            program.kill()
    assert program.returncode != 0
    arrays, _ = nn.load(tmp_path / "checkpoint.safetensors")
    assert len(arrays["history.losses"]) >= 7
    if how is signal.SIGINT:
        assert told.count("saved; go on with") == 1
        steps = len(arrays["history.losses"]) + 3
        assert char_lm.main(["--resume", str(tmp_path / "checkpoint.safetensors"), text, "--steps", str(steps)]) == 0
    else:
        # MPICH names the process, and our first line the ranks of processes; Open MPI names the rank
        assert f"PID {processes[2]} " in rest or "process rank 1" in told
