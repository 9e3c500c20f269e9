"""Several monitors in one virtual time, wired in memory: for tests of forwarding and elections.

    wired = Wired(3)
    wired.advance(5)
    answer = wired["b"].command("osd pool create", pool="x", pg_num=8)   # a peon forwards

Messages are encoded and decoded on their way, take a millisecond, and keep their order between two
monitors. `cut(name)` lets one neither send nor hear, `drop` decides about single messages.
"""

from __future__ import annotations

import random

from spirula.messages.base import decode_message
from spirula.mon.daemon import settings_of
from spirula.mon.mkfs import find_monmap, make_store
from spirula.mon.monitor import Monitor, Ports
from spirula.mon.quorum.member import Member
from spirula.store.keyvalue import MemoryKeyValueStore
from spirula.types.base import UTime
from spirula.types.entity import EntityAddrVec, EntityName, EntityType
from spirula.types.mon import MonInfo, MonMap
from tests.unit.mon.harness import (
    FSID,
    FakeConnection,
    HarnessMonitor,
    VirtualLoop,
    make_config,
    make_keyring,
)

DELAY_S = 0.001


class PeerConnection(FakeConnection):
    """One monitor's end of its connection with another."""

    def __init__(self, wired, here, there):
        super().__init__()
        self.wired, self.here, self.there = wired, here, there
        self.peer_type = EntityType.MON
        self.peer_addrs = wired.addrs[there]
        self.peer_name = EntityName(EntityType.MON, wired.names.index(there))

    def send_message(self, message):
        self.wired.carry(self.here, self.there, message)


class WiredMessenger:
    """The messenger of one of them."""

    def __init__(self, wired, name):
        self.wired, self.name = wired, name

    def send_to(self, message, peer_type, addrs):
        for name, known in self.wired.addrs.items():
            if known == addrs:
                self.wired.carry(self.name, name, message)

    def require_features(self, peer_type, features, mask=0):
        """Clients are checked by the real messenger, as they connect."""

    def get_connection(self, peer_type, addrs, *, anonymous=False):
        return FakeConnection(peer_addrs=addrs)


class WiredMonitor(HarnessMonitor):
    """One of them; has what a HarnessMonitor has."""

    def __init__(self, wired, name, options):
        self.rng = random.Random(f"{wired.seed} {name}")
        self.loop = wired.loop
        self.options = options
        self.log_lines = []
        self.stopped = None
        self.config = make_config(name, options)
        self.store = wired.stores[name]
        monmap = find_monmap(self.store)
        metadata = {"hostname": name, "ceph_version": "ceph version 16.2.15"}
        member = Member(
            name, wired.addrs[name], monmap, self.store, settings_of(self.config, metadata)
        )
        ports = Ports(
            loop=self.loop,
            wall=self.wall,
            random_bytes=self.rng.randbytes,
            log=lambda level, text, *args: self.log_lines.append((level, text)),
            stop=self._stop,
            metadata=metadata,
        )
        self.mon = Monitor(member, self.store, self.config, ports)
        self.mon.attach(WiredMessenger(wired, name))
        self.mon.start()
        self.admin = self.session()


class Wired:
    """So many monitors: a, b, c ..."""

    def __init__(self, count, options=None, *, seed=1):
        self.seed = seed
        self.loop = VirtualLoop()
        self.gone = set()
        self.drop = lambda here, there, message: False
        self.carried = []
        self.names = [chr(ord("a") + n) for n in range(count)]
        self.addrs = {
            name: EntityAddrVec.parse(f"[v2:127.0.0.{n + 1}:3300/0,v1:127.0.0.{n + 1}:6789/0]")
            for n, name in enumerate(self.names)
        }
        monmap = MonMap(fsid=FSID.bytes, epoch=0, min_mon_release=16)
        monmap.created = monmap.last_changed = UTime(1_800_000_000, 0)
        monmap.mon_info = {name: MonInfo(name, addrs) for name, addrs in self.addrs.items()}
        monmap.ranks = list(self.names)
        ring = make_keyring(random.Random(seed).randbytes).to_text().encode()
        self.stores = {}
        for name in self.names:
            store = MemoryKeyValueStore(self.loop.call_soon)
            store.stage(make_store(monmap, ring, b""))
            store.commit(lambda error: None)
            self.stores[name] = store
        self._connections = {}
        self.monitors = {name: WiredMonitor(self, name, options) for name in self.names}

    def __getitem__(self, name):
        return self.monitors[name]

    def advance(self, seconds):
        self.loop.run_until(self.loop.now + seconds)

    @property
    def leader(self):
        """The one that leads, if it can be heard."""
        [name] = [
            name
            for name in self.names
            if name not in self.gone and self.monitors[name].mon.is_leader
        ]
        return name

    def cut(self, name):
        """It can neither send nor hear from now on."""
        self.gone.add(name)

    def heal(self):
        self.gone.clear()

    def carry(self, here, there, message):
        if {here, there} & self.gone or self.drop(here, there, message):
            return
        version, compat, front = message.encode_payload()
        number, tid, data = message.TYPE, message.tid, bytes(message.data)
        self.carried.append((here, there, type(message).__name__))

        def deliver():
            if {here, there} & self.gone:
                return
            copy = decode_message(number, version, compat, front)
            copy.tid, copy.data = tid, data
            connection = self._connections.setdefault(
                (there, here), PeerConnection(self, there, here)
            )
            connection.priv = None
            self.monitors[there].mon.intake.ms_dispatch(connection, copy)

        self.loop.call_later(DELAY_S, deliver)
