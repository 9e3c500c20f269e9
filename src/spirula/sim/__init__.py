"""Simulation: whole runs of the real code in one thread, in virtual time, from one seed.

`loop` is an asyncio event loop whose time jumps from timer to timer, `network` gives it hosts,
servers and connections in memory that misbehave as `faults` says (`hosts`, `connect`, `pipe` and
`transport` are its parts), `trace` digests what happened, `simulation` runs one history, and
`histories` (not imported here, it needs pytest) makes a test of many seeds that names the one that
fails. Nothing here knows Ceph's protocols; production code runs on it unchanged because it takes
its event loop, clock and random source from outside. Tests import this package; nothing else does.
"""

from __future__ import annotations

from spirula.sim.faults import Cut, Faults
from spirula.sim.hosts import Host
from spirula.sim.loop import (
    CallbackFailed,
    Deadlock,
    Forbidden,
    Livelock,
    Process,
    SimLoop,
    SimulationError,
)
from spirula.sim.network import Network
from spirula.sim.simulation import Outcome, Overdue, Simulation, run_history

__all__ = [
    "CallbackFailed",
    "Cut",
    "Deadlock",
    "Faults",
    "Forbidden",
    "Host",
    "Livelock",
    "Network",
    "Outcome",
    "Overdue",
    "Process",
    "SimLoop",
    "Simulation",
    "SimulationError",
    "run_history",
]
