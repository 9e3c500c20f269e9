"""`Cluster`: a session with a cluster, with the asyncio API. `connect` opens one.

Everything of it runs in the event loop that was running when it was opened. Every failure is an
`Error` of `spirula.rados.errors`. Behaviour follows upstream `src/librados/RadosClient.cc`.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import time
import uuid
from collections.abc import Callable, Coroutine, Generator, Mapping
from errno import EEXIST, EINVAL, ENOENT, ESHUTDOWN
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from spirula.client.credentials import NotInKeyring, find_key
from spirula.client.mon_client import Reply
from spirula.client.objecter.objecter import Outcome
from spirula.client.session import ClusterSession, open_session
from spirula.conf.config import Config
from spirula.conf.load import open_file
from spirula.crush.lookup import parse_locations
from spirula.errors import CephError, NotConnected, NotFound, SpirulaError
from spirula.messages.mon_client import MLog
from spirula.rados.aio import pools
from spirula.rados.aio.ioctx import Ioctx
from spirula.rados.errors import (
    LogicError,
    ObjectNotFound,
    PermissionDeniedError,
    RadosStateError,
    from_spirula,
    make_error,
)
from spirula.rados.settings import Settings
from spirula.types.log import LogEntry
from spirula.types.pg import PGId

_LEVELS = {
    "debug": "debug",
    "info": "info",
    "warn": "warn",
    "warning": "warn",
    "err": "error",
    "error": "error",
    "sec": "sec",
}
MONITOR_LEVELS = list(_LEVELS)
"""How grave lines of the cluster log have to be to be told, as it is asked for."""
_RESERVED = frozenset({"mon", "osd", "mgr", "mds", "client", "auth"})


class Cluster:
    """A client of a cluster. `settings` is its configuration; the session opens with `connect`.

    An asynchronous context manager that opens and ends it.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._session: ClusterSession | None = None
        self._log_level = ""

    # ------------------------------------------------------------------------------------- session

    @property
    def session(self) -> ClusterSession:
        """What lies below. RadosStateError where the session is not open."""
        if self._session is None:
            raise RadosStateError(
                "You cannot perform that operation on a Rados object in state configuring."
            )
        return self._session

    @property
    def is_connected(self) -> bool:
        """Whether the session is open."""
        return self._session is not None

    @property
    def op_timeout_s(self) -> float | None:
        """How long an operation may take (rados_osd_op_timeout); None: for ever."""
        return self.settings.config.get_int("rados_osd_op_timeout") or None

    @property
    def mon_timeout_s(self) -> float | None:
        """How long a question to the monitors may take (rados_mon_op_timeout); None: for ever."""
        return self.settings.config.get_int("rados_mon_op_timeout") or None

    async def connect(self, timeout_s: float | None = None) -> Self:
        """Log in. Without `timeout_s` client_mount_timeout holds.

        Raises TimedOut, PermissionDeniedError (wrong key, no caps), ObjectNotFound (no keyring).
        """
        if self._session is not None:
            raise RadosStateError(
                "You cannot perform that operation on a Rados object in state connected."
            )
        what = "error connecting to the cluster"
        config = self.settings.config
        limit = timeout_s or config.get_int("client_mount_timeout") or None
        try:
            key = find_key(config, _contents)
            session = await open_session(
                config,
                key,
                clock=time.time,
                random_bytes=os.urandom,
                resolve=_resolve,
                timeout_s=limit,
            )
        except NotInKeyring as error:
            raise PermissionDeniedError(what, errno=13) from error
        except SpirulaError as error:
            raise from_spirula(error, what) from error
        self._session = session
        self.settings.started = True
        objecter = session.objecter
        objecter.most_ops = config.get_int("objecter_inflight_ops")
        objecter.most_bytes = config.get_int("objecter_inflight_op_bytes")
        objecter.maps.location = _location(config)
        try:
            await asyncio.wait_for(session.objecter.wait_for_map(1), limit)
        except TimeoutError:
            await self.shutdown()
            raise make_error(110, what) from None
        return self

    async def shutdown(self) -> None:
        """End the session, if there is one; what is under way ends with ConnectionShutdown."""
        session, self._session = self._session, None
        if session is None:
            return
        forgotten = session.objecter.requests()
        await session.close()
        for request in forgotten:
            request.finish(Outcome(-ESHUTDOWN, request.ops))

    async def __aenter__(self) -> Self:
        if self._session is None:
            await self.connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.shutdown()

    @property
    def fsid(self) -> str:
        """The cluster's id."""
        return str(uuid.UUID(bytes=bytes(self.session.monitors.fsid)))

    @property
    def instance_id(self) -> int:
        """This session's global id, as watchers and locks tell it."""
        return self.session.monitors.auth.global_id

    @property
    def addrs(self) -> str:
        """This client's address, as the blocklist takes it."""
        endpoint = self.session.messenger.endpoint
        known = [addr for addr in endpoint.addrs.addrs if not addr.is_blank_ip]
        host = known[0].host if known else "-"
        return f"{host}:0/{endpoint.nonce}"

    async def wait_for_latest_osdmap(self) -> None:
        """Wait until the map is as new as the monitors' is now."""
        try:
            await asyncio.wait_for(self.session.objecter.newest_map(), self.mon_timeout_s)
        except TimeoutError:
            raise make_error(110, "error waiting for the newest map") from None

    # --------------------------------------------------------------------------------------- pools

    async def open_ioctx(self, pool: str | int) -> Ioctx:
        """Access to the objects of a pool, by its name or id. ObjectNotFound."""
        if isinstance(pool, int):
            name = await pools.find_name(self, pool)
            if name is None:
                raise make_error(ENOENT, f"error opening pool id '{pool}'")
            return Ioctx(self, pool, name)
        pool_id = await pools.find(self, pool)
        if pool_id is None:
            raise make_error(ENOENT, f"error opening pool '{pool}'")
        return Ioctx(self, pool_id, pool)

    def ioctx(self, pool: str | int) -> Opening[Ioctx]:
        """`async with cluster.ioctx("mine") as ioctx`: `open_ioctx`, and its end."""
        return Opening(self.open_ioctx(pool))

    async def list_pools(self) -> list[str]:
        """The names of all pools, in the order of their ids."""
        return [name for _, name in sorted(pools.the_map(self).pool_name.items())]

    async def pool_lookup(self, name: str) -> int | None:
        """A pool's id; None where there is none of that name."""
        return await pools.find(self, name)

    async def pool_reverse_lookup(self, pool_id: int) -> str | None:
        """A pool's name; None where there is none of that id."""
        return await pools.find_name(self, pool_id)

    async def create_pool(self, name: str, crush_rule: int | None = None) -> None:
        """Make a pool with the cluster's defaults. ObjectExists."""
        await pools.create(self, name, crush_rule)

    async def delete_pool(self, name: str) -> None:
        """Remove a pool with all that is in it. PermissionError where the cluster forbids it."""
        await pools.delete(self, name)

    def pool_base_tier(self, pool_id: int) -> int:
        """The pool that this one is a tier of; itself where it is none."""
        return pools.base_tier(self, pool_id)

    async def inconsistent_pgs(self, pool_id: int) -> list[str]:
        """PGs of a pool whose copies differ, as scrubs found."""
        return await pools.inconsistent_pgs(self, pool_id)

    async def stats(self) -> dict[str, int]:
        """How full the cluster is: kb, kb_used, kb_avail, num_objects."""
        return await pools.cluster_stats(self)

    # ------------------------------------------------------------------------------------ commands

    async def mon_command(
        self, command: str, data: bytes = b"", target: str | int | None = None
    ) -> Reply:
        """Have the monitors carry a command out (JSON); `target` names one of them, or its rank."""
        if target is None:
            return await self._replied(self.session.command(command, data, self.mon_timeout_s))
        return await self._replied(
            self.session.tell(f"mon.{target}", command, data, self.mon_timeout_s), "mon dne"
        )

    async def osd_command(self, osd: int, command: str, data: bytes = b"") -> Reply:
        """Have an OSD carry a command out."""
        tell = self.session.tell(f"osd.{osd}", command, data, self.op_timeout_s)
        return await self._replied(tell, "osd dne", "osd down")

    async def pg_command(self, pgid: str, command: str, data: bytes = b"") -> Reply:
        """Have the OSD that serves a PG carry a command out."""
        try:
            pg = PGId.parse(pgid)
        except ValueError:
            return Reply(-EINVAL, f"{pgid!r} is not a PG like 3.1f", b"")
        tell = self.session.command_pg(pg, command, data, self.op_timeout_s)
        return await self._replied(tell, "pool dne", "osd down")

    async def mgr_command(
        self, command: str, data: bytes = b"", target: str | None = None
    ) -> Reply:
        """Have the active manager carry a command out.

        With a `target` (even an empty one) it is a command to the daemon, such as `version` or
        `config show`, and not one of the cluster's that the manager serves.
        """
        if target is not None:
            return await self._replied(self.session.tell("mgr", command, data, self.mon_timeout_s))
        return await self._replied(self.session.mgr_command(command, data, self.mon_timeout_s))

    async def _replied(self, asking: Any, missing: str = "", down: str = "") -> Reply:
        """The reply; what kept the command from its daemon is told as one."""
        try:
            reply: Reply = await asking
        except NotFound as error:
            return Reply(-ENOENT, missing or error.message, b"")
        except NotConnected as error:
            return Reply(-(6 if down else error.errno), down or error.message, b"")
        except CephError as error:
            return Reply(-error.errno, error.message, b"")
        return reply

    async def ping_monitor(self, name: str, timeout_s: float | None = None) -> str:
        """How a monitor is, as JSON, whether or not there is a quorum. ObjectNotFound."""
        try:
            limit = timeout_s or self.settings.config.get_int("client_mount_timeout")
            return await self.session.ping_monitor(name, limit)
        except SpirulaError as error:
            raise from_spirula(error, "error calling ping_monitor") from error

    async def blocklist_add(self, client_address: str, expire_seconds: int = 0) -> None:
        """Have OSDs refuse a client (`1.2.3.4:0/123`), for an hour where no time is given."""
        command: dict[str, object] = {"blocklistop": "add", "addr": client_address}
        if expire_seconds:
            command["expire"] = float(expire_seconds)
        reply = await self.mon_command(json.dumps({"prefix": "osd blocklist", **command}))
        if reply.result == -EINVAL:  # what it was called before Pacific
            command["blacklistop"] = command.pop("blocklistop")
            reply = await self.mon_command(json.dumps({"prefix": "osd blacklist", **command}))
        if reply.result < 0:
            raise make_error(reply.result, f"error blocklisting client '{client_address}'")
        await self.wait_for_latest_osdmap()

    # --------------------------------------------------------------------- the log, and services

    def monitor_log(self, level: str, callback: Callable[[LogEntry], None] | None) -> None:
        """Call back with each new line of the cluster log of this level or graver.

        None ends that. LogicError where the level is none of MONITOR_LEVELS.
        """
        if level not in _LEVELS:
            raise LogicError(f"invalid monitor level {level}")
        session = self.session
        if self._log_level:
            session.monitors.unsubscribe(self._log_level)
            self._log_level = ""
        if callback is None:
            session.on_log = None
            return
        told = callback

        def on_log(message: MLog) -> None:
            for entry in message.entries:
                told(entry)

        session.on_log = on_log
        self._log_level = f"log-{_LEVELS[level]}"
        session.monitors.subscribe(self._log_level, 0)

    def register_service(self, service: str, daemon: str, metadata: Mapping[str, str]) -> None:
        """Be shown as a daemon of a service (`ceph -s`, `ceph service dump`).

        ObjectExists where this session is one already, InvalidArgumentError for Ceph's own names.
        """
        session = self.session
        what = "error calling service_register()"
        if session.mgr_client is not None:
            raise make_error(EEXIST, what)
        if not service or not daemon or service in _RESERVED:
            raise make_error(EINVAL, what)
        # What only few programs need, and as much as a tenth of what importing this costs.
        from spirula.rados.aio.service import begin  # noqa: PLC0415  # said above

        begin(session, self.settings.config, service, daemon, metadata)

    def update_service(self, status: Mapping[str, str]) -> None:
        """Tell the manager how the service does."""
        client = self.session.mgr_client
        if client is not None:
            client.set_status(dict(status))


