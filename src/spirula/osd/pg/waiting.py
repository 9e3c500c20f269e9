"""Requests that a PG cannot carry out now, by what they wait for.

Each list keeps the order in which requests came. When what they waited for is there, they go
through `dispatch` from the beginning, for anything may have changed meanwhile. Locks of objects
have their own lists (`locks`). Upstream: `PrimaryLogPG.h` and `PG.h`, `waiting_for_*`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spirula.messages.base import Message
    from spirula.messages.osd_op import MOSDOp
    from spirula.osd.ops.context import OpContext
    from spirula.types.base import EVersion
    from spirula.types.entity import EntityName
    from spirula.types.hobject import HObject
    from spirula.types.pg_log import LogOpReturn


@dataclass(slots=True, frozen=True)
class WaitingDup:
    """A request that came again while its first coming is not on disk everywhere."""

    request: MOSDOp
    user_version: int
    return_code: int
    op_returns: list[LogOpReturn]


@dataclass(slots=True, eq=False)
class Waiting:
    """The wait lists of one PG.

    `for_map`: by sender, requests of a newer map than the PG has. `for_peered`, `for_active`: the
    PG is not ready. `for_readable`: the lease is over, or an earlier interval's is not.
    `for_object`: the object, or a clone of it, is not here or not everywhere yet. `for_ondisk`: by
    version, requests that are under way already.
    """

    for_map: dict[EntityName, deque[Message]] = field(default_factory=dict)
    for_peered: deque[Message] = field(default_factory=deque)
    for_active: deque[Message] = field(default_factory=deque)
    for_readable: deque[Message] = field(default_factory=deque)
    for_object: dict[HObject, deque[Message]] = field(default_factory=dict)
    for_ondisk: dict[EVersion, list[WaitingDup]] = field(default_factory=dict)
    for_scrub: list[Message] = field(default_factory=list)
    """Writes to objects that are being scrubbed."""
    in_progress: list[OpContext] = field(default_factory=list)
    """Requests that have begun and wait for another OSD."""
    until_writable: dict[HObject, list[Callable[[], None]]] = field(default_factory=dict)
    """What the OSD itself wants to do to an object when it is everywhere again."""

    def count(self) -> int:
        """How many requests wait."""
        count = len(self.for_peered) + len(self.for_active) + len(self.for_readable)
        count += len(self.for_scrub)
        count += sum(map(len, self.for_map.values())) + sum(map(len, self.for_object.values()))
        return count + sum(map(len, self.for_ondisk.values())) + len(self.in_progress)

    def for_peering(self) -> list[Message]:
        """Takes all that wait for anything but a map: a new interval begins.

        In the order in which they go on when it is active: those that had begun come first.
        """
        taken: list[Message] = [ctx.request for ctx in self.in_progress if ctx.request is not None]
        for version in sorted(self.for_ondisk):
            taken += [dup.request for dup in self.for_ondisk[version]]
        for requests in self.for_object.values():
            taken += requests
        taken += self.for_scrub
        taken += self.for_readable
        taken += self.for_active
        taken += self.for_peered
        self.in_progress.clear()
        self.until_writable.clear()
        self.for_ondisk.clear()
        self.for_object.clear()
        self.for_scrub.clear()
        self.for_readable.clear()
        self.for_active.clear()
        self.for_peered.clear()
        return taken
