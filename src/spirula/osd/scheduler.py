"""Gives background work its turns beside clients: recovery, backfill, scrub, trimming, deletion.

Operations of clients are never queued: they are carried out as they come. Whatever else an OSD
does, it does in small pieces and asks for a turn before each:

    turn = pg.shared.scheduler.ask(Kind.RECOVERY, len(data), partial(_push, pg, hoid))
    ...
    turn.cancel()  # the interval is over: it is not wanted any more

Between two turns the event loop takes in what has come from clients. A pass of the loop that had
nothing of clients is free, and the next piece of work goes. While clients leave no pass free, work
gets its share of what the OSD does, as `shares` tells by the options, and pauses (`*_sleep`) and
bounds are kept in any case. Upstream: `src/osd/scheduler`, where all of it waits in one queue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from spirula.osd.shares import CLIENT, Shares

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Handle


_MANY = 100
"""How many rests are remembered before those that are over are forgotten."""


class Kind(StrEnum):
    """What background work there is."""

    RECOVERY = "recovery"
    BACKFILL = "backfill"
    SCRUB = "scrub"
    SNAP_TRIM = "snap_trim"
    DELETE = "delete"


class Seen(NamedTuple):
    """What an OSD has had of clients so far: operations done, their bytes, how many are on hand."""

    ops: int = 0
    size: int = 0
    in_flight: int = 0


def _nothing_seen() -> Seen:
    return Seen()


@dataclass(slots=True, eq=False)
class Turn:
    """One piece of work: `cost` bytes that it reads or writes, `then` does it.

    `who` rests after it; None: all work of its kind does.
    """

    kind: Kind
    cost: int
    then: Callable[[], None]
    asked: float
    who: object = None
    is_over: bool = False
    """It was given, or is not wanted any more."""

    def cancel(self) -> None:
        """The work is not to be done; nothing happens if it was."""
        self.is_over = True


@dataclass(slots=True, eq=False)
class _Queue:
    """The turns asked for of one class of work (`Shares.class_of`).

    `virtual` is the class's virtual time: the costs of what it did by its share. `limited_until`:
    when it may go on by its bound.
    """

    turns: deque[Turn] = field(default_factory=deque)
    virtual: float = 0.0
    limited_until: float = 0.0
    last_given: int = 0
    """Among all turns of the OSD, which was the class's last."""

    def head(self) -> Turn | None:
        """The next turn that is still wanted."""
        turns = self.turns
        while turns and turns[0].is_over:
            turns.popleft()
        return turns[0] if turns else None


