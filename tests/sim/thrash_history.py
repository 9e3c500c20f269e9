"""One history of a cluster that is thrashed while clients work on it; then everything is checked.

A world is booted once and forked for each seed (see `replay`), so the beginning, whose virtual
seconds cost the most, is shared: `begin` makes it, `History.run` is what each seed does with it.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from dataclasses import dataclass

from spirula.maps.state import OSD_IN
from spirula.osd.scrub import schedule
from spirula.sim import Faults
from tests.concurrent_clients import ConcurrentClient, Shared
from tests.rados_model import ModelClient
from tests.sim import thrash_actions
from tests.sim.cluster_world import DISK_S, World
from tests.sim.thrash_checks import check_replicas, led, not_clean

SIZES, MAX_SIZE = (1, 10, 700, 4096, 5000, 17_000), 40_000
PATIENCE_S = 600
"""Virtual seconds after which clients have to have their answers, and PGs have to be clean."""
MENDED_AGAIN = 120
"""Looks at whether PGs are clean, every half a second, after which OSDs are looked at, too."""

QUICK = {
    "mon_osd_adjust_heartbeat_grace": "false",
    "osd_heartbeat_interval": "2",
    "osd_heartbeat_grace": "6",
    "osd_recovery_max_chunk": "16384",
    "osd_recovery_max_omap_entries_per_chunk": "3",
    "osd_recovery_sleep": "0.01",
    "osd_snap_trim_sleep": "0.01",
    "osd_max_scrubs": "3",
    "osd_scrub_load_threshold": "1000",
}
"""OSDs that find out soon who is dead, and that push an object in several parts."""


@dataclass(frozen=True)
class Kind:
    """What clusters of some seeds are like."""

    mons: int
    osds: int
    size: int
    min_size: int
    options: dict[str, str]


KINDS = (
    Kind(1, 3, 3, 2, {}),
    Kind(3, 3, 3, 2, {}),
    Kind(1, 4, 3, 2, {"osd_min_pg_log_entries": "3", "osd_max_pg_log_entries": "5"}),
    Kind(1, 3, 3, 1, {"osd_min_pg_log_entries": "20", "osd_pg_log_dups_tracked": "20"}),
)


def kind_of(seed):
    return seed % len(KINDS)


def faults(rng):
    """What is wrong with the network of a seed all the time."""
    if rng.random() < 0.3:
        return Faults()
    return Faults(
        jitter_s=rng.choice((0.0005, 0.01, 0.1)),
        loss=rng.choice((0, 0, 0.01, 0.05)),
        reset=rng.choice((0, 0, 0.001, 0.005)),
        split=rng.choice((0, 0.1)),
        slow_host=rng.choice((0, 0.2)),
        clock_skew_s=0.04,
    )


@dataclass
class Scene:
    """A booted cluster with a pool and clients that are logged in."""

    kind: Kind
    world: World
    locator: object
    sessions: list


async def begin(sim, number, log_level=0):
    """The beginning that all seeds of a kind share."""
    kind = KINDS[number]
    options = {
        **QUICK,
        **kind.options,
        "osd_pool_default_size": str(kind.size),
        "osd_pool_default_min_size": str(kind.min_size),
    }
    world = World(sim, kind.mons, kind.osds, options, log_level, spare=1)
    await world.start()
    sessions = [await world.client() for _ in range(3)]
    locator = await world.make_pool("data")
    for session in sessions:
        await session.objecter.newest_map()
    first = ModelClient(sessions[0].objecter, locator, random.Random(1), "first", copies=False)
    await first.run(5)
    await ConcurrentClient(
        sessions[0].objecter, locator, random.Random(1), "first", Shared([])
    ).ask("watched", (("create",),))
    while not_clean(world, locator.pool):
        await sim.sleep(0.5)
    return Scene(kind, world, locator, sessions)


class Watcher:
    """Watches an object; another client notifies, and has to be heard."""

    def __init__(self, session, locator):
        self.session = session
        self.locator = locator
        self.heard = set()
        self.lost = []
        self.watch = None
        self.tasks = set()

    def __str__(self):
        watch = self.watch
        return (
            f"at osd.{watch.target.osd} {watch.target.spgid}, registered {watch.generation} times"
            f" anew, last known at {watch.confirmed_at:.3f}, lost: {self.lost}"
        )

    async def begin(self):
        # Segments between two slow hosts take up to minutes (seed 61489): a shorter timeout may
        # well be over before a ping arrives, and then the watch is rightly lost.
        self.watch = await self.session.lingers.watch(
            "watched", self.locator, self._on_notify, self.lost.append, timeout_s=600
        )

    def _on_notify(self, notify_id, notifier, payload):
        self.heard.add(payload)
        task = asyncio.ensure_future(self.session.lingers.acknowledge(self.watch, notify_id))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


class History:
    """What one seed does with a scene."""

    def __init__(self, sim, scene):
        self.sim = sim
        self.rng = sim.rng
        self.world = scene.world
        self.network = sim.network
        self.scene = scene
        self.size = scene.kind.size
        self.pool = scene.locator.pool
        self.spare = 1
        self.removed = []
        self.resizing = False
        self.usual_disk_s = self.rng.choice((DISK_S, 0.005, 0.05))
        for osd in self.world.osds:
            osd.disk_s = self.usual_disk_s
        self.notes = []
        self._stop = asyncio.Event()
        self._undone = []
        self._calm = asyncio.Event()
        self.shared = Shared([f"shared {n}" for n in range(3)])
        self.models, self.others = self._clients()
        self.watcher = Watcher(scene.sessions[0], scene.locator)

    def _clients(self):
        sessions, locator = self.scene.sessions, self.scene.locator
        rngs = (random.Random(self.rng.random()) for _ in range(10))
        models = [
            ModelClient(
                sessions[n].objecter,
                locator,
                next(rngs),
                f"client {n}",
                objects=3,
                monitors=sessions[n].monitors,
                copies=True,
                sizes=SIZES,
                max_size=MAX_SIZE,
            )
            for n in range(2)
        ]
        others = [
            ConcurrentClient(session.objecter, locator, next(rngs), f"c{n}", self.shared)
            for n, session in enumerate(sessions)
        ]
        return models, others

    # --- for actions ---

    def note(self, text):
        self.notes.append(f"{self.sim.time():.3f} {text}")
        self.sim.note(text)

    def hosts(self):
        """Those of OSDs, monitors and clients whose links may be cut."""
        machines = [*self.world.osds, *self.world.mons.values()]
        clients = [self.sim.host(f"client{n + 2}") for n in range(len(self.scene.sessions))]
        return [machine.host for machine in machines] + clients

    async def command(self, prefix, **arguments):
        return await self.world.command(prefix, **arguments)

    def later(self, delay, mend, *arguments):
        """Mend it after so many seconds, or when it is time to be calm."""

        async def wait():
            try:
                async with asyncio.timeout(delay):
                    await self._calm.wait()
            except TimeoutError:
                pass
            await mend(*arguments)

        self.background(wait())

    def background(self, work):
        task = asyncio.ensure_future(work)
        self._undone.append(task)

    # --- what happens ---

    async def run(self):
        """All of it. AssertionError, TimeoutError and the like if anything is wrong."""
        working = [asyncio.ensure_future(self._work(c)) for c in (*self.models, *self.others)]
        working.append(asyncio.ensure_future(self._notify()))
        await self._thrash()
        self.note("calm")
        self._calm.set()
        self.network.calm()
        ending = asyncio.ensure_future(self._end(working))
        if not (await asyncio.wait([ending], timeout=PATIENCE_S))[0]:
            raise AssertionError(f"after {PATIENCE_S} s: {self.describe()}")
        await ending
        await self._check()

    async def _end(self, working):
        await self._mend_all()
        while self._undone:
            await self._undone.pop()
        await self._mend_all()
        self._stop.set()
        await asyncio.gather(*working)
        for client in self.others:
            await client.look()
        await self.clean()

    async def _work(self, client):
        pause_s = client.rng.choice((0.1, 0.5, 1.0))
        for _ in range(client.rng.randrange(6, 30)):
            await client.step()
            await self.sim.sleep(client.rng.expovariate(1 / pause_s))
            if self._stop.is_set():
                return

    async def _notify(self):
        """Notifications now and then: who watches hears each."""
        await self.watcher.begin()
        notifier = self.scene.sessions[1]
        for n in range(3):
            await self._notify_once(notifier, b"note %d" % n)
            await self.sim.sleep(self.rng.expovariate(1 / 3))
        await self._calm.wait()
        await self.clean()
        await self._notify_once(notifier, b"at the end")
        assert b"at the end" in self.watcher.heard, f"the watch is dead: {self.watcher}"

    async def _notify_once(self, session, payload):
        reply = await session.lingers.notify("watched", self.scene.locator, payload, timeout_s=30)
        assert reply.acks or reply.missed, f"nobody watches: {self.watcher}"
        if reply.acks:
            assert payload in self.watcher.heard, f"{payload!r} was acknowledged and not heard"

    async def _thrash(self):
        actions, weights = zip(*thrash_actions.ACTIONS.items(), strict=True)
        await self.sim.sleep(self.rng.expovariate(1))
        for _ in range(self.rng.choice((1, 2, 2, 3, 4, 6))):
            await self.rng.choices(actions, weights)[0](self)
            await self.sim.sleep(self.rng.expovariate(1 / 2))

    async def _mend_all(self):
        for osd in self.world.osds:
            await thrash_actions.start(self, osd)
            osd.disk_s = DISK_S
        for mon in self.world.mons.values():
            await thrash_actions.start_monitor(self, mon)
        for osd in self.world.osds:
            if osd not in self.removed:
                await self.command("osd in", ids=[str(osd.number)])
                await self.command("osd reweight", id=osd.number, weight=1.0)

    async def clean(self):
        """Wait until all PGs are active+clean."""
        for step in itertools.count(1):
            if not not_clean(self.world, self.pool):
                return
            await self.sim.sleep(0.5)
            if step % MENDED_AGAIN == 0 and self._calm.is_set() and self._is_lighter():
                await self._mend_all()

    def _is_lighter(self):
        """Whether an OSD has lost its weight after all was mended.

        A command may come twice: a connection that was given up, as nothing came through, delivers
        what it had sent half a minute later, and monitors take that, upstream's as well.
        """
        maps = [osd.daemon.osd.maps.current for osd in self.world.osds if osd.daemon]
        weights = max(maps, key=lambda one: one.epoch).osd_weight if maps else []
        return any(
            weights[osd.number] < OSD_IN for osd in self.world.osds if osd not in self.removed
        )

    # --- what is then so ---

    async def _check(self):
        for client in self.models:
            await client.check()
        self.shared.check()
        for name in self.shared.names:
            await self._check_tokens(name)
        assert not self.watcher.lost, f"the watch was lost: {self.watcher.lost}"
        assert not self.world.stopped, self.world.stopped
        assert not self.world.bugs, self.world.bugs
        check_replicas(self.world, self.pool)
        if self.rng.random() < 1 / 4:
            await self._scrub()

    async def _scrub(self):
        """Deep scrubs of all PGs find nothing wrong."""
        pgs = led(self.world, self.pool)
        before = {pg.pgid: pg.info.history.last_deep_scrub_stamp for pg in pgs}
        for pg in pgs:
            schedule.request(pg, deep=True, repair=False)
        async with asyncio.timeout(PATIENCE_S):
            await self.sim.settled(
                lambda: all(pg.info.history.last_deep_scrub_stamp != before[pg.pgid] for pg in pgs),
                every_s=0.5,
            )
        wrong = {pg.pgid: pg.info.stats.stats.sum.num_scrub_errors for pg in pgs}
        assert not any(wrong.values()), f"deep scrubs found errors: {wrong}"

    async def _check_tokens(self, name):
        """No append was done twice (nor is any explained away by another's being lost)."""
        calls = self.shared.calls.get(name, ())
        last = [call for call in calls if call.what[0] == ("read",) and call.answer][-1]
        data = last.answer[1][0] if not last.answer[0] else b""
        for call in calls:
            for op in call.what:
                if op[0] == "append":
                    assert data.count(op[1]) <= 1, f"{op[1]!r} is there twice: {data!r}"

    def describe(self):
        """Who waits for what."""
        words = [not_clean(self.world, self.pool)]
        sessions = [self.world.admin, *self.scene.sessions]
        for session in sessions:
            words += [
                f"{request.target.spgid} waits for osd.{request.target.osd}"
                f" ({', '.join(map(str, request.ops))[:80]}; sent {request.attempts} times)"
                for request in session.objecter.requests()
            ]
        words += [f"{task.get_coro().__qualname__}" for task in self._undone if not task.done()]
        return "\n    ".join(words)
