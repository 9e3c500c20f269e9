"""A quorum member of ours in place of a real monitor: messenger, keys and store, but no services.

It takes the name, the addresses and the key of a monitor of a `RealCluster` whose process was
killed. What goes to services is noted and not answered.
"""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections import Counter, deque
from typing import Self

from spirula.auth.cephx.key_server import KeyServer
from spirula.auth.keyring import KeyRing
from spirula.auth.monitor import MON, MonitorAuthClient
from spirula.auth.registry import AuthRegistry
from spirula.auth.server import MonAuthServer
from spirula.cli.credentials import sections_of
from spirula.conf.file import parse_conf
from spirula.messages.quorum import (
    MMonElection,
    MMonPaxos,
    MMonPing,
    MMonProbe,
    MMonScrub,
    MMonSync,
    MTimeCheck2,
)
from spirula.mon.quorum.member import Member
from spirula.mon.quorum.state import Outcome, Phase, Settings
from spirula.mon.store import MONITOR, Transaction
from spirula.msgr.policies import monitor_policies
from spirula.msgr.protocol.endpoint import Endpoint
from spirula.msgr.protocol.handshake import HandshakeConfig
from spirula.msgr.tcp import Messenger
from spirula.msgr.typed import decode_raw, encode_message
from spirula.store.keyvalue import MemoryKeyValueStore
from spirula.types.auth import PrincipalName
from spirula.types.entity import EntityName, EntityType
from spirula.types.mon import MonCommand, MonCommandList, MonMap
from tests.interop.realcluster import RealCluster

QUORUM = (MMonPaxos, MMonElection, MMonPing, MMonProbe, MMonSync, MMonScrub, MTimeCheck2)
PREFIXES = (
    *("auth", "config", "health", "kv", "logm", "mds_health", "mds_metadata", "mdsmap", "mgr"),
    *("mgr_command_descs", "mgr_metadata", "mgrstat", "mon_config_key", "monmap", "osd_metadata"),
    *("osd_pg_creating", "osd_snap", "osdmap", "paxos"),
)
"""What 16.2's monitors synchronise and scrub."""
COMMANDS = MonCommandList(
    [MonCommand("config-key get name=key,type=CephString", "get <key>", "config-key", "r", flags=0)]
)
METADATA = {"addrs": "", "ceph_release": "pacific", "ceph_version": "ceph version 16.2.15 (ours)"}


