"""Monitors agree, whatever crashes, is cut off, lost, slow, or late by its clock.

Two thousand histories of three and five monitors with all troubles mixed, and one history for a
crash before and after each single store write. `SPIRULA_SEED=7` runs one seed; a failing seed is
named, with the end of its trace. The checks are in `quorum_world`; that they find what they are for
is shown by breaking the machines in known ways.
"""

from __future__ import annotations

import random
from unittest import mock

import pytest

from spirula.mon.quorum.leases import Grants, Promises, Received
from spirula.mon.quorum.paxos import Paxos
from spirula.mon.quorum.sync import Sync
from spirula.sim.histories import selected_seeds
from tests.sim.quorum_world import Node, Trouble, World, drawn_world, small_settings

HISTORIES = 2000
SHARDS = 8
SWEEP_S = 9.0
TRACE_LINES = 60
SEEDS_TO_FIND = 150


def run(seed: int, make) -> World:
    """The history of a seed; a failure names the seed, and tells how it ended."""
    world = make(seed)
    try:
        world.history()
    except Exception as error:
        again = make(seed, keep_trace=True)
        try:
            again.history()
        except type(error):
            error.add_note(f"SPIRULA_SEED={seed} runs this history alone: {world.trouble}")
            error.add_note("\n".join(again.trace[-TRACE_LINES:]))
        else:
            error.add_note(f"history {seed} does not repeat")
        raise
    return world


@pytest.mark.timeout(900)
@pytest.mark.parametrize("shard", range(SHARDS))
def test_histories_with_all_troubles(shard, pytestconfig):
    scale = int(pytestconfig.getoption("scale", 1) or 1)
    seeds = selected_seeds(HISTORIES * scale, shard, SHARDS)
    if not seeds:
        pytest.skip("SPIRULA_SEED belongs to another shard")
    worlds = [run(seed, drawn_world) for seed in seeds]
    if len(seeds) > 100:
        # That much happened, or the histories would show little.
        assert sum(len(world.acknowledged) for world in worlds) > 30 * len(seeds)
        assert sum(world.reads for world in worlds) > 30 * len(seeds)
        assert sum(world.syncs for world in worlds) > len(seeds) // 10
        assert sum(world.elections for world in worlds) > 8 * len(seeds)


def test_a_seed_repeats():
    for seed in range(0, 60, 6):
        first, second = drawn_world(seed), drawn_world(seed)
        first.history()
        second.history()
        assert first.digest() == second.digest()


class Sweep(World):
    """A short history in which one store write crashes its monitor."""

    def history(self, seconds: float = SWEEP_S) -> None:
        super().history(seconds)


def sweep_world(count: int, number: int, *, after: bool, keep_trace: bool = False) -> Sweep:
    trouble = Trouble(crash_commit_number=number, crash_after_landing=after)
    settings = small_settings(random.Random(1), pings=False)
    return Sweep(count, count, trouble, settings=settings, keep_trace=keep_trace)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [3, 5])
def test_a_crash_at_every_store_write(count):
    undisturbed = sweep_world(count, -1, after=False)
    undisturbed.run(SWEEP_S)
    undisturbed.history()
    writes = undisturbed.commits
    assert writes > 60
    step = 1 if count == 3 else 3
    for number in range(1, writes, step):
        for after in (False, True):
            try:
                sweep_world(count, number, after=after).history()
            except AssertionError as error:
                error.add_note(f"crash at write {number} of {count} monitors, {after=}")
                raise


def no_wait(self, members):
    return 0.0


def upstream_lease_end(self, peers, now):
    return now + self.lease_s


def lease_from_arrival(self, lease_wall, sent_wall, now):
    self.expires = max(self.expires, now + (lease_wall - sent_wall))


def commit_by_majority(self):
    if self._value and len(self._accepted) > self.q.size() // 2:
        self._commit()


def forget_uncommitted(self):
    return None


def learn_nothing(self, last):
    return None


def send_at_once(self):
    while self.outbox:
        _, action, what = self.outbox.popleft()
        action(what)


def apply_nothing(self, first, last):
    return None


LEASES = {
    "promises are not kept": (Promises, "kept_until", no_wait),
    "leases do not rest on answers": (Grants, "end", upstream_lease_end),
    "leases run from when they arrive": (Received, "grant", lease_from_arrival),
}
BROKEN = {
    "a majority is enough to commit": (Paxos, "_commit_if_accepted", commit_by_majority),
    "own accepted values are forgotten": (Paxos, "_own_uncommitted", forget_uncommitted),
    "accepted values of others are ignored": (Paxos, "_learn_uncommitted", learn_nothing),
    "messages do not wait for the disk": (Node, "release", send_at_once),
    "versions that came during a copy are not applied": (Sync, "_apply", apply_nothing),
}


def fails(make) -> bool:
    for seed in range(SEEDS_TO_FIND):
        try:
            make(seed).history()
        except Exception:  # noqa: BLE001  # a broken machine may fail in any way
            return True
    return False


@pytest.mark.parametrize("what", BROKEN)
def test_histories_find_what_is_broken(what):
    with mock.patch.object(*BROKEN[what]):
        assert fails(drawn_world), f"{SEEDS_TO_FIND} histories do not show that {what}"


def split_world(seed: int, *, keep_trace: bool = False) -> World:
    """The leader is cut off with a minority that reads, while the others go on without it."""
    rng = random.Random(seed)
    trouble = Trouble(split=True, skew_s=rng.choice((0.0, 2.0, 30.0)))
    settings = small_settings(rng, pings=False)
    return World(seed, 5, trouble, settings=settings, keep_trace=keep_trace)


def misled_world(seed: int, *, keep_trace: bool = False) -> World:
    """A leader is cut off with a minority that reads; the others are told that it is gone."""
    rng = random.Random(seed)
    trouble = Trouble(split=True, hints=True, false_hint_rate=0.02, skew_s=rng.choice((0.0, 2.0)))
    settings = small_settings(rng, pings=False)
    return World(seed, 3 + seed % 2 * 2, trouble, settings=settings, keep_trace=keep_trace)


def test_a_leader_that_is_cut_off_serves_nothing_stale():
    for seed in range(60):
        run(seed, split_world)


@pytest.mark.parametrize("what", LEASES)
def test_leases_need_each_of_their_rules(what):
    with mock.patch.object(*LEASES[what]):
        assert fails(misled_world) or fails(split_world), (
            f"{SEEDS_TO_FIND} histories do not show that {what}"
        )
