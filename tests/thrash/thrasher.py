"""Clients with models work on a cluster of processes while its daemons suffer; then all is checked.

The same clients as in simulation (`tests.rados_model`, `tests.concurrent_clients`), on real
sockets, disks and clocks: what happens is drawn from a seed, when it happens is chance.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections.abc import Mapping
from types import MappingProxyType, SimpleNamespace

from spirula.cli.credentials import find_key
from spirula.cli.store.opened import opened
from spirula.client.session import open_session
from spirula.conf.load import load
from spirula.errors import CephError
from spirula.maps.state import is_up
from spirula.types.object_info import ObjectLocator
from spirula.types.osd_op import OpCode, OSDOp
from spirula.types.pg import Coll, PGId, SPGId
from tests.concurrent_clients import ConcurrentClient, Shared
from tests.rados_model import ModelClient
from tests.sim.thrash_checks import contents

SIZES, MAX_SIZE = (1, 10, 700, 4096, 5000, 17_000), 60_000
CLEAN_S, RESIZED_S = 120, 240
"""How long it may take until all is well after the last blow, and until a client has its answer;
and until a pool is as large as it is to be."""

QUICK = {
    "osd heartbeat interval": "1",
    "osd heartbeat grace": "4",
    "mon osd adjust heartbeat grace": "false",
    "mon allow pool delete": "true",
    **{f"osd {work} sleep hdd": "0" for work in ("recovery", "delete", "snap trim")},
    "osd pool default pg num": "8",
    "osd pool default pg autoscale mode": "off",
    "mgr stats period": "1",
    "osd max scrubs": "5",
}


async def log_in(conf):
    """A client's session, as client.admin."""
    config = load(["-c", str(conf)]).config
    session = await open_session(
        config, find_key(config), clock=time.time, random_bytes=os.urandom, timeout_s=30
    )
    await session.objecter.newest_map()
    return session


