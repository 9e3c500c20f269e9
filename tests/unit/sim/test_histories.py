"""The decorator: every seed once, the failing one named, replayable, and compared with itself."""

from __future__ import annotations

import itertools

import pytest

from spirula.sim import Faults
from spirula.sim.histories import NotRepeatable, histories, run_all, selected_seeds


@pytest.fixture
def flavour():
    return "salt"


@pytest.mark.parametrize("mode", ["a", "b"])
@histories(seeds=6, shards=2, repeat_every=1000, faults=lambda rng: Faults(loss=rng.random()))
async def test_fixtures_parameters_and_shards_reach_the_history(sim, mode, flavour):
    assert mode in "ab"
    assert flavour == "salt"
    assert 0 < sim.network.faults.loss < 1
    before = sim.time()
    await sim.sleep(10)
    assert sim.time() == before + 10


def test_shards_share_the_seeds(monkeypatch):
    monkeypatch.delenv("SPIRULA_SEED", raising=False)
    shards = [selected_seeds(10, shard, 3) for shard in range(3)]
    assert sorted(itertools.chain(*shards)) == list(range(10))


def test_the_environment_selects_seeds(monkeypatch):
    monkeypatch.setenv("SPIRULA_SEED", "12345")
    assert selected_seeds(10, 0, 1) == [12345]
    assert selected_seeds(10, 12345 % 4, 4) == [12345]
    assert selected_seeds(10, 0, 4) == []
    monkeypatch.setenv("SPIRULA_SEED", "7-9")
    assert selected_seeds(10, 0, 1) == [7, 8, 9]


def test_the_failing_seed_is_named_with_the_end_of_its_trace():
    async def body(sim):
        sim.note("about to draw")
        await sim.sleep(1)
        assert sim.seed != 3, "the third"

    with pytest.raises(AssertionError, match="the third") as failed:
        run_all(body, list(range(10)), name="tests/x.py::test_x")
    notes = "\n".join(failed.value.__notes__)
    assert "SPIRULA_SEED=3 pytest 'tests/x.py::test_x'" in notes
    assert "1000.000000 about to draw" in notes


def test_runs_that_differ_are_found():
    serial = itertools.count()

    async def body(sim):
        await sim.sleep(next(serial))
        sim.note("done")

    with pytest.raises(NotRepeatable, match="first at event 0"):
        run_all(body, [1], name="x")


def test_failures_that_do_not_repeat_are_called_so():
    serial = itertools.count()

    async def body(sim):
        assert next(serial) > 0

    with pytest.raises(AssertionError) as failed:
        run_all(body, [1], name="x")
    assert "does not repeat" in "\n".join(failed.value.__notes__)


def test_every_seed_is_run_once_and_some_twice(capsys):
    ran = []

    async def body(sim):
        ran.append(sim.seed)

    run_all(body, list(range(10)), name="x", repeat_every=5)
    assert ran == [0, 0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 9]
    assert "10 histories" in capsys.readouterr().out
