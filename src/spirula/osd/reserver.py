"""Slots of an OSD for recovery and backfill: who has one, who waits, and who has to give one back.

An OSD has two: one for the PGs that it leads, one for those that others lead. The higher priority
comes first, and takes a slot from a lower one that can be preempted. Called by `pg.peering`.
Behaviour: upstream `src/common/AsyncReserver.h`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spirula.errors import InvariantBroken
from spirula.printing import Items
from spirula.types.pg import SPGId

if TYPE_CHECKING:
    from spirula.conf.config import Config

    Defer = Callable[[Callable[[], None]], object]


@dataclass(slots=True, eq=False)
class Reservation:
    """A PG's wish. `preempt` is None for one that keeps its slot until it gives it back."""

    pgid: SPGId
    priority: int
    grant: Callable[[], None]
    preempt: Callable[[], None] | None
    cancelled: bool = False

    def plain(self) -> dict[str, object]:
        """For the admin socket, as upstream names it."""
        return {
            "item": str(self.pgid),
            "prio": self.priority,
            "can_preempt": self.preempt is not None,
        }


@dataclass(slots=True, eq=False)
class Reserver:
    """At most `most` PGs have a slot at a time, none below `min_priority`.

    `defer` calls a function soon, but not at once: neither grant nor preemption comes while
    somebody asks for something. What was given back before that is not told any more.
    """

    defer: Defer
    most: int
    min_priority: int = 0
    _queues: dict[int, deque[Reservation]] = field(default_factory=dict)
    _queued: dict[SPGId, Reservation] = field(default_factory=dict)
    _granted: dict[SPGId, Reservation] = field(default_factory=dict)
    _preempted: dict[SPGId, Reservation] = field(default_factory=dict)

    def request(
        self,
        pgid: SPGId,
        priority: int,
        grant: Callable[[], None],
        preempt: Callable[[], None] | None = None,
    ) -> None:
        """Asks for a slot. Raises InvariantBroken if the PG waits for one or has one."""
        if pgid in self._queued or pgid in self._granted:
            raise InvariantBroken(f"pg {pgid} asks for a slot a second time")
        self._enqueue(Reservation(pgid, priority, grant, preempt))
        self._serve()

    def cancel(self, pgid: SPGId) -> None:
        """Gives a slot back, or wants none any more; nothing happens if there is neither."""
        found = self._queued.pop(pgid, None)
        if found is not None:
            self._leave_queue(found)
            found.cancelled = True
        for gone in (self._granted.pop(pgid, None), self._preempted.pop(pgid, None)):
            if gone is not None:
                gone.cancelled = True
        self._serve()

    def update_priority(self, pgid: SPGId, priority: int) -> None:
        """Changes the priority of who waits (at the end of its new queue) or has a slot."""
        found = self._queued.get(pgid)
        if found is not None and found.priority != priority:
            self._leave_queue(found)
            found.priority = priority
            self._enqueue(found)
        granted = self._granted.get(pgid)
        if granted is not None:
            granted.priority = priority
        self._serve()

    def set_max(self, most: int) -> None:
        """Has more slots, or fewer: then some are taken back."""
        self.most = most
        self._serve()

    def set_min_priority(self, priority: int) -> None:
        """Nobody below this gets a slot, or keeps one that can be taken back."""
        self.min_priority = priority
        self._serve()

    @property
    def has_granted(self) -> bool:
        """Whether anybody has a slot."""
        return bool(self._granted)

    def has(self, pgid: SPGId) -> bool:
        """Whether this PG has a slot."""
        return pgid in self._granted

    def plain(self) -> dict[str, object]:
        """For the admin socket, as upstream names it."""
        return {
            "max_allowed": self.most,
            "min_priority": self.min_priority,
            "queues": Items(
                "queue",
                [
                    {
                        "priority": priority,
                        "items": Items("item", [each.plain() for each in self._queues[priority]]),
                    }
                    for priority in sorted(self._queues)
                ],
            ),
            "in_progress": Items("item", [self._granted[one].plain() for one in self._in_order()]),
        }

    def _in_order(self) -> list[SPGId]:
        return sorted(self._granted, key=_place)

    def _enqueue(self, wish: Reservation) -> None:
        self._queues.setdefault(wish.priority, deque()).append(wish)
        self._queued[wish.pgid] = wish

    def _leave_queue(self, wish: Reservation) -> None:
        queue = self._queues[wish.priority]
        queue.remove(wish)
        if not queue:
            del self._queues[wish.priority]

    def _lowest(self) -> Reservation | None:
        """Who would have to give a slot back first."""
        can = [each for each in self._granted.values() if each.preempt is not None]
        return min(can, key=lambda each: (each.priority, _place(each.pgid)), default=None)

    def _preempt(self, victim: Reservation) -> None:
        del self._granted[victim.pgid]
        self._preempted[victim.pgid] = victim

        def tell() -> None:
            if not victim.cancelled and victim.preempt is not None:
                del self._preempted[victim.pgid]
                victim.preempt()

        self.defer(tell)

    def _serve(self) -> None:
        lowest = self._lowest()
        while lowest is not None and (
            len(self._granted) > self.most or lowest.priority < self.min_priority
        ):
            self._preempt(lowest)
            lowest = self._lowest()
        while self._queues:
            highest = max(self._queues)
            if highest < self.min_priority:
                return
            if len(self._granted) >= self.most:
                lowest = self._lowest()
                if lowest is not None and highest > lowest.priority:
                    self._preempt(lowest)
            if len(self._granted) >= self.most:
                return
            self._grant(self._queues[highest][0])

    def _grant(self, wish: Reservation) -> None:
        self._leave_queue(wish)
        del self._queued[wish.pgid]
        self._granted[wish.pgid] = wish

        def tell() -> None:
            if not wish.cancelled:
                wish.grant()

        self.defer(tell)


def _place(pgid: SPGId) -> tuple[int, int, int]:
    return pgid.pgid.pool, pgid.pgid.seed, pgid.shard


@dataclass(slots=True, eq=False)
class Reservers:
    """Those of an OSD: `local` for PGs that it leads, `remote` for PGs of which it is a replica."""

    local: Reserver
    remote: Reserver

    @classmethod
    def watch(cls, defer: Defer, config: Config) -> Reservers:
        """With the sizes that the configuration has now and whenever it changes."""
        made = cls(Reserver(defer, 1), Reserver(defer, 1))

        def read(changed: object) -> None:
            del changed
            for each in (made.local, made.remote):
                each.set_min_priority(config.get_int("osd_min_recovery_priority"))
                each.set_max(config.get_int("osd_max_backfills"))

        read(None)
        config.observe(("osd_max_backfills", "osd_min_recovery_priority"), read)
        return made

    def plain(self) -> dict[str, object]:
        """`dump_recovery_reservations`."""
        return {
            "local_reservations": self.local.plain(),
            "remote_reservations": self.remote.plain(),
        }
