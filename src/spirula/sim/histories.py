"""`@histories(...)`: a pytest test that is run once for each of many seeds.

The decorated coroutine gets a `Simulation`. The first seed that fails ends the test; the report
names it and how to run it alone, with the end of its trace. It is for the tests in `tests/sim` and
needs pytest, which `spirula.sim` itself does not. What a history does and checks is the test's.
"""

from __future__ import annotations

import gc
import inspect
import os
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

from spirula.sim.faults import Cut, Faults
from spirula.sim.loop import MAX_STEPS, SimulationError
from spirula.sim.simulation import (
    DEFAULT_LIMIT_S,
    Body,
    Outcome,
    Simulation,
    run_history,
)

TRACE_LINES = 60
COLLECT_EVERY = 64
COMPARISONS = 8
TIMEOUT_S = 900

Drawn = Faults | Callable[[random.Random], Faults] | None
"""The faults of a history: the same for all, drawn for each, or none."""

_Test = TypeVar("_Test", bound=Callable[..., Coroutine[Any, Any, None]])


class NotRepeatable(SimulationError):
    """Two runs of one seed went different ways: something depends on more than the seed."""


def selected_seeds(count: int, shard: int, shards: int) -> list[int]:
    """The seeds of one shard: `SPIRULA_SEED` (`7` or `7-20`) if set, else 0 .. count - 1."""
    wanted = os.environ.get("SPIRULA_SEED", "")
    if wanted:
        first, _, last = wanted.partition("-")
        seeds = range(int(first), int(last or first) + 1)
    else:
        seeds = range(count)
    return [seed for seed in seeds if seed % shards == shard]


def histories(
    seeds: int,
    *,
    faults: Drawn = None,
    cuts: Callable[[int], tuple[Cut, ...]] | None = None,
    limit_s: float = DEFAULT_LIMIT_S,
    shards: int = 1,
    repeat_every: int = 100,
) -> Callable[[_Test], Callable[..., None]]:
    """Make a pytest test of `async def test(sim: Simulation, ...)`, run for seeds 0 .. `seeds` - 1.

    `faults` are the same for all seeds, or drawn for each by a function of a random source; `cuts`
    gives the scripted resets of a seed; `limit_s` bounds the virtual time of one history. With
    `shards` the test becomes that many, which xdist may spread over workers. Each
    `repeat_every`-th seed is run twice, and the two runs must be equal event for event. pytest's
    `--scale N`, where there is one, multiplies `seeds`.
    Further parameters of the test are its fixtures.
    """

    def decorate(test: _Test) -> Callable[..., None]:
        def run(shard: int, pytestconfig: pytest.Config, **fixtures: Any) -> None:
            scale = int(pytestconfig.getoption("scale", 1) or 1)
            chosen = selected_seeds(seeds * scale, shard, shards)
            if not chosen:
                pytest.skip("SPIRULA_SEED belongs to another shard")

            async def body(sim: Simulation) -> None:
                await test(sim, **fixtures)

            name = os.environ.get("PYTEST_CURRENT_TEST", test.__name__).rsplit(" ", 1)[0]
            run_all(
                body,
                chosen,
                name=name,
                faults=faults,
                cuts=cuts,
                limit_s=limit_s,
                repeat_every=repeat_every,
            )

        parameters = list(inspect.signature(test).parameters.values())[1:]
        kind = inspect.Parameter.KEYWORD_ONLY
        own = [inspect.Parameter(name, kind) for name in ("shard", "pytestconfig")]
        run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # pytest reads it
            [*own, *(parameter.replace(kind=kind) for parameter in parameters)]
        )
        run.__name__ = test.__name__
        run.__qualname__ = test.__qualname__
        run.__module__ = test.__module__
        run.__doc__ = test.__doc__
        marks = [
            pytest.mark.parametrize("shard", range(shards)),
            pytest.mark.timeout(TIMEOUT_S),
        ]
        marked: Callable[..., None] = run
        for mark in marks:
            marked = mark(marked)
        return marked

    return decorate


def run_all(
    body: Body,
    seeds: list[int],
    *,
    name: str,
    faults: Drawn = None,
    cuts: Callable[[int], tuple[Cut, ...]] | None = None,
    limit_s: float = DEFAULT_LIMIT_S,
    repeat_every: int = 100,
    max_steps: int = MAX_STEPS,
) -> None:
    """Run `body` for each seed; raise what the first failing one raises, with notes on it."""

    def run(seed: int, **options: Any) -> Outcome:
        scripted = cuts(seed) if cuts is not None else ()
        options |= {"faults": faults, "limit_s": limit_s, "max_steps": max_steps}
        return run_history(body, seed, cuts=scripted, **options)

    started = time.perf_counter()
    steps = 0
    # Garbage is collected between histories only: a collection in the middle of one would run
    # finalizers at a moment that depends on the histories before it.
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        for done, seed in enumerate(seeds):
            try:
                outcome = run(seed)
                if done % repeat_every == 0:
                    _same_again(run, seed, outcome)
            except BaseException as error:
                error.add_note(f"history with seed {seed} failed; alone it runs as")
                error.add_note(f"    SPIRULA_SEED={seed} pytest '{name}'")
                if isinstance(error, Exception) and not isinstance(error, NotRepeatable):
                    error.add_note(_explain(run, seed, error))
                raise
            steps += outcome.steps
            if done % COLLECT_EVERY == COLLECT_EVERY - 1:
                gc.collect()
    finally:
        gc.enable()
        gc.unfreeze()
    spent = time.perf_counter() - started
    print(  # noqa: T201  # the rate is part of the report, shown by pytest -rP
        f"{len(seeds)} histories in {spent:.1f} s: {len(seeds) / spent * 60:.0f} a minute,"
        f" {steps / len(seeds):.0f} callbacks each"
    )


def _same_again(run: Callable[..., Outcome], seed: int, first: Outcome) -> None:
    again = run(seed)
    if again == first:
        return
    where = "in nothing that the trace shows"
    reference = run(seed, keep_trace=True).trace
    for _ in range(COMPARISONS):
        trace = run(seed, keep_trace=True).trace
        pairs = enumerate(zip(reference, trace, strict=False))
        first_other = next((number for number, (a, b) in pairs if a != b), None)
        if first_other is not None:
            a, b = reference[first_other], trace[first_other]
            where = f"first at event {first_other}: {a!r} and {b!r}"
            break
    raise NotRepeatable(f"two runs of seed {seed} differ, {where}; {first}, {again}")


def _explain(run: Callable[..., Outcome], seed: int, error: Exception) -> str:
    """Run the failing seed again with its trace kept; the end of that trace as text."""
    lines: list[str] = []
    try:
        run(seed, keep_trace=True, on_trace=lines.extend)
    except Exception as again:  # noqa: BLE001  # whatever it is, it is compared with the first
        if type(again) is not type(error):
            return f"it does not repeat: the second run raised {again!r}"
    else:
        return "it does not repeat: the second run passed"
    tail = "\n".join(f"    {line}" for line in lines[-TRACE_LINES:])
    return f"the last of {len(lines)} events (time verb connection numbers):\n{tail}"