class QuorumNode:
    """One of our members. Everything is called on the event loop."""

    def __init__(self, cluster: RealCluster, name: str, epoch: int = 0) -> None:
        self.loop = asyncio.get_running_loop()
        self.name = name
        self.store = MemoryKeyValueStore(self.loop.call_soon)
        if epoch:
            # As after a restart in a later epoch: members that still miss the real one listen.
            self.store.stage(Transaction().put(MONITOR, "election_epoch", epoch).value)
        monmap = MonMap.decode((cluster.folder / "monmap").read_bytes())
        self.addrs = monmap.mon_info[name].public_addrs
        settings = Settings(
            sync_prefixes=PREFIXES, metadata=METADATA, commands_bl=COMMANDS.encode()
        )
        self.member = Member(name, self.addrs, monmap, self.store, settings)
        self.events: list[object] = []
        self.outcomes: list[Outcome] = []
        self.ignored: Counter[str] = Counter()
        self._outbox: deque[tuple[int, object]] = deque()
        self._asked = self._durable = 0
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False
        self.messenger = self._make_messenger(cluster)

    def _make_messenger(self, cluster: RealCluster) -> Messenger:
        data = (cluster.folder / "mon.keyring").read_bytes()
        keyring = KeyRing.decode(data, lambda text: sections_of(parse_conf(text)))
        peers = KeyRing({MON: keyring.keys[MON]})
        registry = AuthRegistry.from_options(EntityType.MON, {})
        keys = KeyServer()
        server = MonAuthServer(registry, keys, peers, lambda: None, time.time, os.urandom)
        principal = PrincipalName(EntityType.MON, self.name)
        client = MonitorAuthClient(principal, registry, keys, peers, time.time, os.urandom)
        endpoint = Endpoint(
            EntityName(EntityType.MON, self.member.state.rank),
            monitor_policies(),
            random_bytes=os.urandom,
            auth_client=lambda peer_type, _: client.handshake(peer_type),
            auth_server=server.handshake,
            config=HandshakeConfig(EntityType.MON),
            nonce=0,
            encode=encode_message,
        )
        return Messenger(self.loop, endpoint, self, decode=decode_raw, wall_clock=time.time)

    def clocks(self) -> tuple[float, float]:
        return self.loop.time(), time.time()

    # --- life

    async def __aenter__(self) -> Self:
        await self.messenger.bind(self.addrs)
        self.member.start(*self.clocks())
        self.flush()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        await self.messenger.shutdown()

    async def until(self, condition, limit_s: float = 40.0) -> float:
        """Wait for something to hold; the seconds it took."""
        start = self.loop.time()
        while not condition():
            state = self.member.state
            waited = self.loop.time() - start
            what = f"{state.phase} {state.quorum} {self.member.epoch} {self.ignored}"
            assert waited < limit_s, f"not within {limit_s} s: {what}"
            await asyncio.sleep(0.02)
        return self.loop.time() - start

    def in_quorum(self, *ranks: int) -> bool:
        """Whether these form the quorum, and this one may be read."""
        return self.member.state.quorum == set(ranks) and self.member.readable(*self.clocks())

    @property
    def leads(self) -> bool:
        return self.member.state.phase is Phase.LEADER

    async def propose(self, prefix: str, key: str, value: bytes) -> int | None:
        """Have a key set by the quorum; the version that holds it."""
        token = object()
        transaction = Transaction().put(prefix, key, value).value
        assert self.member.propose(transaction, token, *self.clocks())
        self.flush()
        found: list[Outcome] = []

        def told() -> bool:
            found[:] = [outcome for outcome in self.outcomes if outcome.token is token]
            return bool(found)

        await self.until(told)
        return found[0].version

    # --- doing what the member says

    def flush(self) -> None:
        if self._stopped:
            return
        ready = self.member.take()
        self.events += ready.events
        if ready.persist:
            self._asked += 1
            number = self._asked
            self.store.commit(lambda error: self._landed(number))
        self._outbox += [(self._asked, what) for what in (*ready.messages, *ready.outcomes)]
        self._release()
        if self._timer is not None:
            self._timer.cancel()
        deadline = self.member.deadline()
        if deadline is not None:
            self._timer = self.loop.call_at(deadline + 0.001, self._wake)

    def _landed(self, number: int) -> None:
        self._durable = number
        self._release()

    def _release(self) -> None:
        while self._outbox and self._outbox[0][0] <= self._durable and not self._stopped:
            _, what = self._outbox.popleft()
            if isinstance(what, Outcome):
                self.outcomes.append(what)
            else:
                self.messenger.send_to(what.message, EntityType.MON, what.to)

    def _wake(self) -> None:
        self.member.wake(*self.clocks())
        self.flush()

    # --- the messenger's dispatcher

    def ms_dispatch(self, connection, message) -> None:
        if not isinstance(message, QUORUM):
            self.ignored[type(message).__name__] += 1
            return
        addrs, features = connection.peer_addrs, connection.features
        self.member.on_message(addrs, features, message, *self.clocks())
        self.flush()

    def ms_handle_refused(self, connection, error) -> None:
        if getattr(error, "errno", 0) == errno.ECONNREFUSED:
            addrs = connection.peer_addrs
            connection.mark_down()
            self.member.on_unreachable(addrs, *self.clocks())
            self.flush()

    def ms_handle_connect(self, connection) -> None:
        pass

    def ms_handle_accept(self, connection) -> None:
        pass

    def ms_handle_reset(self, connection) -> None:
        pass

    def ms_handle_remote_reset(self, connection) -> None:
        pass
