"""A client of a cluster: one messenger, the session with the monitors, commands to every daemon.

Built from a configuration and a key by `open_session`; used by the commands and, later, by the
`rados`, `rbd` and `cephfs` APIs. Behaviour follows upstream `src/librados/RadosClient.cc`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import field
from typing import TYPE_CHECKING, Any

from spirula.auth.client import AuthClient
from spirula.auth.registry import DEFAULTS, AuthRegistry
from spirula.client.mon_client import MonClient, MonTimings, Reply
from spirula.client.mon_hosts import Resolve, parse_mon_host
from spirula.client.objecter.linger import Lingers
from spirula.client.objecter.objecter import Objecter
from spirula.conf.config import Config
from spirula.errors import InvalidArgument, NotConnected, NotFound, SpirulaError, TimedOut
from spirula.messages.base import Message
from spirula.messages.command import (
    MCommand,
    MCommandReply,
    MMgrCommand,
    MMgrCommandReply,
    MPing,
)
from spirula.messages.mgr_map import MMgrMap
from spirula.messages.mon_client import MLog
from spirula.messages.osd_client import MOSDBackoff, MWatchNotify
from spirula.messages.osd_map import MOSDMap
from spirula.messages.osd_op import MOSDOpReply
from spirula.msgr.configured import handshake_config
from spirula.msgr.connection import Connection
from spirula.msgr.policies import client_policies
from spirula.msgr.protocol.endpoint import Endpoint
from spirula.msgr.tcp import Messenger
from spirula.msgr.typed import decode_raw, encode_message
from spirula.records import dataclass
from spirula.types.auth import CryptoKey, PrincipalName
from spirula.types.entity import EntityAddrVec, EntityName, EntityType
from spirula.types.mgr import MgrMap
from spirula.types.pg import PGId, stable_mod

if TYPE_CHECKING:
    from spirula.client.mgr_client import MgrClient

_WANTED = EntityType.MON | EntityType.OSD | EntityType.MGR | EntityType.MDS


@dataclass(slots=True, eq=False)
class _Command:
    """A command under way to one daemon."""

    future: asyncio.Future[Reply]
    connection: Connection


@dataclass(slots=True, eq=False)
class ClusterSession:
    """What a client holds of a cluster. Made by `open_session`; a dispatcher of its messenger.

    `objecter` carries out requests on objects, `lingers` keeps watches on them; `mgrmap` is the
    newest seen, None until somebody has needed it. `mgr_client` reports to the manager once this
    client has registered as a service; `on_log` is told of lines of the cluster log.
    """

    loop: asyncio.AbstractEventLoop
    wall: Callable[[], float]
    random_bytes: Callable[[int], bytes]
    name: PrincipalName
    messenger: Messenger = field(init=False)
    monitors: MonClient = field(init=False)
    objecter: Objecter = field(init=False)
    lingers: Lingers = field(init=False)
    mgrmap: MgrMap | None = None
    mgr_client: MgrClient | None = None
    on_log: Callable[[MLog], None] | None = None
    _pings: dict[Connection, asyncio.Future[str]] = field(default_factory=dict)
    _wanted_map: int | None = None
    _commands: dict[int, _Command] = field(default_factory=dict)
    _waiting: list[asyncio.Future[None]] = field(default_factory=list)
    _last_tid: int = 0
    _asking: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.objecter = Objecter(self)
        self.lingers = Lingers(self.objecter)

    async def log_in(self, timeout_s: float | None = None) -> None:
        """Logs in at a monitor. Raises its refusal, or TimedOut; the session is closed then."""
        try:
            await self.monitors.start(timeout_s)
        except BaseException:
            await self.close()
            raise
        self._take_name()

    def _take_name(self) -> None:
        """Only OSDs go by a number of their own; everybody else by the one that login gave.

        That is another after a login with expired tickets: what was sent keeps the old one, so that
        nothing is carried out twice.
        """
        is_osd = self.name.type == EntityType.OSD and self.name.id.isdecimal()
        number = int(self.name.id) if is_osd else self.monitors.auth.global_id
        endpoint = self.messenger.endpoint
        if endpoint.name.num > 0 and endpoint.name.num != number:
            self.objecter.keep_identity(endpoint.name)
        endpoint.name = EntityName(self.name.type, number)

    async def close(self) -> None:
        """Ends the session; on return nothing of it is left in the loop."""
        self.lingers.stop()
        self.objecter.stop()
        if self.mgr_client is not None:
            self.mgr_client.stop()
        self.monitors.stop()
        if self._asking:
            await asyncio.wait(self._asking)
        for command in self._commands.values():
            if not command.future.done():
                command.future.set_exception(NotConnected("the session was ended"))
        await self.messenger.shutdown()

    # ------------------------------------------------------------------------------------- commands

    async def command(
        self, command: str | dict[str, Any], data: bytes = b"", timeout_s: float | None = None
    ) -> Reply:
        """A command to the monitors; see `MonClient.command`."""
        return await self.monitors.command(command, data, timeout_s)

    async def tell(
        self,
        target: str,
        command: str | dict[str, Any],
        data: bytes = b"",
        timeout_s: float | None = None,
    ) -> Reply:
        """A command to one daemon: `osd.3`, `mon.a`, `mon` (the one of this session) or `mgr`.

        Raises NotFound where there is no such daemon, NotConnected where its session breaks before
        the answer (it may have been carried out), TimedOut.
        """
        text = command if isinstance(command, str) else json.dumps(command)
        kind, _, which = target.partition(".")
        try:
            async with asyncio.timeout(timeout_s):
                if kind == "osd":
                    addrs, peer = await self._osd_addrs(which), EntityType.OSD
                elif kind == "mgr":
                    addrs, peer = await self._mgr_addrs(), EntityType.MGR
                elif kind == "mon":
                    addrs, peer = self._mon_addrs(which), EntityType.MON
                else:
                    raise InvalidArgument(f"{target!r} is not mon.NAME, osd.NUMBER or mgr")
                message = MCommand(fsid=self.monitors.fsid, cmd=[text])
                return await self.ask(message, peer, addrs, data)
        except TimeoutError:
            raise TimedOut(f"no answer from {target} in {timeout_s:g} s") from None

    async def mgr_command(
        self, command: str | dict[str, Any], data: bytes = b"", timeout_s: float | None = None
    ) -> Reply:
        """A command that the active manager or one of its modules handles."""
        text = command if isinstance(command, str) else json.dumps(command)
        try:
            async with asyncio.timeout(timeout_s):
                message = MMgrCommand(fsid=self.monitors.fsid, cmd=[text])
                return await self.ask(message, EntityType.MGR, await self._mgr_addrs(), data)
        except TimeoutError:
            raise TimedOut(f"no answer from the manager in {timeout_s:g} s") from None

    async def ask(
        self, message: Message, peer: EntityType, addrs: EntityAddrVec, data: bytes = b""
    ) -> Reply:
        """Sends a command to whoever is at an address, and waits for the answer. NotConnected."""
        self._last_tid += 1
        tid = message.tid = self._last_tid
        message.data = data
        connection = self.messenger.get_connection(peer, addrs, anonymous=peer == EntityType.MON)
        command = self._commands[tid] = _Command(self.loop.create_future(), connection)
        connection.send_message(message)
        try:
            return await command.future
        finally:
            del self._commands[tid]

    async def command_pg(
        self, pg: PGId, command: str, data: bytes = b"", timeout_s: float | None = None
    ) -> Reply:
        """A command to the OSD that serves a PG. NotFound where its pool is not there."""
        try:
            await asyncio.wait_for(self.objecter.newest_map(), timeout_s)
        except TimeoutError:
            raise TimedOut(f"no answer from the monitors in {timeout_s:g} s") from None
        maps = self.objecter.maps
        pool = maps.osdmap.pools.get(pg.pool)
        if pool is None:
            raise NotFound("pool dne")
        primary = maps.places(PGId(pg.pool, stable_mod(pg.seed, pool.pg_num))).acting_primary
        if primary < 0:
            raise NotConnected(f"nobody serves {pg}")
        return await self.tell(f"osd.{primary}", command, data, timeout_s)

    async def ping_monitor(self, name: str, timeout_s: float | None = None) -> str:
        """How a monitor is, as JSON, whether or not there is a quorum. NotFound, TimedOut."""
        addrs = self._mon_addrs(name)
        connection = self.messenger.get_connection(EntityType.MON, addrs, anonymous=True)
        answer = self._pings[connection] = self.loop.create_future()
        connection.send_message(MPing())
        try:
            return await asyncio.wait_for(answer, timeout_s)
        except TimeoutError:
            raise TimedOut(f"no answer from mon.{name} in {timeout_s:g} s") from None
        finally:
            del self._pings[connection]
            connection.mark_down()

    def serve(self, client: MgrClient) -> None:
        """From now on `client` reports to the manager, whichever is active."""
        self.mgr_client = client
        self.monitors.subscribe("mgrmap", 0)

    # ----------------------------------------------------------------------------------------- maps

    def _mon_addrs(self, name: str) -> EntityAddrVec:
        monmap = self.monitors.monmap
        if monmap is None:
            raise NotConnected("no monitor has answered yet")
        connection = self.monitors.connection
        if not name and connection is not None:
            return connection.peer_addrs
        if name in monmap.mon_info:
            return monmap.mon_info[name].public_addrs
        if name.isdecimal() and int(name) < len(monmap.ranks):
            return monmap.addrs(int(name))
        raise NotFound(f"there is no mon.{name}; there are {', '.join(monmap.ranks)}")

    async def _osd_addrs(self, which: str) -> EntityAddrVec:
        if not which.isdecimal():
            raise InvalidArgument(f"osd.{which} is not an OSD: its number is missing")
        await self.objecter.newest_map()
        osdmap, number = self.objecter.maps.osdmap, int(which)
        if number >= len(osdmap.client_addrs) or not osdmap.osd_state[number]:
            raise NotFound(f"there is no osd.{number}")
        addrs = osdmap.client_addrs[number]
        if addrs.msgr2 is None or addrs.msgr2.is_blank_ip:
            raise NotConnected(f"osd.{number} is down, its address is not known")
        return addrs

    async def _mgr_addrs(self) -> EntityAddrVec:
        if self.mgr_client is None or self.mgrmap is None:
            self.monitors.subscribe("mgrmap", 0, onetime=self.mgr_client is None)
            await self._hear()
        if self.mgrmap is None or not self.mgrmap.active_addrs:
            raise NotConnected("there is no active manager")
        return self.mgrmap.active_addrs

    async def _hear(self) -> None:
        """Waits for the next map."""
        future: asyncio.Future[None] = self.loop.create_future()
        self._waiting.append(future)
        await future

    def _heard(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def on_osdmap(self, message: Message) -> None:
        """Takes OSD maps that a monitor sent because they were asked for."""
        if isinstance(message, MOSDMap):
            # First, for what the objecter makes of these maps may be to ask for more.
            self._wanted_map = None
            self.monitors.got("osdmap", max([*message.maps, *message.incremental_maps], default=0))
            self.objecter.on_osdmap(message)

    def on_mgrmap(self, message: Message) -> None:
        """Takes the manager map."""
        if isinstance(message, MMgrMap):
            self.mgrmap = message.map
            self.monitors.got("mgrmap", self.mgrmap.epoch)
            if self.mgr_client is not None:
                self.mgr_client.on_map(message)
            self._heard()

    def on_mlog(self, message: Message) -> None:
        """Lines of the cluster log, because they were asked for."""
        if isinstance(message, MLog):
            for level in ("debug", "info", "sec", "warn", "error"):
                self.monitors.got(f"log-{level}", message.version)
            if self.on_log is not None:
                self.on_log(message)

    # ---------------------------------------------------------------- what the objecter is lent

    def draw(self, count: int) -> int:
        """A number below `count`, at random."""
        return int.from_bytes(self.random_bytes(4), "little") % count

    def connect(self, osd: int, addrs: EntityAddrVec) -> Connection:
        """A session with an OSD, a new one if the last one broke."""
        del osd
        return self.messenger.get_connection(EntityType.OSD, addrs)

    def want_map(self, start: int) -> None:
        """Asks for OSD maps from this epoch on; 0: the newest."""
        # Asked again whenever it is another one: an OSD may have sent what was asked for first, and
        # a monitor tells nobody twice what it believes they have.
        if start != self._wanted_map:
            self._wanted_map = start
            self.monitors.subscribe("osdmap", start, onetime=True)

    def ask_newest_epoch(self, answer: Callable[[int], None]) -> None:
        """Asks for the epoch of the newest OSD map."""

        async def ask() -> None:
            with contextlib.suppress(NotConnected):  # the session has ended: nobody waits
                newest, _ = await self.monitors.get_version("osdmap")
                answer(newest)

        asking = self.loop.create_task(ask())
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)

    # ------------------------------------------------------------------------ from the messenger

    def ms_dispatch(self, connection: Connection, message: Message) -> None:
        """A message from any daemon."""
        if isinstance(message, (MCommandReply, MMgrCommandReply)):
            command = self._commands.get(message.tid)
            if command is not None and not command.future.done():
                reply = Reply(message.r, message.rs, bytes(message.data))
                command.future.set_result(reply)
        elif isinstance(message, MOSDOpReply):
            self.objecter.on_reply(connection, message)
        elif isinstance(message, MWatchNotify):
            self.lingers.on_watch_notify(message)
        elif isinstance(message, MOSDBackoff):
            self.objecter.on_backoff(connection, message)
        elif isinstance(message, MPing):
            ping = self._pings.get(connection)
            if ping is not None and not ping.done():
                ping.set_result(message.answer or "")
        elif isinstance(message, MOSDMap) and connection is not self.monitors.connection:
            self.objecter.on_osdmap(message)
        elif self.mgr_client is None or not self.mgr_client.on_message(message):
            self.monitors.on_message(connection, message)

    def ms_handle_connect(self, connection: Connection) -> None:
        """A session is open."""
        if connection is self.monitors.connection:
            self._take_name()
        self.monitors.on_connect(connection)

    def ms_handle_accept(self, connection: Connection) -> None:
        """Never happens: a client does not listen."""

    def ms_handle_reset(self, connection: Connection) -> None:
        """A session is over: who waited for its answers is told."""
        self.monitors.on_reset(connection)
        self.objecter.on_reset(connection)
        if self.mgr_client is not None:
            self.mgr_client.on_reset(connection)
        self._fail(connection, NotConnected("the daemon went away before it answered"))

    def ms_handle_remote_reset(self, connection: Connection) -> None:
        """The daemon was restarted."""
        self._fail(connection, NotConnected("the daemon was restarted before it answered"))

    def ms_handle_refused(self, connection: Connection, error: SpirulaError) -> None:
        """A daemon did not let us in."""
        self.monitors.on_refused(connection, error)
        self.objecter.on_refused(connection)
        self._fail(connection, error)

    def _fail(self, connection: Connection, error: SpirulaError) -> None:
        for command in self._commands.values():
            if command.connection is connection and not command.future.done():
                command.future.set_exception(error)
        ping = self._pings.get(connection)
        if ping is not None and not ping.done():
            ping.set_exception(error)


async def open_session(
    config: Config,
    key: CryptoKey | None,
    *,
    clock: Callable[[], float],
    random_bytes: Callable[[int], bytes],
    resolve: Resolve | None = None,
    timeout_s: float | None = None,
    log: Callable[[int, str], None] | None = None,
) -> ClusterSession:
    """Logs in to the cluster that `config` names, as the entity of its identity.

    `clock` gives seconds since 1970, `random_bytes` unpredictable bytes; `log` takes a level and a
    line (see `Messenger`). Raises InvalidArgument for a useless configuration, the monitors'
    refusal, TimedOut.
    """
    loop = asyncio.get_running_loop()
    session = make_session(
        loop, config, key, clock=clock, random_bytes=random_bytes, resolve=resolve, log=log
    )
    await session.log_in(timeout_s)
    return session


def make_session(
    loop: asyncio.AbstractEventLoop,
    config: Config,
    key: CryptoKey | None,
    *,
    clock: Callable[[], float],
    random_bytes: Callable[[int], bytes],
    resolve: Resolve | None = None,
    log: Callable[[int, str], None] | None = None,
) -> ClusterSession:
    """As `open_session`, but it does not log in yet: daemons add to it what they want to hear."""
    identity = config.identity
    name = PrincipalName.parse(f"{identity.entity_type}.{identity.entity_id}")
    options = {option: config.get_str(option) for option in DEFAULTS}
    registry = AuthRegistry.from_options(name.type, options)
    auth = AuthClient(name, key, registry, _WANTED, clock=clock, random=random_bytes)
    hosts = config.get_str("mon_host")
    monitors = parse_mon_host(hosts, resolve) if resolve else parse_mon_host(hosts)

    session = ClusterSession(loop, clock, random_bytes, name)
    endpoint = Endpoint(
        EntityName(name.type, -1),
        client_policies(),
        random_bytes=random_bytes,
        auth_client=lambda peer_type, _: auth.handshake(peer_type),
        config=handshake_config(name.type, config),
        encode=encode_message,
        nonce=int.from_bytes(random_bytes(4), "little") or 1,
    )
    session.messenger = Messenger(
        loop, endpoint, session, decode=decode_raw, wall_clock=clock, log=log
    )
    session.monitors = MonClient(
        loop,
        session.messenger,
        auth,
        monitors,
        lambda addrs: addrs.sort(key=lambda _: random_bytes(4)),
        MonTimings.of(config),
        {MOSDMap: session.on_osdmap, MMgrMap: session.on_mgrmap, MLog: session.on_mlog},
    )
    return session
