"""`Rados` of the synchronous API: a handle of a cluster, with upstream's names and results.

A thin face over `spirula.rados.aio.Cluster`, which runs in a thread behind it. Also `connect`, for
programs that want what is usual in one call. Facts: upstream `rados.pyx`.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from errno import EINVAL
from types import TracebackType
from typing import Any, Literal, Self

from spirula.client.mon_client import Reply
from spirula.rados.aio.cluster import MONITOR_LEVELS, Cluster
from spirula.rados.background import Background, Throttle
from spirula.rados.checks import check
from spirula.rados.errors import Error, LogicError, RadosStateError, make_error
from spirula.rados.ioctx import Ioctx
from spirula.rados.settings import Settings
from spirula.types.log import LogEntry, LogLevel

DEFAULT_CONF_FILES = -2
NO_CONF_FILE = -1
_LEVELS = {
    LogLevel.DEBUG: b"[DBG]",
    LogLevel.INFO: b"[INF]",
    LogLevel.SEC: b"[SEC]",
    LogLevel.WARN: b"[WRN]",
    LogLevel.ERROR: b"[ERR]",
}


class Version:
    """The version of the library that upstream's module would sit on."""

    def __init__(self, major: int, minor: int, extra: int) -> None:
        self.major = major
        self.minor = minor
        self.extra = extra

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.extra}"


