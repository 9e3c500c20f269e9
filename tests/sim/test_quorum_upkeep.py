"""A quorum in virtual time finds clocks that differ, and stores that do."""

from __future__ import annotations

from spirula.mon.quorum.state import Settings
from spirula.mon.store import Transaction
from tests.sim.quorum_world import SERVICE, Trouble, World
from tests.sim.test_quorum_failover import full, leader_of

ALLOWED_S = 0.05
LATENCY_S = 0.02


def quorum(seed: int, **trouble) -> World:
    settings = Settings(sync_prefixes=("paxos", SERVICE), mon_scrub_max_keys=10)
    world = World(seed, 3 + seed % 2 * 2, Trouble(**trouble), settings=settings)
    for node in world.nodes.values():
        node.start()
    assert world.run(30.0, lambda: full(world))
    world.often(20.0, world.leader_writes, 10.0)
    world.run(12.0)
    return world


def test_each_monitor_knows_whose_clock_differs():
    for seed in range(40):
        world = quorum(seed, skew_s=(0.02, 0.3, 30.0)[seed % 3], slow_link=0.2)
        leader = leader_of(world)
        for node in world.nodes.values():
            told = {skew.name: skew for skew in node.member.timecheck.status()}
            assert told.keys() == world.nodes.keys(), seed
            for name, other in world.nodes.items():
                true = other.skew - leader.skew
                # Never more than is true, and less by no more than the way there and back.
                slack = told[name].latency + LATENCY_S
                assert abs(told[name].skew) <= abs(true) + 1e-6
                assert abs(told[name].skew) >= abs(true) - max(slack, 1.0 * (name in slow(world)))
                assert bool(told[name].details) == (abs(told[name].skew) > ALLOWED_S)


def slow(world: World) -> set[str]:
    """Monitors to or from which messages are slow."""
    return {name for link in world.slow_links for name in link}


def test_stores_are_the_same_and_one_that_is_not_is_found():
    for seed in range(20):
        world = quorum(seed)
        leader = leader_of(world)
        leader.member.scrub(*leader.clocks())
        leader.flush()
        world.run(2.0)
        assert {level for level, _ in world.logged} == {"debug"}
        assert len(world.logged) > 3
        world.logged.clear()
        rotten = next(node for node in world.nodes.values() if node is not leader)
        rotten.store.stage(Transaction().put(SERVICE, "register", b"rotten").value)
        leader.member.scrub(*leader.clocks())
        leader.flush()
        world.run(2.0)
        rank = world.monmap.rank_of(rotten.name)
        errors = [text for level, text in world.logged if level == "error"]
        assert errors[0] == "scrub mismatch"
        assert [text.split()[0] for text in errors[1:]] == ["mon.0", f"mon.{rank}"]
