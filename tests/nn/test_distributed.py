"""Data-parallel training on several ranks; what they do is in `support/rank_cases.py` and `rank_errors.py`."""

from __future__ import annotations

import itertools
import json
import math
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rank_cases
import rank_errors  # noqa: F401 - more cases
from profiles import long_profile
from ranks import SharedRanks, needs_mpi

import nn
from nn.distributed import DataParallel, MPIError, Ranks, world


@pytest.fixture(scope="module")
def all_results(tmp_path_factory: pytest.TempPathFactory, on_ranks: SharedRanks) -> dict[str, dict[str, list[Any]]]:
    """By number of ranks, of each case, what each rank found: 4 are started, the first of which are 2 and 3 as well."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # one of the workers runs them, for all
        folder = folder.parent
    path, told = folder / "on_ranks.json", folder / "on_ranks.txt"
    try:
        (folder / "on_ranks.begun").touch(exist_ok=False)
    except FileExistsError:
        until = time.monotonic() + 150
        while not told.exists() and time.monotonic() < until:
            time.sleep(0.1)
    else:
        profile = ["long"] if long_profile() else []
        done = on_ranks(4, "import rank_errors; rank_errors.main()", str(path), *profile, seconds=120)
        told.write_text(done.stderr)
    assert path.exists(), told.read_text()
    found: dict[str, dict[str, list[Any]]] = json.loads(path.read_text())
    return found


@pytest.fixture(scope="module", params=[2, pytest.param(3, marks=pytest.mark.campaign), 4], ids="on_{}".format)
def results(request: pytest.FixtureRequest, all_results: dict[str, Any]) -> dict[str, list[Any]]:
    """Of each case, what each rank found."""
    n: int = request.param
    found: dict[str, list[Any]] = all_results[str(n)]
    assert found.keys() == rank_cases.CASES.keys()
    assert {len(by_rank) for by_rank in found.values()} == {n}
    return found


def agreed(by_rank: list[Any]) -> Any:
    """What every rank found."""
    assert all(found == by_rank[0] for found in by_rank), by_rank
    return by_rank[0]


# --- numbers --------------------------------------------------------------------------------------------------------


@needs_mpi
def test_several_ranks_have_the_loss_and_gradients_of_one(results: dict[str, Any]) -> None:
    found = agreed(results["numbers"])
    networks = 4 if len(results["numbers"]) < 4 or long_profile() else 1
    assert len(found) == networks * 2 * 2
    assert {name: distance for name, (distance, _) in found.items() if not distance < 1e-12} == {}


@needs_mpi
def test_a_second_run_has_the_same_bits(results: dict[str, Any]) -> None:
    assert [name for name, (_, same) in agreed(results["numbers"]).items() if not same] == []


@needs_mpi
@pytest.mark.parametrize("optimizer", rank_cases.OPTIMIZERS)
def test_uneven_batches_train_as_one_rank_does(results: dict[str, Any], optimizer: str) -> None:
    found = agreed(results["optimizers"])[optimizer]
    assert found["weights"] < 1e-12
    assert found["norms"] < 1e-12  # clipping sees the averaged gradient


@needs_mpi
@pytest.mark.parametrize("optimizer", rank_cases.OPTIMIZERS)
def test_what_is_never_reached_or_frozen_stays_as_it_is(results: dict[str, Any], optimizer: str) -> None:
    found = agreed(results["optimizers"])[optimizer]
    assert found["never reached"] == [True, True]
    assert found["never changed"]
    assert found["frozen"]


@needs_mpi
def test_gradients_may_be_cleared_in_place(results: dict[str, Any]) -> None:
    found = agreed(results["cleared_in_place"])
    assert found["distance"] < 1e-12
    assert found["arrays"] == 1


@needs_mpi
def test_backward_adds_into_the_fused_array(results: dict[str, Any]) -> None:
    found = agreed(results["kept_views"])
    assert found == dict.fromkeys(found, True)
    assert len(found) == 4


@needs_mpi
def test_a_rank_without_examples_does_not_count(results: dict[str, Any]) -> None:
    found = agreed(results["nothing_to_do"])
    assert found["loss"] == 1.5
    assert found["W"] == [[3.0], [3.0]]
    assert found["b"]


@needs_mpi
def test_a_step_without_any_example_is_refused(results: dict[str, Any]) -> None:
    assert agreed(results["nothing_to_do"])["none"] == "average_gradients: no rank has an example in step 2"


@needs_mpi
def test_a_nan_on_one_rank_stops_all(results: dict[str, Any]) -> None:
    found = agreed(results["not_finite"])
    assert found["loss"] == "nan"
    assert "norm is nan" in found["clip"]


@needs_mpi
def test_dropout_and_sampling_differ_by_rank_and_are_reproducible(results: dict[str, Any]) -> None:
    found = results["random_numbers"]
    assert all(one["reproducible"] for one in found)
    for what in ("mask", "shared", "rng"):
        assert len({str(one[what]) for one in found}) == len(found), what


@needs_mpi
def test_ranks_talk(results: dict[str, Any]) -> None:
    n, found = len(results["conversations"]), results["conversations"]
    for one in found:
        assert one["mean"] == pytest.approx(sum(r * r for r in range(n)) / sum(range(n)), rel=1e-15)
        assert one["none counts"] == "nan"
        assert one["any"] == [False, True, True]
        assert one["gather"] == [[r] for r in range(n)]
        assert one["broadcast"] == "of 0"
    assert len({one["mean"] for one in found}) == 1
    for k, rows in enumerate((0, 1, 6, 7)):
        cuts = [one["rows"][k] for one in found]
        assert cuts[0][0] == 0
        assert cuts[-1][1] == rows
        assert all(one[1] == other[0] for one, other in itertools.pairwise(cuts))
        assert {stop - start for start, stop in cuts} <= {rows // n, rows // n + 1}


# --- what is refused on every rank ----------------------------------------------------------------------------------


def refusals(n: int) -> Iterator[tuple[str, str, str]]:
    """Case, what it is about, and what all ranks are told."""
    last = n - 1
    start = "the start of DataParallel: rank 0 has"
    yield "mismatches", "names", f"{start} b.W (2, 3) float32, rank {last} has c.W (2, 3) float32"
    yield "mismatches", "order", f"{start} a.W (2, 3) float32, rank {last} has b.W (2, 3) float32"
    yield "mismatches", "number", f"{start} 1.W (2, 3) float32, rank {last} has nothing"
    yield "mismatches", "shape", f"{start} W (2, 3) float32, rank {last} has W (2, 4) float32"
    yield "mismatches", "dtype", f"{start} W (2, 3) float32, rank {last} has W (2, 3) float64"
    yield "mismatches", "frozen", f"{start} b (3,) float32, rank {last} has b (3,) float32, frozen"
    yield "mismatches", "another call", f"rank {last}: mean"
    fit = f"rank {last} of {n}: ValueError: average_gradients:"
    yield "gradients_that_do_not_fit", "float64", f"{fit} W is (2, 3) float32, its gradient (2, 3) float64"
    yield "gradients_that_do_not_fit", "shape", f"{fit} W is (2, 3) float32, its gradient (3, 2) float32"
    yield "gradients_that_do_not_fit", "list", f"{fit} W is (2, 3) float32, its gradient a list"
    yield "gradients_that_do_not_fit", "examples", f"{fit} examples must be a number of at least 0, got -1"
    yield "gradients_that_do_not_fit", "no number", f"{fit} examples must be a number of at least 0, got '3'"
    yield "frozen_later", "one alone", "average_gradients in step 4: rank 0 has b (3,) float64, frozen, rank 1 has b"
    for when, step in (("in step 2", 1), ("at the end", 0)):
        yield "drifting", when, f"comparing the weights after step {step} (average_gradients belongs before every step"


@needs_mpi
def test_a_difference_is_told_to_every_rank(results: dict[str, Any]) -> None:
    n = len(results["mismatches"])
    for name, what, expected in refusals(n):
        assert expected in agreed([found[what] for found in results[name]]), (name, what)
    first = agreed([found["at the end"] for found in results["drifting"]])
    assert "rank 0 has W with checksum" in first
    assert f"rank {n - 1} has W with checksum" in first


@needs_mpi
def test_a_rank_with_a_step_fewer_ends_all(results: dict[str, Any]) -> None:
    n, text = len(results["fewer_steps"]), agreed(results["fewer_steps"])
    assert f"rank {n - 1}: the end of DataParallel after 2 steps" in text
    assert "average_gradients in step 3" in text


@needs_mpi
def test_an_exception_reaches_every_rank(results: dict[str, Any]) -> None:
    *others, own = results["one_raises"]
    assert agreed(others) == f"rank {len(others)} of {len(others) + 1}: KeyError: 'no such row'"
    assert own == "'no such row'"


@needs_mpi
def test_the_order_of_axes_in_memory_does_not_matter(results: dict[str, Any]) -> None:
    assert agreed([found["columns first"] for found in results["gradients_that_do_not_fit"]]) < 1e-6


@needs_mpi
def test_weights_may_be_frozen_and_freed_while_training(results: dict[str, Any]) -> None:
    found = agreed(results["frozen_later"])
    assert [found[step][1] for step in "012"] == [False, True, False]
    assert found["0"][0] == found["1"][0] == found["2"][0]


@needs_mpi
def test_buffers_are_those_of_rank_0_in_the_end(results: dict[str, Any]) -> None:
    for rank, found in enumerate(results["buffers_and_results"]):
        assert found == {"first": [0, 0], "inside": [rank + 1] * 2, "in the end": [1, 1]}


@needs_mpi
def test_a_weight_that_is_replaced_is_noticed(results: dict[str, Any]) -> None:
    assert "layers.0.W was replaced or added inside of DataParallel" in agreed(results["replaced"])


@needs_mpi
def test_half_precision_is_averaged(results: dict[str, Any]) -> None:
    n = len(results["half_precision"])
    assert agreed(results["half_precision"]) == pytest.approx((n - 1) / 2, rel=2e-3)


# --- one rank -------------------------------------------------------------------------------------------------------


def test_one_rank_changes_nothing() -> None:
    shared = np.random.default_rng(3)
    net, before = nn.Sequential(nn.Linear(2, 3, rng=shared), nn.Dropout(0.5, shared)), shared.bit_generator.state
    with DataParallel(net, ranks=Ranks()) as parallel:
        assert shared.bit_generator.state == before
        loss = (net(np.ones((4, 2))) ** 2).sum()
        loss.backward()
        gradient = net[0].W.grad
        assert parallel.average_gradients(loss, 4) == loss.item()
        assert net[0].W.grad is gradient
    assert Ranks().rng(5).random() == np.random.default_rng(5).random()
    assert Ranks().rows(7) == slice(0, 7)
    assert math.isnan(Ranks().mean(1.0, 0.0))
    assert (Ranks().gather(3), Ranks().broadcast(4), Ranks().any(True)) == ([3], 4, True)


def test_alone_errors_are_the_users_own() -> None:
    net = nn.Linear(2, 3, rng=0)
    with DataParallel(net, ranks=Ranks()) as parallel, pytest.raises(ValueError, match="examples must be a number"):
        parallel.average_gradients(1.0, -1)
    with pytest.raises(RuntimeError, match="outside of the block"):
        parallel.average_gradients(1.0, 1)
    with pytest.raises(LookupError, match="mine"), DataParallel(net, ranks=Ranks()):
        raise LookupError("mine")


def test_a_model_without_weights_is_refused() -> None:
    with pytest.raises(TypeError, match="there are no weights in Sequential, int"):
        DataParallel(nn.Sequential(), 3, ranks=Ranks())


def fresh_world() -> Ranks:
    return world.__wrapped__()


def test_without_mpiexec_mpi_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in nn.distributed.ranks.STARTED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    assert fresh_world().size == 1


@pytest.mark.parametrize("started", nn.distributed.ranks.STARTED)
def test_under_mpiexec_a_missing_mpi4py_is_named(monkeypatch: pytest.MonkeyPatch, started: str) -> None:
    monkeypatch.setenv(started, "4")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    monkeypatch.delitem(sys.modules, "mpi4py.MPI", raising=False)
    with pytest.raises(MPIError, match=r"as one of 4, which needs .* pip install mpi4py mpich"):
        fresh_world()


def test_under_mpiexec_a_missing_mpi_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PMI_SIZE", "2")
    package = ModuleType("mpi4py")
    package.__path__ = [str(tmp_path)]
    (tmp_path / "MPI.py").write_text('raise RuntimeError("cannot load MPI library")\n')
    monkeypatch.setitem(sys.modules, "mpi4py", package)
    monkeypatch.delitem(sys.modules, "mpi4py.MPI", raising=False)
    with pytest.raises(MPIError, match=r"mpi4py finds no MPI: pip install mpich"):
        fresh_world()


def test_the_mpiexec_of_another_mpi_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    alone: Any = SimpleNamespace(
        COMM_WORLD=SimpleNamespace(size=1), Get_library_version=lambda: "MPICH Version: 5.0\nmore\0"
    )
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "mpi4py", ModuleType("mpi4py"))
    monkeypatch.setitem(sys.modules, "mpi4py.MPI", alone)
    with pytest.raises(MPIError, match=r"as one of 2, but mpi4py's MPI, MPICH Version: 5\.0, knows of 1"):
        fresh_world()