class Thrasher:
    """One run. `daemons` is what is thrashed, `session` does what administrators do."""

    steps: Mapping[str, bool] = MappingProxyType({})
    """What clients with models do and do not do."""

    def __init__(self, daemons, seed, *, pool="thrashed"):
        self.daemons = daemons
        self.rng = random.Random(seed)
        self.pool = pool
        self.began = time.monotonic()
        self.sessions = []
        self.session = None
        self.locator = None
        self.clients = []
        self.shared = Shared([f"shared {n}" for n in range(3)])
        self.heard, self.lost, self.acks = set(), [], set()
        self.watch = None
        self.added = []
        self._stop = asyncio.Event()
        self._working = []

    def note(self, text):
        print(f"{time.monotonic() - self.began:6.2f} {text}", flush=True)

    # --- the beginning ---

    async def begin(self):
        """Log in, make the pool, start the clients."""
        conf = self.daemons.layout.conf
        self.sessions = [await log_in(conf) for _ in range(4)]
        self.session = self.sessions[-1]
        await self.command("osd pool create", pool=self.pool, pg_num=8)
        for session in self.sessions:
            await session.objecter.newest_map()
        names = self.session.objecter.maps.osdmap.pool_name
        self.locator = ObjectLocator(next(n for n in names if names[n] == self.pool))
        for n, session in enumerate(self.sessions[:2]):
            self.clients.append(
                ModelClient(
                    session.objecter,
                    self.locator,
                    random.Random(self.rng.random()),
                    f"client {n}",
                    monitors=session.monitors,
                    sizes=SIZES,
                    **self.steps,
                    max_size=MAX_SIZE,
                )
            )
        for n, session in enumerate(self.sessions[:3]):
            rng = random.Random(self.rng.random())
            self.clients.append(
                ConcurrentClient(session.objecter, self.locator, rng, f"c{n}", self.shared)
            )
        create = [OSDOp.make(OpCode.CREATE)]
        (await self.sessions[0].objecter.operate("watched", self.locator, create)).check()
        self.watch = await self.sessions[0].lingers.watch(
            "watched", self.locator, self._on_notify, self.lost.append, timeout_s=120
        )
        self._working = [asyncio.create_task(self._work(client)) for client in self.clients]

    def _on_notify(self, notify_id, _, payload):
        self.heard.add(payload)
        acking = asyncio.ensure_future(self.sessions[0].lingers.acknowledge(self.watch, notify_id))
        self.acks.add(acking)
        acking.add_done_callback(self.acks.discard)

    async def _work(self, client):
        while not self._stop.is_set():
            step = asyncio.ensure_future(client.step())
            if not (await asyncio.wait([step], timeout=CLEAN_S))[0]:
                words = self.describe()
                step.cancel()
                raise AssertionError(f"no answer in {CLEAN_S} s: {words}")
            await step
            await asyncio.sleep(client.rng.expovariate(1 / 0.15))

    async def command(self, prefix, **arguments):
        """A command to the monitors; its output. Raises its refusal."""
        told = {"prefix": prefix, "format": "json", **arguments}
        return (await self.session.command(told, timeout_s=CLEAN_S)).check()

    @property
    def done(self):
        """How many steps clients have done."""
        return sum(client.done for client in self.clients)

    # --- blows ---

    async def thrash(self, seconds):
        """Blow after blow for so long. Clients that fail end it at once."""
        until = time.monotonic() + seconds
        blows = {
            self.kill_osd: 6,
            self.kill_all_osds: 1,
            self.stop_osd: 2,
            self.freeze_osd: 2,
            self.mark_down: 2,
            self.out_and_in: 3,
            self.reweight: 2,
            self.kill_monitor: 2,
            self.kill_manager: 1,
            self.resize_pool: 2,
            self.add_or_remove_osd: 2,
        }
        while time.monotonic() < until:
            blow = self.rng.choices(list(blows), list(blows.values()))[0]
            await blow()
            await self.progress(self.rng.randrange(5, 40))

    async def progress(self, steps):
        """Until clients have done so many steps more."""
        wanted = self.done + steps
        async with asyncio.timeout(CLEAN_S):
            while self.done < wanted:
                for task in self._working:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.05)

    async def _away(self, name):
        await asyncio.sleep(self.rng.choice((0, 0.5, 2, 5)))
        await self.daemons.start(name)
        self.note(f"{name} starts")

    async def kill_osd(self):
        name = self.rng.choice(self.daemons.osds())
        self.note(f"{name} is killed")
        await self.daemons.end(name)
        await self._away(name)

    async def kill_all_osds(self):
        self.note("all OSDs are killed")
        for name in self.daemons.osds():
            self.daemons.signal(name, signal.SIGKILL)
        for name in self.daemons.osds():
            await self.daemons.end(name)
        for name in self.daemons.osds():
            await self.daemons.start(name)

    async def stop_osd(self):
        name = self.rng.choice(self.daemons.osds())
        self.note(f"{name} is stopped")
        await self.daemons.end(name, signal.SIGTERM)
        await self._away(name)

    async def freeze_osd(self):
        """It does nothing for longer than its peers stand, and then goes on."""
        name = self.rng.choice(self.daemons.osds())
        self.note(f"{name} is frozen")
        self.daemons.signal(name, signal.SIGSTOP)
        await asyncio.sleep(self.rng.choice((1, 3, 8)))
        self.daemons.signal(name, signal.SIGCONT)

    async def mark_down(self):
        name = self.rng.choice(self.daemons.osds())
        self.note(f"{name} is marked down")
        await self.command("osd down", ids=[name[4:]])

    async def out_and_in(self):
        name = self.rng.choice(self.daemons.osds())
        self.note(f"{name} is out")
        await self.command("osd out", ids=[name[4:]])
        await self.progress(self.rng.randrange(5, 30))
        self.note(f"{name} is in")
        await self.command("osd in", ids=[name[4:]])

    async def reweight(self):
        name = self.rng.choice(self.daemons.osds())
        weight = self.rng.choice((0.3, 0.7, 1.0))
        self.note(f"{name} has weight {weight}")
        await self.command("osd reweight", id=int(name[4:]), weight=weight)

    async def kill_monitor(self):
        """The leader, if there are three."""
        if len(self.daemons.mons()) < 3:
            return
        status = json.loads(await self.command("quorum_status"))
        name = f"mon.{status['quorum_leader_name']}"
        self.note(f"{name}, the leader, is killed")
        await self.daemons.end(name)
        await self._away(name)

    async def kill_manager(self):
        name = self.rng.choice(self.daemons.mgrs())
        self.note(f"{name} is killed")
        await self.daemons.end(name)
        await self._away(name)

    async def resize_pool(self):
        """More PGs, or fewer: the manager has them split or merged, one after the other."""
        count = self.rng.choice((6, 8, 12, 16))
        self.note(f"pg_num {count}")
        await self.command("osd pool set", pool=self.pool, var="pg_num", val=str(count))

    async def resized(self):
        """Wait until the pool has as many PGs as it is to have."""
        deadline = time.monotonic() + RESIZED_S
        while True:
            pools = json.loads(await self.command("osd dump"))["pools"]
            pool = next(pool for pool in pools if pool["pool_name"] == self.pool)
            if {pool["pg_num"], pool["pg_placement_num"]} == {pool["pg_num_target"]}:
                return
            assert time.monotonic() < deadline, f"after {RESIZED_S} s: {pool}"
            await asyncio.sleep(0.5)

    async def add_or_remove_osd(self):
        if not self.added:
            name = await self.daemons.make_osd(self.session)
            self.added.append(name)
            await self.daemons.start(name)
            self.note(f"{name} is new")
        elif len(self.added) == 1:
            name = self.added[0]
            self.added.append(None)
            number = name[4:]
            self.note(f"{name} is drained and removed")
            await self.command("osd out", ids=[number])
            await self.clean()
            await self.daemons.end(name)
            del self.daemons.pids[name]
            await self.command("osd down", ids=[number])
            await self.command("osd purge-actual", id=number, yes_i_really_mean_it=True)

    # --- the end ---

    async def finish(self):
        """Everything is mended, clients end, PGs become clean; everything is as it has to be."""
        self.note("calm")
        for name in self.daemons.pids:
            self.daemons.signal(name, signal.SIGCONT)
            if not self.daemons.is_alive(name):
                await self.daemons.start(name)
        for name in self.daemons.osds():
            await self.command("osd in", ids=[name[4:]])
            await self.command("osd reweight", id=int(name[4:]), weight=1.0)
        self._stop.set()
        ended, waiting = await asyncio.wait(self._working, timeout=CLEAN_S)
        assert not waiting, f"after {CLEAN_S} s: {self.describe()}"
        for task in ended:
            task.result()
        self.note("clients have their answers")
        await self.resized()
        await self.clean()
        self.note("all PGs are clean")
        for client in self.clients:
            if isinstance(client, ModelClient):
                await client.check()
            else:
                await client.look()
        self.shared.check()
        notify = self.sessions[1].lingers.notify("watched", self.locator, b"at the end")
        reply = await asyncio.wait_for(notify, CLEAN_S)
        assert not self.lost, f"the watch was lost: {self.lost}"
        assert len(reply.acks) == 1, f"the watch is dead: {reply}"
        assert b"at the end" in self.heard
        self.note("all is as the models say")
        if self.daemons.mgrs():
            await self.scrub()
            self.note("deep scrubs find nothing")

    async def scrub(self):
        """Scrub all PGs deeply; raises AssertionError with what is wrong."""
        before = {pgid: stats["last_deep_scrub_stamp"] for pgid, stats in (await self._stats())}
        for pgid in before:
            await self.session.mgr_command({"prefix": "pg deep-scrub", "pgid": pgid})
        async with asyncio.timeout(3 * CLEAN_S):
            while True:
                stats = dict(await self._stats())
                if all(stats[pgid]["last_deep_scrub_stamp"] != before[pgid] for pgid in before):
                    break
                await asyncio.sleep(1)
        states = {pgid: each["state"] for pgid, each in stats.items()}
        assert set(states.values()) <= {"active+clean"}, states

    async def _stats(self):
        told = {"prefix": "pg dump_json", "dumpcontents": ["pgs"], "format": "json"}
        found = json.loads((await self.session.mgr_command(told)).check())
        rows = found.get("pg_map", found)["pg_stats"]
        pool = f"{self.locator.pool}."
        return [(row["pgid"], row) for row in rows if row["pgid"].startswith(pool)]

    def describe(self):
        """What clients wait for."""
        return "; ".join(
            f"{request.target.spgid} of osd.{request.target.osd}: {request.ops[0]}"
            f" ({request.attempts} attempts, paused {request.target.paused})"
            for session in self.sessions
            for request in session.objecter.requests()
        )

    async def clean(self):
        """Wait until all PGs are active+clean, as their primaries say."""
        deadline = time.monotonic() + CLEAN_S
        while words := await asyncio.wait_for(self._not_clean(), CLEAN_S):
            assert time.monotonic() < deadline, f"after {CLEAN_S} s: {words}"
            await asyncio.sleep(0.3)

    async def _not_clean(self):
        objecter = self.session.objecter
        await objecter.newest_map()
        osdmap = objecter.maps.osdmap
        down = [name for name in self.daemons.osds() if not is_up(osdmap, int(name[4:]))]
        if down:
            return f"down: {down}"
        pool = osdmap.pools[self.locator.pool]
        for seed in range(pool.pg_num):
            pgid = PGId(self.locator.pool, seed)
            where = objecter.maps.places(pgid)
            told = {"prefix": "query", "pgid": str(pgid), "format": "json"}
            try:
                answer = await self.session.tell(f"osd.{where.acting_primary}", told, timeout_s=20)
                state = json.loads(answer.check())["state"]
            except CephError as error:
                return f"{pgid} {where}: {error}"
            if state != "active+clean":
                return f"{pgid} is {state}, {where}"
        return ""

    async def close(self):
        """End what is of this process."""
        for task in self._working:
            task.cancel()
        for session in self.sessions:
            await session.close()

    def places(self):
        """Of each PG, the OSDs that serve it."""
        maps = self.session.objecter.maps
        pool = self.locator.pool
        pgids = [PGId(pool, seed) for seed in range(maps.osdmap.pools[pool].pg_num)]
        return {pgid: maps.places(pgid).acting for pgid in pgids}


def check_stores(folder, places):
    """The stores of stopped OSDs hold the same objects of each PG, byte for byte; how many."""
    found = {}
    for osd in sorted({osd for acting in places.values() for osd in acting}):
        with opened(SimpleNamespace(dir=folder / f"osd.{osd}", read_only=True)) as here:
            for pgid, acting in places.items():
                coll = Coll.of(SPGId(pgid))
                if osd not in acting:
                    assert not here.store.collection_exists(coll), f"{pgid} is still on osd.{osd}"
                    continue
                mine = contents(here.store, coll)
                theirs = found.setdefault(pgid, mine)
                assert sorted(mine) == sorted(theirs), f"{pgid} on osd.{osd}: other objects"
                for name, here_is in mine.items():
                    assert here_is == theirs[name], f"{pgid}: {name} differs on osd.{osd}"
    return sum(map(len, found.values()))
