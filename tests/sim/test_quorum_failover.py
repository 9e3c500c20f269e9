"""How soon monitors are ready, and go on without one that was killed, stopped, or filled its disk.

Calm worlds of `quorum_world` with upstream's default settings; times are virtual seconds.
"""

from __future__ import annotations

import pytest

from spirula.mon.quorum import absence
from spirula.mon.quorum.member import Member
from spirula.mon.quorum.state import Phase, Settings
from tests.sim.quorum_world import SERVICE, Trouble, World
from tests.sim.test_quorum import SEEDS_TO_FIND, misled_world, run

FOR_EVER = 1e6


def calm_world(seed: int, count: int, late_s: float = 0.0, **trouble) -> World:
    """Monitors with upstream's settings that start within 50 ms, but for one that is late."""
    settings = Settings(sync_prefixes=("paxos", SERVICE))
    world = World(seed, count, Trouble(hints=True, **trouble), settings=settings)
    late = seed % count if late_s else -1
    for number, node in enumerate(world.nodes.values()):
        world.at(late_s if number == late else world.rng.random() * 0.05, node.start)
    return world


def full(world: World) -> bool:
    members = [node.member for node in world.nodes.values()]
    return all(m and len(m.state.quorum) == world.count for m in members) and all(
        m.paxos.state.value == "active" for m in members
    )


def until_acknowledged(world: World, limit_s: float = 60.0) -> float:
    """How long it takes until another write is acknowledged."""
    start, before = world.now, len(world.acknowledged)
    assert world.run(limit_s, lambda: len(world.acknowledged) > before)
    return world.now - start


def writing_world(seed: int, count: int, **trouble) -> World:
    """A calm world at a random moment of a stream of writes."""
    world = calm_world(seed, count, **trouble)
    assert world.run(30.0, lambda: full(world))
    world.often(50.0, world.leader_writes, 200.0)
    world.run(5.0 + world.rng.random() * 3)
    return world


def leader_of(world: World):
    return next(n for n in world.nodes.values() if n.member.state.phase is Phase.LEADER)


@pytest.mark.parametrize("late_s", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("count", [3, 5])
def test_fresh_monitors_are_ready_soon(count, late_s):
    for seed in range(15):
        world = calm_world(seed, count, late_s)
        assert world.run(late_s + 0.3, lambda world=world: full(world)), seed


@pytest.mark.parametrize(("same_host", "limit_s"), [(False, 3.5), (True, 1.3)])
@pytest.mark.parametrize("count", [3, 5])
def test_a_killed_leader_is_replaced_within_seconds(count, same_host, limit_s):
    for seed in range(15):
        world = writing_world(seed, count, same_host=same_host)
        leader_of(world).crash(FOR_EVER)
        assert until_acknowledged(world) < limit_s, seed


@pytest.mark.parametrize("same_host", [False, True])
def test_a_killed_peon_does_not_hold_commits_up_for_long(same_host):
    for seed in range(15):
        world = writing_world(seed, 3, same_host=same_host)
        next(n for n in world.nodes.values() if n is not leader_of(world)).crash(FOR_EVER)
        assert until_acknowledged(world) < 3.5, seed


def test_a_leader_that_is_killed_and_back_at_once_is_no_worse():
    for seed in range(15):
        world = writing_world(seed, 3)
        leader_of(world).crash(0.05 + seed / 10)
        assert until_acknowledged(world) < 3.5, seed
        assert world.run(5.0, lambda world=world: full(world)), seed


def test_a_leader_that_is_stopped_hands_over():
    for seed in range(15):
        world = writing_world(seed, 3)
        leader = leader_of(world)
        leader.member.step_aside("it is stopped", *leader.clocks())
        leader.flush()
        world.at(0.02, lambda leader=leader: leader.crash(FOR_EVER))
        assert until_acknowledged(world) < 0.4, seed


def test_a_monitor_that_is_only_cut_off_is_given_its_time():
    world = writing_world(1, 3)
    leader = leader_of(world)
    links = [(a, b) for a in world.nodes for b in world.nodes if leader.name in {a, b}]
    for link in links:
        world.blocked[link] = None
    world.quiet = {leader.name}
    assert 9.0 < until_acknowledged(world) < 20.0, "silence is no proof of death"
    world.mend(links)
    world.quiet.clear()
    assert world.run(10.0, lambda: full(world))


def test_a_full_disk_takes_one_monitor_out_and_back_in():
    for seed in range(15):
        world = writing_world(seed, 3)
        node = list(world.nodes.values())[seed % 3]
        node.room_after_s = 5.0
        node.fill()
        assert world.run(1.0, lambda node=node: node.member.store_failed), seed
        assert until_acknowledged(world) < 0.5, seed
        others = [n.member for n in world.nodes.values() if n is not node]
        assert all(member.state.absent[node.name].startswith("ENOSPC") for member in others)
        assert world.run(20.0, lambda world=world: full(world)), seed
        assert all(member.state.absent == {} for member in others)


# --- what hints must not do


def test_wrong_hints_make_no_read_stale():
    for seed in range(60):
        run(seed, misled_world)


def believe_everything(one, other):
    return True


def drop_one_more(self, rank, epoch):
    self.paxos.leases_dropped(self.state.monmap.ranks[rank], epoch + 1)


@pytest.mark.parametrize(
    "broken",
    [(absence, "_same_host", believe_everything), (Member, "spoke_in", drop_one_more)],
    ids=["other hosts are believed", "who won an election is taken to have left it"],
)
def test_histories_find_hints_that_are_believed_too_much(broken, monkeypatch):
    monkeypatch.setattr(*broken)
    for seed in range(SEEDS_TO_FIND):
        try:
            misled_world(seed).history()
        except AssertionError as error:
            assert "served" in str(error)  # which check finds it is the point
            return
    pytest.fail(f"{SEEDS_TO_FIND} histories do not show it")
