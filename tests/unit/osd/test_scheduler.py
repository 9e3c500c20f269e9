"""Turns of background work beside clients: shares, pauses, bounds, and nobody starves."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spirula.conf.config import Config
from spirula.osd.scheduler import Kind, Scheduler, Seen, Turn
from spirula.osd.shares import Shares

_OP_S = 0.0003
_KIB, _MIB = 1 << 10, 1 << 20


@dataclass(eq=False)
class _Handle:
    when: float
    seq: int
    call: Callable[[], None] | None

    def cancel(self) -> None:
        self.call = None

    def __lt__(self, other: _Handle) -> bool:
        return (self.when, self.seq) < (other.when, other.seq)


@dataclass(eq=False)
class _Loop:
    """A loop in which work takes time: each pass runs what is ready, then what came of clients.

    `every_s` is how often a client's operation comes (0: whenever one is done, as many as
    `depth` at a time; None: never). Time is the sum of what was done, or idle.
    """

    every_s: float | None
    depth: int = 4
    now: float = 0.0
    handles: list[_Handle] = field(default_factory=list)
    seq: int = 0
    ops: int = 0
    last_came: float = 0.0

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[[], None]) -> _Handle:
        self.seq += 1
        handle = _Handle(when, self.seq, call)
        heapq.heappush(self.handles, handle)
        return handle

    def call_soon(self, call: Callable[[], None]) -> _Handle:
        return self.call_at(self.now, call)

    def seen(self) -> Seen:
        return Seen(self.ops, self.ops * 4 * _KIB, 0)

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            before = self.now
            ready = []
            while self.handles and self.handles[0].when <= self.now:
                ready.append(heapq.heappop(self.handles))
            for handle in ready:
                if handle.call is not None:
                    handle.call()
            self._clients()
            if self.now == before and not ready:
                self._idle(end)

    def _clients(self) -> None:
        if self.every_s is None:
            return
        if self.every_s == 0:
            due = self.depth
        else:
            due = int((self.now - self.last_came) / self.every_s)
            self.last_came += due * self.every_s
        self.ops += due
        self.now += due * _OP_S

    def _idle(self, end: float) -> None:
        times = [end]
        if self.handles:
            times.append(self.handles[0].when)
        if self.every_s:
            times.append(self.last_came + self.every_s)
        self.now = max(min(times), self.now + 1e-9)


@dataclass(eq=False)
class _World:
    loop: _Loop
    scheduler: Scheduler
    done: dict[Kind, int] = field(default_factory=dict)
    longest_wait: dict[Kind, float] = field(default_factory=dict)

    def always(self, kind: Kind, size: int, takes_s: float) -> None:
        """There is always more of this work to do."""
        asked = self.loop.now

        def work() -> None:
            self.loop.now += takes_s
            self.done[kind] = self.done.get(kind, 0) + 1
            waited = self.loop.now - asked
            self.longest_wait[kind] = max(self.longest_wait.get(kind, 0.0), waited)
            self.always(kind, size, takes_s)

        self.scheduler.ask(kind, size, work)


def _world(every_s: float | None = None, depth: int = 4, **options: Any) -> _World:
    config = Config(daemon=True)
    for name, value in options.items():
        config.set(name, str(value))
    config.apply_changes()
    loop = _Loop(every_s, depth)
    return _World(loop, Scheduler(loop, Shares(config), loop.seen))  # type: ignore[arg-type]


_MCLOCK = {"osd_op_queue": "mclock_scheduler"}


def test_alone_work_goes_without_a_pause() -> None:
    world = _world()
    world.always(Kind.RECOVERY, 4 * _MIB, 0.01)
    world.loop.run(10)
    assert world.done[Kind.RECOVERY] >= 999


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from([Kind.RECOVERY, Kind.BACKFILL, Kind.SCRUB, Kind.SNAP_TRIM]),
    st.integers(1, 40),
    st.integers(1, 32),
    st.sampled_from([4 * _KIB, 64 * _KIB, _MIB, 4 * _MIB]),
)
def test_beside_clients_that_never_rest_it_has_its_share(
    kind: Kind, priority: int, depth: int, size: int
) -> None:
    options = {
        "osd_recovery_op_priority": priority,
        "osd_scrub_priority": priority,
        "osd_snap_trim_priority": priority,
    }
    world = _world(0, depth, **options)
    cost = 1 + size / (256 * _KIB)
    world.always(kind, size, cost * _OP_S)
    world.loop.run(4)
    had = world.done[kind] * cost
    clients = world.loop.ops * (1 + 4 / 256)
    # one piece more or less, and never more than one between two passes
    most_by_passes = clients / depth * cost
    expected = min(clients * priority / 63, most_by_passes)
    assert expected * 0.75 - cost <= had <= clients * priority / 63 * 1.05 + cost


@settings(max_examples=8, deadline=None)
@given(st.floats(0.2, 0.8))
def test_work_takes_what_clients_leave(load: float) -> None:
    world = _world(_OP_S / load)
    world.always(Kind.RECOVERY, 4 * _KIB, _OP_S)
    world.loop.run(2)
    # all clients' operations were done, and most of the rest of the time was used
    assert world.loop.ops >= 2 / (_OP_S / load) * 0.99
    assert world.done[Kind.RECOVERY] * _OP_S >= 2 * (1 - load) * 0.4


@settings(max_examples=12, deadline=None)
@given(st.sets(st.sampled_from(sorted(Kind)), min_size=2), st.booleans())
def test_no_kind_of_work_starves(kinds: set[Kind], mclock: bool) -> None:
    world = _world(0, **(_MCLOCK if mclock else {}), osd_delete_sleep_ssd=0.01)
    for kind in kinds:
        world.always(kind, 64 * _KIB, _OP_S)
    world.loop.run(4)
    for kind in kinds:
        assert world.done[kind] > 5
        assert world.longest_wait[kind] < 2


@pytest.mark.parametrize(
    ("profile", "share"),
    [
        # a quarter reserved, and a third of the quarter that nobody has reserved
        ("high_client_ops", 0.25 + 0.25 / 3),
        ("balanced", 0.4 + 0.2 / 2),
        ("high_recovery_ops", 0.6 + 0.1 * 2 / 3),
    ],
)
def test_profiles_reserve_a_part(profile: str, share: float) -> None:
    world = _world(0, 1, **_MCLOCK, osd_mclock_profile=profile)
    world.always(Kind.RECOVERY, 4 * _KIB, _OP_S)
    world.loop.run(3)
    had = world.done[Kind.RECOVERY]
    # at most one piece of work goes between two passes, each of which has one operation here
    assert had / (had + world.loop.ops) == pytest.approx(min(share, 0.5), rel=0.15)


def test_profiles_alone_say_how_much_is_done_at_the_same_time() -> None:
    config = _world(**_MCLOCK).scheduler.shares.config
    assert config.get_int("osd_max_backfills") == config.get_int("osd_recovery_max_active") == 1000
    config = _world(**_MCLOCK, osd_max_backfills=3).scheduler.shares.config
    assert config.get_int("osd_max_backfills") == 3
    config = _world().scheduler.shares.config
    assert config.get_int("osd_max_backfills") == 1


def test_a_bound_holds_when_nobody_else_wants_anything() -> None:
    world = _world(
        **_MCLOCK, osd_mclock_profile="custom", osd_mclock_scheduler_background_recovery_lim=50
    )
    world.always(Kind.RECOVERY, 4 * _KIB, 0.0001)
    world.loop.run(10)
    assert 490 <= world.done[Kind.RECOVERY] <= 501


def test_sleeps_lie_between_pieces() -> None:
    world = _world(osd_recovery_sleep=0.1)
    world.always(Kind.RECOVERY, _MIB, 0.001)
    world.loop.run(10)
    assert 95 <= world.done[Kind.RECOVERY] <= 101
    world.scheduler.shares.config.set("osd_recovery_sleep", "0.01")
    world.scheduler.shares.config.apply_changes()
    world.loop.run(1)
    assert world.done[Kind.RECOVERY] > 180


def test_each_of_several_may_rest_by_itself() -> None:
    world = _world(osd_delete_sleep=1)
    done: list[tuple[float, str]] = []

    def work(name: str) -> None:
        done.append((round(world.loop.now, 3), name))
        world.scheduler.ask(Kind.DELETE, 1, partial(work, name), name)

    for name in "abc":
        world.scheduler.ask(Kind.DELETE, 1, partial(work, name), name)
    world.loop.run(2.5)
    assert [name for _, name in done] == ["a", "b", "c"] * 3
    assert [at for at, _ in done] == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_what_rested_does_not_make_up_for_it() -> None:
    """Work that may not go on for a while has no more than its share afterwards."""
    world = _world(0, osd_recovery_sleep=5.0)
    world.always(Kind.RECOVERY, 4 * _KIB, _OP_S)
    world.loop.run(4)
    ops = world.loop.ops
    world.scheduler.shares.config.set("osd_recovery_sleep", "0")
    world.scheduler.shares.config.apply_changes()
    world.loop.run(2)
    assert world.done[Kind.RECOVERY] <= (world.loop.ops - ops) * 3 / 63 * 1.1 + 2


def test_a_turn_that_is_not_wanted_any_more_is_not_given() -> None:
    world = _world()
    given_turns: list[str] = []
    turns: list[Turn] = [
        world.scheduler.ask(Kind.SCRUB, 1, partial(given_turns.append, name)) for name in "abc"
    ]
    turns[1].cancel()
    assert not given_turns
    world.loop.run(1)
    assert given_turns == ["a", "c"]
    world.scheduler.ask(Kind.SCRUB, 1, lambda: given_turns.append("late"))
    world.scheduler.stop()
    world.loop.run(1)
    assert given_turns == ["a", "c"]
    assert world.scheduler.dump()["given"] == {"scrub": 2}
