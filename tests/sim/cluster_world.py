"""A whole cluster in one process and virtual time: monitors, OSDs and clients, as they are.

Every daemon is a host of the simulated network with the real messenger and cephx; stores are in
memory and keep, when their host crashes or loses its power, what was committed. A test makes a
`World` from the history's simulation, starts it, and kills and cuts what it likes.
"""

from __future__ import annotations

import json
import random
import uuid

from spirula.auth.crypto import KeyType, generate_key
from spirula.auth.keyring import KeyRing
from spirula.client.session import open_session
from spirula.conf.config import Config
from spirula.conf.config import Source as From
from spirula.conf.expand import Identity
from spirula.mon.daemon import make_monitor
from spirula.mon.mkfs import make_store
from spirula.mon.monitor import Ports
from spirula.osd.daemon import Addresses, make_osd
from spirula.osd.mkfs import make_store as make_osd_store
from spirula.osd.state import Ports as OSDPorts
from spirula.store.keyvalue import MemoryKeyValueStore
from spirula.store.memory import MemoryObjectStore
from spirula.types.auth import PrincipalName
from spirula.types.base import UTime
from spirula.types.entity import EntityAddrVec
from spirula.types.mon import MonInfo, MonMap
from spirula.types.object_info import ObjectLocator
from tests.rados_model import ModelClient

FSID = uuid.UUID("5b1c0e0a-4a4b-4c8e-9f3a-2b6f0d1c7e88")
ADMIN, MON = PrincipalName.parse("client.admin"), PrincipalName.parse("mon.")
_PACIFIC = 16
_OSD_CAPS = {"mon": "allow profile osd", "mgr": "allow profile osd", "osd": "allow *"}
_ALL = dict.fromkeys(("mds", "mgr", "mon", "osd"), "allow *")
DISK_S = 0.0005
"""How long a simulated disk takes to make something durable."""

OPTIONS = {
    "osd_pool_default_size": "3",
    "osd_pool_default_min_size": "2",
    "osd_pool_default_pg_num": "8",
    "osd_crush_chooseleaf_type": "0",
    "mon_allow_pool_delete": "true",
}


def osd_name(number):
    return PrincipalName.parse(f"osd.{number}")


class Machine:
    """A host with one daemon on it. `lives` counts how often it was started."""

    def __init__(self, world, name, address):
        self.world = world
        self.name = name
        self.host = world.sim.host(name, address)
        self.daemon = None
        self.lives = 0
        self.is_running = False
        self.disk_s = DISK_S

    def defer(self, call):
        """The disk's latency; what waits for it dies with the process."""
        self.world.sim.loop.call_later(self.disk_s, call, context=self.host.context())

    def log(self, level, line):
        if level <= self.world.log_level:
            self.world.log.append(f"{self.world.sim.time():.3f} {self.name}: {line}")
        if level < 0 and line.endswith("failed by a bug"):
            self.world.bugs.append(f"{self.name}: {line}")

    def config(self, kind, ident, **more):
        made = Config(Identity(kind, ident), daemon=kind != "client")
        for name, value in {**self.world.options, **more}.items():
            made.set(name, value, From.FILE)
        made.set("mon_host", self.world.mon_host, From.FILE)
        made.start()
        return made


class MonMachine(Machine):
    """A monitor."""

    def __init__(self, world, name, address):
        super().__init__(world, name, address)
        self.store = MemoryKeyValueStore(self.defer)

    def mkfs(self):
        self.store.stage(make_store(self.world.monmap, self.world.ring.to_text().encode()))
        self.store.commit(lambda error: None)

    def start(self):
        self.lives += 1
        self.is_running = True
        if not self.host.powered:
            self.host.power_on()
        return self.host.start(self._run())

    async def _run(self):
        host = self.host
        ports = Ports(
            loop=self.world.sim.loop,
            wall=host.wall_clock,
            random_bytes=host.random_bytes,
            log=self.log,
            stop=lambda why: self.log(0, f"stopped: {why}"),
            disk=lambda: (1 << 40, 1 << 39, 1 << 20),
            metadata={"hostname": self.name},
        )
        config = self.config("mon", self.name)
        ring = KeyRing({MON: self.world.ring.keys[MON]})
        self.daemon = make_monitor(self.name, self.store, config, ring, ports)
        await self.daemon.start()

    def crash(self):
        self.host.kill()
        self._left()

    def lose_power(self):
        """As `crash`, but peers hear nothing of it; `start` turns it on again."""
        self.host.power_off()
        self._left()

    def _left(self):
        self.daemon, self.is_running = None, False
        self.store = self.store.after_crash(self.defer)


