"""A monitor without network, files or waiting: for tests of services and commands.

    mon = HarnessMonitor()                     # one monitor, its first quorum formed
    reply = mon.command("osd pool create", pool="x", pg_num=8)
    assert reply.r == 0

Time is virtual and stands still but in `advance`. Clients are `mon.session(...)`; what is sent to
one is in its `sent`.
"""

from __future__ import annotations

import heapq
import itertools
import json
import random
from dataclasses import dataclass, field
from uuid import UUID

from spirula.auth.caps.mon import ALLOW_ALL
from spirula.auth.crypto import KeyType, generate_key
from spirula.auth.keyring import KeyRing
from spirula.conf.config import Config
from spirula.conf.expand import Identity
from spirula.denc.features import PACIFIC
from spirula.messages.mon_client import MMonCommand, MMonCommandAck, MMonSubscribe, SubscribeItem
from spirula.mon.daemon import settings_of
from spirula.mon.mkfs import find_monmap, make_store
from spirula.mon.monitor import Monitor, Ports
from spirula.mon.quorum.member import Member
from spirula.mon.request import Request
from spirula.mon.session import MonSession, parse_mon_caps
from spirula.store.keyvalue import MemoryKeyValueStore
from spirula.types.auth import PrincipalName
from spirula.types.base import UTime
from spirula.types.entity import EntityAddrVec, EntityName
from spirula.types.mon import MonInfo, MonMap

WALL_AT_0 = 1_800_000_000.0
FSID = UUID("11111111-2222-3333-4444-555555555555")


class _Handle:
    def __init__(self, at, call):
        self.at, self.call = at, call

    def cancel(self):
        self.call = None


class VirtualLoop:
    """The little of an event loop that monitors use, in virtual time."""

    def __init__(self):
        self.now = 1000.0
        self._heap = []
        self._count = itertools.count()

    def time(self):
        return self.now

    def call_at(self, at, call, *args):
        handle = _Handle(at, lambda: call(*args))
        heapq.heappush(self._heap, (at, next(self._count), handle))
        return handle

    def call_later(self, after, call, *args):
        return self.call_at(self.now + after, call, *args)

    def call_soon(self, call, *args):
        return self.call_at(self.now, call, *args)

    def run_until(self, end):
        while self._heap and self._heap[0][0] <= end:
            at, _, handle = heapq.heappop(self._heap)
            self.now = max(self.now, at)
            if handle.call is not None:
                handle.call()
        self.now = max(self.now, end)


@dataclass(eq=False)
class FakeConnection:
    """Where a session's messages end up."""

    sent: list = field(default_factory=list)
    is_down: bool = False
    idle_since: float | None = None
    priv: object = None
    features: int = PACIFIC
    peer_addrs: object = None

    def send_message(self, message):
        self.sent.append(message)

    def mark_down(self):
        self.is_down = True


class FakeMessenger:
    """Nobody is reached; what would be sent is kept."""

    def __init__(self):
        self.sent = []

    def require_features(self, peer_type, features, mask):
        self.required = {**getattr(self, "required", {}), peer_type: features}

    def send_to(self, message, peer_type, addrs):
        self.sent.append((message, peer_type, addrs))

    def get_connection(self, peer_type, addrs, *, anonymous=False):
        return FakeConnection(self.sent, peer_addrs=addrs)


def make_config(name="a", options=None, entity_type="mon"):
    identity = Identity(
        entity_type=entity_type,
        entity_id=name,
        cluster="ceph",
        host="harness",
        home="/nonexistent",
        pid=1,
        context_id=0,
        data_dir_option="mon_data",
    )
    config = Config(identity, daemon=True)
    for option, value in (options or {}).items():
        config.set(option, str(value))
    config.apply_changes()
    return config


def make_keyring(random_bytes, *entities):
    """Keys of `mon.` and client.admin, and of further entities with their caps."""
    ring = KeyRing()
    listed = [("mon.", {"mon": "allow *"}), ("client.admin", dict.fromkeys(_SERVICES, "allow *"))]
    for entity, caps in [*listed, *entities]:
        name = PrincipalName.parse(entity)
        ring.add(name, generate_key(KeyType.AES, WALL_AT_0, random_bytes))
        ring.set_caps(name, caps)
    return ring


_SERVICES = ("mds", "mgr", "mon", "osd")