@dataclass(slots=True, eq=False)
class Scheduler:
    """One per OSD. `seen` tells what clients had of the OSD, with replicas' part of it."""

    loop: AbstractEventLoop
    shares: Shares
    seen: Callable[[], Seen] = _nothing_seen
    replica_ops: int = 0
    replica_bytes: int = 0
    """Clients' operations that this OSD carried out for a primary; `seen` has them in it."""
    given: dict[Kind, int] = field(default_factory=dict)
    """How many turns each kind was given."""
    _queues: dict[str, _Queue] = field(default_factory=dict)
    _resting_until: dict[tuple[Kind, object], float] = field(default_factory=dict)
    _client_virtual: float = 0.0
    _before: Seen | None = None
    """What had been seen when the pass began that is over now; None: that was no pass of ours."""
    _counted: Seen = field(default_factory=Seen)
    """What of clients is in `_client_virtual`."""
    _count: int = 0
    _armed: Handle | None = None
    _at: float | None = None
    """When the timer is due that is set, None if it is a pass of the loop that is waited for."""

    def ask(self, kind: Kind, cost: int, then: Callable[[], None], who: object = None) -> Turn:
        """Has `then` called, soon: never from within this call.

        `cost` is about how many bytes are read or written for it, in all. What needs no disk and
        no network (a list of names in memory) needs no turn either. Turns of one class are given
        in the order in which they were asked for, but for those whose `who` rests: a PG, where each
        rests by itself; otherwise all work of the kind does.
        """
        turn = Turn(kind, cost, then, self.loop.time(), who)
        name = self.shares.class_of(kind)
        queue = self._queues.get(name)
        if queue is None:
            queue = self._queues[name] = _Queue()
        queue.turns.append(turn)
        if self._armed is None or self._at is not None:
            self._arm_pass()
        return turn

    def stop(self) -> None:
        """No turn is given any more."""
        for queue in self._queues.values():
            queue.turns.clear()
        self._disarm()

    def dump(self) -> dict[str, object]:
        """What waits, for the admin socket."""
        now = self.loop.time()
        classes: list[object] = []
        for name, queue in sorted(self._queues.items()):
            waiting = [turn for turn in queue.turns if not turn.is_over]
            oldest = max((now - turn.asked for turn in waiting), default=0.0)
            classes.append(
                {
                    "class": name,
                    "num_waiting": len(waiting),
                    "oldest_age": oldest,
                    "limited_for": max(queue.limited_until - now, 0.0),
                    "share": self._share(name),
                }
            )
        return {
            "type": self.shares.queue,
            "profile": self.shares.profile,
            "classes": classes,
            "given": {str(kind): count for kind, count in sorted(self.given.items())},
        }

    # ------------------------------------------------------------------------- passes of the loop

    def _disarm(self) -> None:
        if self._armed is not None:
            self._armed.cancel()
        self._armed, self._at = None, None

    def _arm_pass(self) -> None:
        self._disarm()
        self._before = self.seen()
        self._armed = self.loop.call_soon(self._on_pass)

    def _arm_timer(self, at: float) -> None:
        self._disarm()
        self._at = at
        self._armed = self.loop.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._armed, self._at = None, None
        self._arm_pass()

    def _on_pass(self) -> None:
        """A whole pass of the loop is over: look whose turn it is, if anybody's."""
        self._armed = None
        now = self.loop.time()
        is_free = self.seen() == self._before
        self._count_clients()
        soonest: float | None = None
        waits = False
        ready: list[tuple[_Queue, str, Turn]] = []
        for name, queue in self._queues.items():
            turn, at = self._next(queue, now)
            if turn is None:
                if at:
                    soonest = at if soonest is None else min(at, soonest)
                continue
            self._keep_up(queue, name, turn)
            if is_free or queue.virtual <= self._client_virtual:
                ready.append((queue, name, turn))
            else:
                waits = True
        if ready:
            queue, name, turn = min(ready, key=lambda each: (each[0].virtual, each[0].last_given))
            self._charge(now, queue, name, turn)
            if is_free:
                # what clients did not want is not held against those who took it
                least = min(each[0].virtual for each in ready)
                self._client_virtual = max(self._client_virtual, least)
            self._give(queue, turn)
        elif waits:
            self._arm_pass()  # clients keep the loop busy: it does not turn for us alone
        elif soonest is not None:
            self._arm_timer(soonest)

    def _next(self, queue: _Queue, now: float) -> tuple[Turn | None, float]:
        """The next turn of a class that does not rest; or when one may come (0.0: none waits)."""
        soonest, resting = 0.0, self._resting_until
        if queue.head() is None:
            return None, 0.0
        if queue.limited_until > now:
            return None, queue.limited_until
        for turn in queue.turns:
            if turn.is_over:
                continue
            at = resting.get((turn.kind, turn.who), 0.0) if resting else 0.0
            if at <= now:
                return turn, 0.0
            soonest = min(at, soonest) if soonest else at
        return None, soonest

    def _charge(self, now: float, queue: _Queue, name: str, turn: Turn) -> None:
        shares = self.shares
        cost, bound = shares.scaled(turn.cost), shares.of(name).limit
        if bound:
            queue.limited_until = max(queue.limited_until, now) + cost / bound
        queue.virtual += cost / self._share(name)
        rest = shares.sleep_after(turn.kind)
        if rest:
            resting = self._resting_until
            resting[turn.kind, turn.who] = now + rest
            if len(resting) > _MANY:
                self._resting_until = {key: at for key, at in resting.items() if at > now}

    def _keep_up(self, queue: _Queue, name: str, turn: Turn) -> None:
        """Who did nothing for a while is not owed more than a piece of work."""
        clients = self._client_virtual
        if queue.virtual < clients:
            piece = self.shares.scaled(turn.cost) / self._share(name)
            queue.virtual = max(queue.virtual, clients - piece)

    def _give(self, queue: _Queue, turn: Turn) -> None:
        self._count += 1
        queue.last_given = self._count
        self.given[turn.kind] = self.given.get(turn.kind, 0) + 1
        queue.turns.remove(turn)
        turn.is_over = True
        if any(each.head() is not None for each in self._queues.values()):
            self._arm_pass()
        turn.then()

    # ------------------------------------------------------------------------------------- shares

    def _count_clients(self) -> None:
        """Clients' virtual time goes on by what they did since it was looked at."""
        seen, before = self.seen(), self._counted
        ops, size = seen.ops - before.ops, seen.size - before.size
        self._counted = seen
        if ops > 0:
            cost = ops * self.shares.scaled(size // ops)
            self._client_virtual += cost / self._share(CLIENT)

    def _share(self, name: str) -> float:
        """A class's part of what is done while it, all who wait, and clients want more."""
        waiting = {each for each, queue in self._queues.items() if queue.head() is not None}
        return self.shares.share(name, waiting | {name, CLIENT})