class Rados:
    """A handle of a cluster: `configuring`, then `connected`, then `shutdown` (see `state`).

    A context manager that connects and shuts down. `conffile`: a path, "" or DEFAULT_CONF_FILES
    for the usual files, NO_CONF_FILE for none. Options count in the order conf_defaults,
    conffile, conf. Any thread may use it; a child of fork makes its own.
    """

    DEFAULT_CONF_FILES = DEFAULT_CONF_FILES
    NO_CONF_FILE = NO_CONF_FILE

    def __init__(
        self,
        rados_id: str | None = None,
        name: str | None = None,
        clustername: str | None = None,
        conf_defaults: Mapping[str, str] | None = None,
        conffile: str | int | None = NO_CONF_FILE,
        conf: Mapping[str, str] | None = None,
        flags: int = 0,
        context: object = None,
    ) -> None:
        self.monitor_callback: tuple[Callable[..., Any], Any] | None = None
        self.monitor_callback2: tuple[Callable[..., Any], Any] | None = None
        self.parsed_args: Sequence[str] = []
        self.conf_defaults = conf_defaults
        self.conffile = conffile
        self.rados_id = rados_id
        if context is not None:
            raise Error("Rados(): there is no C context here that could be shared")
        if rados_id and name:
            raise Error("Rados(): can't supply both rados_id and name")
        if rados_id:
            name = "client." + rados_id
        self._settings = Settings(name or "client.admin", clustername or "")
        self.state = "configuring"
        self._background: Background | None = None
        self._cluster: Cluster | None = None
        self._throttle = Throttle(0, 0)
        self._finalizer: Callable[[], object] | None = None
        for option, value in (conf_defaults or {}).items():
            self.conf_set(option, value)
        if conffile in ("", DEFAULT_CONF_FILES):
            self.conf_read_file()
        elif isinstance(conffile, str):
            self.conf_read_file(conffile)
        for option, value in (conf or {}).items():
            self.conf_set(option, value)

    def require_state(self, *args: str) -> None:
        """Raise RadosStateError where the state is none of these."""
        if self.state not in args:
            raise RadosStateError(
                f"You cannot perform that operation on a Rados object in state {self.state}."
            )

    @property
    def background(self) -> Background:
        """The threads behind this handle."""
        if self._background is None:
            self.require_state("connected")
            raise RadosStateError("there is no session")
        return self._background

    @property
    def throttle(self) -> Throttle:
        """What bounds the operations under way."""
        return self._throttle

    @property
    def beneath(self) -> Cluster:
        """The cluster of the asyncio API; its coroutines belong to `background`."""
        if self._cluster is None:
            self.require_state("connected")
            raise RadosStateError("there is no session")
        return self._cluster

    # --------------------------------------------------------------------------------- the session

    def connect(self, timeout: int = 0) -> None:
        """Log in to the cluster. `timeout` in seconds; 0: client_mount_timeout.

        PermissionDeniedError, ObjectNotFound (no keyring), TimedOut.
        """
        self.require_state("configuring")
        cluster, background = Cluster(self._settings), Background()
        self._finalizer = weakref.finalize(self, background.stop, cluster.shutdown)
        try:
            background.run(cluster.connect(timeout or None))
        except BaseException:
            self._finalizer()
            raise
        config = self._settings.config
        ops, size = config.get_int("objecter_inflight_ops"), "objecter_inflight_op_bytes"
        self._throttle = Throttle(ops, config.get_int(size))
        self._background, self._cluster = background, cluster
        self.state = "connected"

    def shutdown(self) -> None:
        """End the session; what is under way fails."""
        if self.state != "shutdown":
            self.state = "shutdown"
            if self._finalizer is not None:
                self._finalizer()

    def __enter__(self) -> Self:
        if self.state != "connected":  # as `connect()` gives it
            self.connect()
        return self

    def __exit__(
        self,
        type_: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> Literal[False]:
        self.shutdown()
        return False

    def version(self) -> Version:
        """The version of librados whose interface this is."""
        return Version(3, 0, 0)

    def get_fsid(self) -> str:
        """The cluster's id."""
        self.require_state("connected")
        return self.beneath.fsid

    def get_instance_id(self) -> int:
        """This session's global id."""
        self.require_state("connected")
        return self.beneath.instance_id

    def get_addrs(self) -> str:
        """This client's address."""
        self.require_state("connected")
        return self.beneath.addrs

    def wait_for_latest_osdmap(self) -> int:
        """Wait until the map is as new as the monitors' is now; 0."""
        self.require_state("connected")
        self.background.run(self.beneath.wait_for_latest_osdmap())
        return 0

    # ------------------------------------------------------------------------------- configuration

    def conf_read_file(self, path: str | None = None) -> None:
        """Read a configuration file, or the first of the usual ones. ObjectNotFound."""
        self.require_state("configuring", "connected")
        self._settings.read_file(path or None)

    def conf_parse_argv(self, args: Sequence[str] | None) -> list[str] | None:
        """Take the options among `args`; gives those that are none of ours."""
        self.require_state("configuring", "connected")
        if not args:
            return None
        left = self._settings.parse_args(args)
        self.parsed_args = args
        return left

    def conf_parse_env(self, var: str | None = "CEPH_ARGS") -> None:
        """Take the options in an environment variable."""
        self.require_state("configuring", "connected")
        if var:
            self._settings.parse_env(var)

    def conf_get(self, option: str) -> str | None:
        """An option's value; None where there is no such option."""
        self.require_state("configuring", "connected")
        return self._settings.get(check("option", option, str))

    def conf_set(self, option: str, val: str) -> None:
        """Give an option a value. ObjectNotFound, InvalidArgumentError."""
        self.require_state("configuring", "connected")
        self._settings.set(check("option", option, str), check("val", val, str))

    # --------------------------------------------------------------------------------------- pools

    def open_ioctx(self, ioctx_name: str) -> Ioctx:
        """Access to the objects of a pool by name. ObjectNotFound."""
        self.require_state("connected")
        check("ioctx_name", ioctx_name, str)
        return Ioctx(self, ioctx_name, self.background.run(self.beneath.open_ioctx(ioctx_name)))

    def open_ioctx2(self, pool_id: int) -> Ioctx:
        """Access to the objects of a pool by id. ObjectNotFound."""
        self.require_state("connected")
        check("pool_id", pool_id, int)
        return Ioctx(self, str(pool_id), self.background.run(self.beneath.open_ioctx(pool_id)))

    def list_pools(self) -> list[str]:
        """The names of all pools."""
        self.require_state("connected")
        return self.background.run(self.beneath.list_pools())

    def pool_exists(self, pool_name: str) -> bool:
        """Whether there is a pool of this name."""
        return self.pool_lookup(pool_name) is not None

    def pool_lookup(self, pool_name: str) -> int | None:
        """A pool's id; None where there is none of this name."""
        self.require_state("connected")
        return self.background.run(self.beneath.pool_lookup(check("pool_name", pool_name, str)))

    def pool_reverse_lookup(self, pool_id: int) -> str | None:
        """A pool's name; None where there is none of this id."""
        self.require_state("connected")
        return self.background.run(self.beneath.pool_reverse_lookup(check("pool_id", pool_id, int)))

    def create_pool(
        self, pool_name: str, crush_rule: int | None = None, auid: int | None = None
    ) -> None:
        """Make a pool with the cluster's defaults. ObjectExists; auids are long gone (EINVAL)."""
        self.require_state("connected")
        check("pool_name", pool_name, str)
        if auid is not None:
            raise make_error(EINVAL, f"error creating pool '{pool_name}'")
        self.background.run(self.beneath.create_pool(pool_name, crush_rule))

    def delete_pool(self, pool_name: str) -> None:
        """Remove a pool with all that is in it. PermissionError where the cluster forbids it."""
        self.require_state("connected")
        self.background.run(self.beneath.delete_pool(check("pool_name", pool_name, str)))

    def get_pool_base_tier(self, pool_id: int) -> int:
        """The pool that this one is a tier of; itself where it is none."""
        self.require_state("connected")
        return self.beneath.pool_base_tier(check("pool_id", pool_id, int))

    def get_inconsistent_pgs(self, pool_id: int) -> list[str]:
        """PGs of a pool whose copies differ, as scrubs found."""
        self.require_state("connected")
        return self.background.run(self.beneath.inconsistent_pgs(check("pool_id", pool_id, int)))

    def get_cluster_stats(self) -> dict[str, int]:
        """How full the cluster is: kb, kb_used, kb_avail, num_objects."""
        self.require_state("connected")
        return self.background.run(self.beneath.stats())

    # ------------------------------------------------------------------------------------ commands

    def mon_command(
        self, cmd: str, inbuf: bytes, timeout: int = 0, target: str | int | None = None
    ) -> tuple[int, bytes, str]:
        """Have the monitors carry a command out: result, output, status."""
        self.require_state("connected")
        check("inbuf", inbuf, bytes)
        return self._replied(self.beneath.mon_command(check("cmd", cmd, str), inbuf, target))

    def osd_command(
        self, osdid: int, cmd: str, inbuf: bytes, timeout: int = 0
    ) -> tuple[int, bytes, str]:
        """Have an OSD carry a command out: result, output, status."""
        self.require_state("connected")
        check("inbuf", inbuf, bytes)
        return self._replied(self.beneath.osd_command(osdid, check("cmd", cmd, str), inbuf))

    def mgr_command(
        self, cmd: str, inbuf: bytes, timeout: int = 0, target: str | None = None
    ) -> tuple[int, bytes, str]:
        """Have the active manager carry a command out: result, output, status.

        With a `target` (even an empty one) it is a command to the daemon, as `tell mgr` sends it.
        """
        self.require_state("connected")
        check("inbuf", inbuf, bytes)
        return self._replied(self.beneath.mgr_command(check("cmd", cmd, str), inbuf, target))

    def pg_command(
        self, pgid: str, cmd: str, inbuf: bytes, timeout: int = 0
    ) -> tuple[int, bytes, str]:
        """Have the OSD that serves a PG carry a command out: result, output, status."""
        self.require_state("connected")
        check("inbuf", inbuf, bytes)
        pgid = check("pgid", pgid, str)
        return self._replied(self.beneath.pg_command(pgid, check("cmd", cmd, str), inbuf))

    def _replied(self, asking: Any) -> tuple[int, bytes, str]:
        reply: Reply = self.background.run(asking)
        return reply.result, reply.output, reply.status

    def ping_monitor(self, mon_id: str) -> str:
        """How a monitor is, as JSON, whether or not there is a quorum. ObjectNotFound."""
        self.require_state("configuring", "connected")
        return self.background.run(self.beneath.ping_monitor(check("mon_id", mon_id, str)))

    def blocklist_add(self, client_address: str, expire_seconds: int = 0) -> None:
        """Have OSDs refuse a client, for an hour where no time is given."""
        self.require_state("connected")
        check("client_address", client_address, str)
        self.background.run(self.beneath.blocklist_add(client_address, expire_seconds))

    # ---------------------------------------------------------------------- the log, and services

    def monitor_log(
        self, level: str, callback: Callable[..., Any] | None = None, arg: object = None
    ) -> None:
        """Call back with lines of the cluster log; None ends that.

        `callback(arg, line, who, sec, nsec, seq, level, msg)`, texts as bytes.
        """
        self.require_state("connected")
        _check_log(level, callback)
        self.monitor_callback = (callback, arg) if callback is not None else None
        self.monitor_callback2 = None
        self._follow(level, callback, lambda line: (arg, *_fields(line, full=False)))

    def monitor_log2(
        self, level: str, callback: Callable[..., Any] | None = None, arg: object = None
    ) -> None:
        """Call back with lines of the cluster log; None ends that.

        `callback(arg, line, channel, name, who, sec, nsec, seq, level, msg)`, texts as bytes.
        """
        self.require_state("connected")
        _check_log(level, callback)
        self.monitor_callback = None
        self.monitor_callback2 = (callback, arg) if callback is not None else None
        self._follow(level, callback, lambda line: (arg, *_fields(line, full=True)))

    def _follow(
        self,
        level: str,
        callback: Callable[..., Any] | None,
        arguments: Callable[[LogEntry], tuple[Any, ...]],
    ) -> None:
        background = self.background
        told = None
        if callback is not None:
            call = callback

            def told(line: LogEntry) -> None:
                background.call_back(lambda: call(*arguments(line)))

        beneath = self.beneath

        async def follow() -> None:
            beneath.monitor_log(level, told)

        background.run(follow())

    def service_daemon_register(
        self, service: str, daemon: str, metadata: Mapping[str, str]
    ) -> None:
        """Be shown as a daemon of a service. ObjectExists where this handle is one already."""
        self.require_state("connected")
        check("service", service, str)
        check("daemon", daemon, str)
        beneath = self.beneath

        async def register() -> None:
            beneath.register_service(service, daemon, metadata)

        self.background.run(register())

    def service_daemon_update(self, status: Mapping[str, str]) -> None:
        """Tell the manager how the service does."""
        self.require_state("connected")
        beneath = self.beneath

        async def update() -> None:
            beneath.update_service(status)

        self.background.run(update())


def _check_log(level: str, callback: object) -> None:
    if level not in MONITOR_LEVELS:
        raise LogicError(f"invalid monitor level {level}")
    if callback is not None and not callable(callback):
        raise LogicError("callback must be a callable function or None")


def _fields(line: LogEntry, *, full: bool) -> tuple[bytes | int, ...]:
    level = _LEVELS.get(LogLevel(line.prio), b"[???]")
    stamp = line.stamp
    who = f"{line.rank} {line.addrs}".encode()
    text = f"{stamp} {line.name} {level.decode()} {line.msg}".encode("utf-8", "surrogateescape")
    rest = (stamp.sec, stamp.nsec, line.seq, level, line.msg.encode("utf-8", "surrogateescape"))
    if full:
        return (text, line.channel.encode(), str(line.name).encode(), who, *rest)
    return (text, who, *rest)


class MonitorLog:
    """Follows the cluster log; see `Rados.monitor_log`. A callback of None ends that."""

    def __init__(
        self, cluster: Rados, level: str, callback: Callable[..., Any] | None, arg: object
    ) -> None:
        self.level = level
        self.callback = callback
        self.arg = arg
        cluster.monitor_log(level, callback, arg)


def connect(
    conffile: str | None = None,
    *,
    name: str = "client.admin",
    conf: Mapping[str, str] | None = None,
    timeout: int = 0,
) -> Rados:
    """A handle that is connected, by the usual files, $CEPH_ARGS and `conf`: `connect()` suffices.

    Raises what `Rados` and `Rados.connect` do.
    """
    handle = Rados(name=name, conffile=conffile or DEFAULT_CONF_FILES)
    handle.conf_parse_env()
    for option, value in (conf or {}).items():
        handle.conf_set(option, value)
    handle.connect(timeout)
    return handle