T = TypeVar("T", Cluster, Ioctx)


class Opening(Generic[T]):
    """Something that is being opened: to be awaited, or for `async with`, which also closes it."""

    def __init__(self, opening: Coroutine[Any, Any, T]) -> None:
        self._opening: Coroutine[Any, Any, T] = opening
        self._opened: T | None = None

    def __await__(self) -> Generator[Any, None, T]:
        opening: Generator[Any, None, T] = self._opening.__await__()
        return opening

    async def __aenter__(self) -> T:
        self._opened = await self._opening
        return self._opened

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._opened is not None:
            await self._opened.__aexit__(kind, error, trace)


def connect(
    conffile: str | None = None,
    *,
    name: str = "client.admin",
    cluster_name: str = "",
    conf: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
) -> Opening[Cluster]:
    """A session with the cluster of a configuration file, for `async with` or `await`.

    Without `conffile` the usual files are tried, then $CEPH_ARGS and `conf` (options by name, such
    as mon_host and key) are heeded; without any file, those alone. `name` is who logs in.
    """
    settings = make_settings(conffile, name=name, cluster_name=cluster_name, conf=conf)

    async def opening() -> Cluster:
        return await Cluster(settings).connect(timeout_s)

    return Opening(opening())


def make_settings(
    conffile: str | None,
    *,
    name: str = "client.admin",
    cluster_name: str = "",
    conf: Mapping[str, str] | None = None,
) -> Settings:
    """The configuration that `connect` uses."""
    settings = Settings(name, cluster_name)
    try:
        settings.read_file(conffile)
    except ObjectNotFound:
        if conffile is not None or not (conf and "mon_host" in conf):
            raise
    settings.parse_env()
    for option, value in (conf or {}).items():
        settings.set(option, value)
    return settings


def _location(config: Config) -> list[tuple[str, str]]:
    """Where this client is: as crush_location says, or on the host of this name."""
    told = config.get_str("crush_location")
    if not told:
        return [("host", config.identity.host), ("root", "default")]
    try:
        return parse_locations(re.split(r"[\s;,]+", told.strip()))
    except SpirulaError as error:
        raise from_spirula(error, f"crush_location {told!r}") from error


def _resolve(name: str) -> list[str]:
    try:
        found = socket.getaddrinfo(name, None, proto=socket.IPPROTO_TCP)
    except OSError as error:
        raise NotFound(f"cannot resolve {name!r}: {error.strerror}") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _contents(path: str) -> bytes:
    with open_file(path) as stream:
        return stream.read()