class OSDMachine(Machine):
    """An OSD with a store in memory, which keeps on a crash what was committed."""

    def __init__(self, world, number):
        super().__init__(world, f"osd.{number}", f"10.0.2.{number + 1}")
        self.number = number
        self.fsid = uuid.UUID(int=world.sim.loop.rng(self.name).getrandbits(128), version=4)
        self.store = MemoryObjectStore(self.defer)

    def mkfs(self):
        # Its store is used before there is a loop to call back.
        self.store = MemoryObjectStore(lambda call: call())
        make_osd_store(
            self.store, cluster_fsid=FSID.bytes, osd_fsid=self.fsid.bytes, whoami=self.number
        )
        self.store = self.store.after_crash(self.defer)

    def start(self):
        self.lives += 1
        self.is_running = True
        if not self.host.powered:
            self.host.power_on()
        return self.host.start(self._run())

    async def _run(self):
        host = self.host
        ports = OSDPorts(
            loop=self.world.sim.loop,
            wall=host.wall_clock,
            random_bytes=host.random_bytes,
            log=self.log,
            stop=self._stopped,
            metadata={"hostname": f"host{self.number}"},
        )
        where = EntityAddrVec.parse(f"[v2:{host.address}:0/0]")
        config = self.config("osd", str(self.number))
        self.store.mount()
        key = self.world.ring.keys[osd_name(self.number)].key
        self.daemon = make_osd(self.number, self.store, config, key, ports, Addresses(where, where))
        await self.daemon.start()

    def _stopped(self, why):
        self.world.stopped.append(f"{self.name}: {why}")
        self.log(0, f"stopped: {why}")

    def crash(self, reached=0):
        """Kill it; `reached`: so many transactions are on disk although nobody heard of it."""
        self.host.kill()
        self._left(reached)

    def lose_power(self):
        """As `crash`, but peers hear nothing of it; `start` turns it on again."""
        self.host.power_off()
        self._left(0)

    def _left(self, reached):
        self.daemon, self.is_running = None, False
        self.store = self.store.after_crash(self.defer, reached)

    async def stop(self):
        """End it as a signal does: it tells monitors and peers."""
        daemon = self.daemon
        stopping = self.host.start(daemon.stop())
        while not stopping.done() and self.daemon is daemon:
            await self.world.sim.sleep(0.02)
        if self.daemon is daemon:
            stopping.result()
            self.store.umount()
            self.crash()


class World:
    """A cluster. `log_level` says what of the daemons' logs is kept in `log`.

    `spare` OSDs have a key and are not made yet: `add_osd` does.
    """

    def __init__(self, sim, mons=3, osds=0, options=None, log_level=0, spare=0):
        self.sim = sim
        self.log = []
        self.stopped = []
        """OSDs that gave up, and why: none should."""
        self.bugs = []
        """Exceptions that daemons met and went on from: none should be."""
        self.osd_count = osds
        self._keys_for = osds + spare
        self.log_level = log_level
        self.options = {**OPTIONS, **(options or {})}
        names = "abcdefg"[:mons]
        addresses = {name: f"10.0.0.{n + 1}" for n, name in enumerate(names)}
        self.mon_host = ",".join(f"v2:{address}:3300" for address in addresses.values())
        self.mons = {name: MonMachine(self, name, address) for name, address in addresses.items()}
        self.ring = self._keys()
        self.monmap = self._monmap(addresses)
        self.osds = [OSDMachine(self, number) for number in range(osds)]
        self.admin = None
        """A client's session, for tests that need not come as somebody else."""
        self._clients = 0

    def _keys(self):
        rng = self.sim.loop.rng("keys")
        ring = KeyRing()
        osds = [(osd_name(number), _OSD_CAPS) for number in range(self._keys_for)]
        for name, caps in ((MON, {"mon": "allow *"}), (ADMIN, _ALL), *osds):
            ring.add(name, generate_key(KeyType.AES, 1_700_000_000.0, rng.randbytes))
            ring.set_caps(name, caps)
        return ring

    def _monmap(self, addresses):
        monmap = MonMap(fsid=FSID.bytes, min_mon_release=_PACIFIC)
        monmap.created = monmap.last_changed = UTime.at(1_700_000_000.0)
        for name, address in addresses.items():
            addrs = EntityAddrVec.parse(f"[v2:{address}:3300/0,v1:{address}:6789/0]")
            monmap.mon_info[name] = MonInfo(name, addrs)
        monmap.ranks = sorted(monmap.mon_info)
        return monmap

    async def start(self):
        """Make the monitors' stores and start them; on return a client can log in."""
        for mon in self.mons.values():
            mon.mkfs()
        await self.sim.sleep(2 * DISK_S)
        for mon in self.mons.values():
            await mon.start()
        self.admin = await self.client()
        for osd in self.osds:
            await self._prepare(osd)
        for osd in self.osds:
            await osd.start()
        await self.up(self.osd_count)

    async def _prepare(self, osd):
        osd.mkfs()
        await self.command("osd new", uuid=str(osd.fsid), id=str(osd.number))

    async def add_osd(self):
        """One more OSD, to be started."""
        osd = OSDMachine(self, self.osd_count)
        self.osd_count += 1
        await self._prepare(osd)
        self.osds.append(osd)
        return osd

    async def command(self, prefix, **arguments):
        """A command of the administrator; its output, parsed if it is JSON."""
        answer = await self.admin.command({"prefix": prefix, "format": "json", **arguments})
        output = answer.check()
        return json.loads(output) if output.strip() else None

    async def up(self, count):
        """Wait until so many OSDs are up."""
        while (await self.command("osd stat"))["num_up_osds"] != count:
            await self.sim.sleep(0.2)

    async def make_pool(self, name, **arguments):
        """A pool; where its objects are."""
        await self.command("osd pool create", pool=name, **arguments)
        await self.admin.objecter.newest_map()
        names = self.admin.objecter.maps.osdmap.pool_name
        return ObjectLocator(next(number for number in names if names[number] == name))

    async def client(self):
        """A client's session, as client.admin from a host of its own."""
        self._clients += 1
        machine = Machine(self, f"client{self._clients}", f"10.0.1.{self._clients}")
        host = machine.host
        opening = open_session(
            machine.config("client", "admin"),
            self.ring.keys[ADMIN].key,
            clock=host.wall_clock,
            random_bytes=host.random_bytes,
            timeout_s=120,
            log=machine.log,
        )
        return await host.start(opening)


def model_clients(world, locator, count):
    """Clients that know what they wrote, each with objects of its own."""
    rng = random.Random(world.sim.seed)
    return [
        ModelClient(
            world.admin.objecter,
            locator,
            random.Random(rng.random()),
            f"client {n}",
            monitors=world.admin.monitors,
            copies=False,
        )
        for n in range(count)
    ]