class HarnessMonitor:
    """One monitor in a map of its own. `options` are configuration options."""

    def __init__(self, options=None, *, seed=1, osdmap=b"", store=None, form_quorum=True):
        self.rng = random.Random(seed)
        self.options = options
        self.loop = getattr(self, "loop", None) or VirtualLoop()
        self.log_lines = []
        self.stopped = None
        self.config = make_config(options=options)
        self.keyring = make_keyring(self.rng.randbytes)
        if store is None:
            store = MemoryKeyValueStore(self.loop.call_soon)
            addrs = EntityAddrVec.parse("[v2:127.0.0.1:3300/0,v1:127.0.0.1:6789/0]")
            monmap = MonMap(fsid=FSID.bytes, epoch=0, min_mon_release=16)
            monmap.created = monmap.last_changed = UTime.at(self.wall())
            monmap.mon_info = {"a": MonInfo("a", addrs)}
            monmap.ranks = ["a"]
            store.stage(make_store(monmap, self.keyring.to_text().encode(), osdmap))
            store.commit(lambda error: None)
        self.store = store
        monmap = find_monmap(store)
        metadata = {"hostname": "harness", "ceph_version": "ceph version 16.2.15"}
        member = Member(
            "a",
            monmap.mon_info["a"].public_addrs,
            monmap,
            store,
            settings_of(self.config, metadata),
        )
        ports = Ports(
            loop=self.loop,
            wall=self.wall,
            random_bytes=self.rng.randbytes,
            log=lambda level, text, *args: self.log_lines.append((level, text)),
            stop=self._stop,
            metadata=metadata,
        )
        self.mon = Monitor(member, store, self.config, ports)
        self.messenger = FakeMessenger()
        self.mon.attach(self.messenger)
        self.mon.start()
        self.admin = self.session()
        if form_quorum:
            self.advance(2.0)
            assert self.mon.is_leader
            assert all(service.last_committed for service in self.mon.services)

    def _stop(self, reason):
        self.stopped = reason

    def wall(self):
        return WALL_AT_0 + self.loop.now

    def advance(self, seconds):
        """Let time go by, and everything happen that is due."""
        self.loop.run_until(self.loop.now + seconds)

    def session(self, entity="client.admin", caps=None, *, number=4100, addr="v1:10.1.1.1:0/7"):
        """A client's session; `caps` are its caps for monitors as text, everything by default."""
        name = PrincipalName.parse(entity)
        connection = FakeConnection()
        session = MonSession(
            name=EntityName(name.type, int(name.id) if name.id.isdecimal() else number),
            entity=name,
            addrs=EntityAddrVec.parse(addr),
            caps=ALLOW_ALL if caps is None else parse_mon_caps(caps),
            features=PACIFIC,
            connection=connection,
            opened_at=self.loop.now,
        )
        connection.priv = session
        self.mon.sessions.add(session)
        return session

    def send(self, message, session=None):
        """A message of a client; what came back to it meanwhile."""
        session = session or self.admin
        sent = session.connection.sent
        before = len(sent)
        self.mon.dispatch(Request(self.mon, message, session, self.wall()))
        self.advance(0.0)
        return sent[before:]

    def subscribe(self, what, start=0, *, onetime=False, session=None):
        """Subscribe to a map; the messages that came."""
        item = SubscribeItem(start, 1 if onetime else 0)
        return self.send(MMonSubscribe(what={what: item}, hostname="harness"), session)

    def command(self, prefix, data=b"", *, session=None, within=5.0, **arguments):
        """A command's MMonCommandAck; its output is in `data`. Waits up to `within` seconds."""
        session = session or self.admin
        words = {"prefix": prefix, **{name.rstrip("_"): v for name, v in arguments.items()}}
        message = MMonCommand(version=0, fsid=FSID.bytes, cmd=[json.dumps(words)])
        message.data = data
        message.tid = self.rng.getrandbits(32)
        self.mon.dispatch(Request(self.mon, message, session, self.wall()))
        end = self.loop.now + within
        while True:
            self.advance(0.0)
            for answer in session.connection.sent:
                if isinstance(answer, MMonCommandAck) and answer.tid == message.tid:
                    session.connection.sent.remove(answer)
                    return answer
            assert self.loop.now < end, f"no answer to {words}"
            self.advance(0.05)

    def ok(self, prefix, data=b"", **arguments):
        """The output of a command that must succeed: a document if asked in JSON, else text."""
        answer = self.command(prefix, data, **arguments)
        assert answer.r == 0, (prefix, arguments, answer.r, answer.rs)
        text = bytes(answer.data).decode("utf-8", "surrogateescape")
        if str(arguments.get("format", "")).startswith("json"):
            return json.loads(text)
        return text

    def refused(self, prefix, data=b"", **arguments):
        """Errno (positive) and status line of a command that must fail."""
        answer = self.command(prefix, data, **arguments)
        assert answer.r < 0, (prefix, arguments, answer.r, answer.rs)
        return -answer.r, answer.rs

    def restart(self):
        """The same monitor in a new process, on what was durable."""
        self.mon.stop()
        loop = VirtualLoop()
        loop.now = self.loop.now
        store = self.store.after_crash(loop.call_soon)
        made = HarnessMonitor.__new__(HarnessMonitor)
        made.loop = loop
        made.__init__(self.options, store=store)
        return made
