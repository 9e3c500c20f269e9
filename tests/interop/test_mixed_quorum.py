"""Real monitors and members of ours in one quorum: both lead, follow, copy, compare and go on.

One monitor of a real cluster is killed, and one of ours takes its place under the same name and
key, with an empty store; its services stay silent, everything of the quorum is there.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from spirula.mon.quorum.state import ClusterLog, Joined
from spirula.mon.store import get_number
from tests.interop.quorum_node import QuorumNode
from tests.interop.realcluster import RealCluster

Factory = Callable[..., AbstractContextManager[RealCluster]]
LATER_EPOCH = 1000
NOT_WAITED_S = 10.0
"""Whoever waits for one that is gone, waits for its lease and then for an election: 15 s."""
pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(real_ceph: Factory):
    """Three real monitors; new ones for each test, as ours leave with what only they had heard."""
    with real_ceph(mons=3, osds=0) as made:
        yield made


async def ceph(cluster: RealCluster, *words: str) -> str:
    """What `ceph WORDS` prints."""
    return await asyncio.to_thread(cluster.run, "ceph", "--connect-timeout", "60", *words)


async def status_of(cluster: RealCluster, name: str) -> dict[str, object]:
    """What a real monitor says of itself at its admin socket."""
    socket = str(cluster.folder / "run" / f"mon.{name}.asok")
    words = ("ceph", "--admin-daemon", socket, "mon_status")
    status: dict[str, object] = json.loads(await asyncio.to_thread(cluster.run, *words))
    return status


async def stored(cluster: RealCluster, name: str, key: str) -> bytes:
    """What the store of a real monitor that is not running holds as value of a config-key."""
    store, out = cluster.folder / f"mon.{name}" / "store.db", cluster.folder / "value"
    words = ("ceph-kvstore-tool", "rocksdb", str(store), "get", "mon_config_key", key)
    await asyncio.to_thread(cluster.run, *words, "out", str(out))
    return out.read_bytes()


async def kill(cluster: RealCluster, name: str) -> None:
    await asyncio.to_thread(cluster.kill, f"mon.{name}", how=signal.SIGKILL)


async def logged(cluster: RealCluster, text: str, limit_s: float = 60.0) -> str:
    """Wait for a line of the cluster log; that line."""
    end = time.monotonic() + limit_s
    while True:
        lines = await ceph(cluster, "log", "last", "200", "debug", "cluster")
        found = [line for line in lines.splitlines() if text in line]
        if found:
            return found[-1]
        assert time.monotonic() < end, f"no {text!r} in\n{lines}"
        await asyncio.sleep(0.5)


def checksums(line: str) -> dict[str, tuple[str, ...]]:
    """Number of keys and checksum by prefix, of a line about a scrub."""
    found: dict[str, tuple[str, ...]] = {}
    for part in line.split("{")[1:]:
        for pair in part.split("}")[0].split(","):
            prefix, _, value = pair.partition("=")
            found[prefix] = (*found.get(prefix, ()), value)
    return found


def same_but_osdmap(one: str, other: str) -> bool:
    """Whether two stores hold the same where no service adds what it makes of it by itself.

    (The OSD map's service keeps the newest full map under `osdmap/full_latest`.)
    """
    mine, yours = checksums(one), checksums(other)
    # A scrub goes through the store in steps; the line is about one where something differs.
    assert mine, one
    return {prefix for prefix in mine | yours if mine.get(prefix) != yours.get(prefix)} <= {
        "osdmap"
    }


async def all_back(cluster: RealCluster) -> None:
    for name in cluster.mon_ports:
        if f"mon.{name}" not in cluster.daemons:
            cluster.launch(f"mon.{name}")
    await asyncio.to_thread(cluster.wait_ready)


def test_ours_copies_the_store_follows_and_is_counted(cluster: RealCluster) -> None:
    async def scenario() -> None:
        await ceph(cluster, "config-key", "set", "spirula/before", "copied")
        await kill(cluster, "c")
        async with QuorumNode(cluster, "c") as node:
            await node.until(lambda: node.in_quorum(0, 1, 2))
            assert node.store.get("mon_config_key", "spirula/before") == b"copied"

            await ceph(cluster, "config-key", "set", "spirula/one", "first")
            await node.until(lambda: node.store.get("mon_config_key", "spirula/one") == b"first")

            # The leader asks for everybody's time once there is a quorum, and then tells all.
            skews = {}
            while "c" not in skews:
                status = json.loads(await ceph(cluster, "time-sync-status", "--format", "json"))
                skews = status.get("time_skew_status", {})
            assert skews["c"]["health"] == "HEALTH_OK"
            await node.until(
                lambda: {skew.name for skew in node.member.timecheck.status()} == {"a", "b", "c"}
            )
            await ceph(cluster, "mon", "scrub")
            mine, ours = [await logged(cluster, f" mon.{rank} ScrubResult(") for rank in (0, 2)]
            assert same_but_osdmap(mine, ours)

            # Of three monitors one real one is left: only with ours there is a majority.
            await kill(cluster, "b")
            await ceph(cluster, "config-key", "set", "spirula/two", "second")
            await node.until(lambda: node.in_quorum(0, 2))
            await node.until(lambda: node.store.get("mon_config_key", "spirula/two") == b"second")
            assert get_number(node.store, "paxos", "last_committed") > 10

            # Two real ones have to know of it before ours leaves; the one that comes back does when
            # it accepts what comes next.
            cluster.launch("mon.b")
            await node.until(lambda: node.in_quorum(0, 1, 2))
            await ceph(cluster, "config-key", "set", "spirula/three", "third")
        await all_back(cluster)
        assert (await ceph(cluster, "config-key", "get", "spirula/two")).strip() == "second"

    asyncio.run(scenario())


def test_ours_leads_real_monitors(cluster: RealCluster) -> None:
    async def scenario() -> None:
        await kill(cluster, "a")
        async with QuorumNode(cluster, "a", LATER_EPOCH) as node:
            await node.until(lambda: node.in_quorum(0, 1, 2))
            assert node.leads
            joined = [event for event in node.events if isinstance(event, Joined)][-1]
            assert joined.metadata[1]["ceph_version_short"].startswith("16.2")

            version = await node.propose("mon_config_key", "spirula/ours", b"by ours")
            assert version == get_number(node.store, "paxos", "last_committed")
            for peon in "bc":
                status = await status_of(cluster, peon)
                while (status["state"], status["quorum"]) != ("peon", [0, 1, 2]):
                    status = await status_of(cluster, peon)

            await node.until(lambda: len(node.member.timecheck.status()) == 3)
            assert all(not skew.details for skew in node.member.timecheck.status())
            node.member.scrub(*node.clocks())
            node.flush()

            def scrubbed() -> list[str]:
                lines = [event.text for event in node.events if isinstance(event, ClusterLog)]
                return [line for line in lines if line.startswith(" mon.")]

            await node.until(lambda: len(scrubbed()) >= 4)
            ours, *real = sorted(set(scrubbed()))[:3]
            assert ours.startswith(" mon.0 ")
            assert all(same_but_osdmap(ours, line) for line in real), scrubbed()

            # One that is killed is not waited for.
            await kill(cluster, "c")
            took = await node.until(lambda: node.in_quorum(0, 1))
            assert took < NOT_WAITED_S, took
            assert await stored(cluster, "c", "spirula/ours") == b"by ours"
            before = time.monotonic()
            await node.propose("mon_config_key", "spirula/after", b"still")
            assert time.monotonic() - before < NOT_WAITED_S

            cluster.launch("mon.c")
            await node.until(lambda: node.in_quorum(0, 1, 2))
            # What it was told of when it joined it has once it accepts what comes next.
            await node.propose("mon_config_key", "spirula/next", b"after that")
            await kill(cluster, "c")
            assert await stored(cluster, "c", "spirula/after") == b"still"
        await all_back(cluster)
        assert (await ceph(cluster, "config-key", "get", "spirula/after")).strip() == "still"

    asyncio.run(scenario())


def test_two_of_ours_outvote_a_real_one(cluster: RealCluster) -> None:
    async def scenario() -> None:
        await kill(cluster, "b")
        await kill(cluster, "c")
        async with (
            QuorumNode(cluster, "b", LATER_EPOCH) as node,
            QuorumNode(cluster, "c", LATER_EPOCH) as other,
        ):
            await node.until(lambda: node.in_quorum(0, 1, 2) and other.in_quorum(0, 1, 2))
            await ceph(cluster, "config-key", "set", "spirula/two-of-ours", "x")
            await kill(cluster, "a")
            took = await node.until(lambda: node.in_quorum(1, 2) and node.leads)
            assert took < NOT_WAITED_S, took
            await node.propose("mon_config_key", "spirula/alone", b"y")
            await other.until(lambda: other.store.get("mon_config_key", "spirula/alone") == b"y")
            assert node.store.get("mon_config_key", "spirula/two-of-ours") == b"x"
            cluster.launch("mon.a")
            await node.until(lambda: node.in_quorum(0, 1, 2))
            await kill(cluster, "a")
            assert await stored(cluster, "a", "spirula/alone") == b"y"

    asyncio.run(scenario())


def test_a_real_monitor_ignores_our_notice_and_goes_on(cluster: RealCluster) -> None:
    async def scenario() -> None:
        await kill(cluster, "c")
        async with QuorumNode(cluster, "c", LATER_EPOCH) as node:
            await node.until(lambda: node.in_quorum(0, 1, 2))
            node.member.step_aside("its disk is full", *node.clocks())
            node.flush()
            await ceph(cluster, "config-key", "set", "spirula/aside", "z")
            node.member.rejoin(*node.clocks())
            node.flush()
            await node.until(lambda: node.in_quorum(0, 1, 2))
            assert node.store.get("mon_config_key", "spirula/aside") == b"z"
        dead = [name for name, daemon in cluster.daemons.items() if daemon.poll() is not None]
        assert dead == []

    asyncio.run(scenario())
