"""One simulated run: a loop, a network and a body that uses them, from one seed.

`run_history` is the whole life of a run: it builds the world, drives the body to its end in virtual
time, sees that nothing failed unnoticed, and says what the run amounted to. `sim.histories` calls
it for many seeds; a script or debugger calls it for one.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from spirula.sim.faults import Cut, Faults
from spirula.sim.hosts import Host
from spirula.sim.loop import MAX_STEPS, CallbackFailed, Livelock, SimLoop, SimulationError
from spirula.sim.network import Network

DEFAULT_LIMIT_S = 4 * 3600.0
FAREWELL_LIMIT_S = 600.0


class Overdue(SimulationError):
    """The body of a history did not end within its limit of virtual time."""


class Simulation:
    """What the body of a history is given: `seed`, `loop`, `network`, and `rng` for its draws."""

    def __init__(
        self,
        seed: int,
        faults: Faults,
        *,
        cuts: tuple[Cut, ...] = (),
        keep_trace: bool = False,
        record_writes: bool = False,
        max_steps: int = MAX_STEPS,
    ) -> None:
        self.seed = seed
        self.loop = SimLoop(seed, max_steps=max_steps)
        self.network = Network(
            self.loop, faults, cuts=cuts, keep_trace=keep_trace, record_writes=record_writes
        )
        self.rng: random.Random = self.loop.rng("history")

    def host(self, name: str, address: str | None = None) -> Host:
        """The host of that name (made at the first call)."""
        return self.network.host(name, address)

    def time(self) -> float:
        """Virtual seconds."""
        return self.loop.time()

    def reseed(self, seed: int, faults: Faults) -> None:
        """Go on as the run of another seed, with `faults` from now on.

        For runs that share their beginning: each is a fork of one process. All random sources
        start anew, and so do the trace and its digest.
        """
        self.seed = self.loop.seed = seed
        self.rng.seed(f"{seed}/history")
        self.network.reseed(faults)

    def note(self, text: str) -> None:
        """Put a line into the trace; it takes part in the digest."""
        self.network.trace.note(text)

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        await asyncio.sleep(seconds)

    async def settled(self, condition: Callable[[], bool], *, every_s: float = 0.05) -> None:
        """Wait until `condition()` holds; the limit of the history bounds the wait."""
        while not condition():  # noqa: ASYNC110  # to poll in virtual time costs next to nothing
            await asyncio.sleep(every_s)


Body = Callable[[Simulation], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a finished run amounted to. Two runs of one seed have equal outcomes."""

    digest: str
    steps: int
    seconds: float
    connections: int
    trace: tuple[str, ...] = ()


def run_history(
    body: Body,
    seed: int,
    *,
    faults: Faults | Callable[[random.Random], Faults] | None = None,
    cuts: tuple[Cut, ...] = (),
    limit_s: float = DEFAULT_LIMIT_S,
    keep_trace: bool = False,
    record_writes: bool = False,
    max_steps: int = MAX_STEPS,
    on_trace: Callable[[list[str]], None] | None = None,
) -> Outcome:
    """Run `body` once in the world that `seed` makes.

    `faults` may be a function that draws them for this seed. Raises what the body raises, and
    `CallbackFailed` if a callback or a task that nobody awaited failed, `Overdue` after `limit_s`
    virtual seconds, `Deadlock` or `Livelock` if the run cannot end. `on_trace` is handed the lines
    of the trace in any case.
    """
    drawn = faults(random.Random(f"{seed}/faults")) if callable(faults) else faults
    sim = Simulation(
        seed,
        drawn or Faults(),
        cuts=cuts,
        keep_trace=keep_trace,
        record_writes=record_writes,
        max_steps=max_steps,
    )
    loop = sim.loop
    try:
        loop.run_until_complete(_within(body(sim), limit_s))
        loop.run_until_complete(_farewell(loop))
        failures = loop.unattended_failures()
        if failures:
            failure = CallbackFailed(f"seed {seed}: a task failed unattended: {failures[0]!r}")
            raise failure from failures[0]
        return Outcome(
            digest=sim.network.trace.digest(),
            steps=loop.steps,
            seconds=loop.time(),
            connections=sim.network.connections_made,
            trace=tuple(sim.network.trace.lines),
        )
    finally:
        if on_trace is not None:
            on_trace(sim.network.trace.lines)
        loop.close()


async def _within(body: Awaitable[None], limit_s: float) -> None:
    limit = asyncio.timeout(limit_s)
    try:
        async with limit:
            await body
    except TimeoutError as error:
        if limit.expired():
            raise Overdue(
                f"the history did not end within {limit_s:.0f} virtual seconds"
            ) from error
        raise


async def _farewell(loop: SimLoop) -> None:
    """Cancel what still runs, and let it end."""
    me = asyncio.current_task()
    for _ in range(100):
        tasks = [task for task in loop.pending_tasks() if task is not me]
        if not tasks:
            await loop.shutdown_asyncgens()
            return
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=FAREWELL_LIMIT_S)
    raise Livelock("tasks did not end although they were cancelled a hundred times")
