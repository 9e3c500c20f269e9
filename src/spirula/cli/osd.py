"""`spirula osd`: one OSD as a process, in the foreground, with upstream's flags.

    spirula osd -i 0 -c ceph.conf --mkfs --mkkey
    spirula osd -i 0 -c ceph.conf

The edge of `spirula.osd`: files, signals, the event loop, the clock and the store's files are here.
Follows upstream `src/ceph_osd.cc`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
import traceback
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from spirula.auth.crypto import KeyType, generate_key
from spirula.auth.keyring import KeyRing
from spirula.cli.credentials import find_key, sections_of
from spirula.cli.cycles import Cycles
from spirula.cli.host import (
    allow_many_files,
    interface_of,
    load_average,
    pick_address,
    system_metadata,
)
from spirula.cli.osd_store import Store, known_fsid, make_folder, open_store, store_type
from spirula.cli.resolve import resolve
from spirula.client.mon_hosts import parse_mon_host
from spirula.conf import version
from spirula.conf.admin_builtin import register_builtin
from spirula.conf.admin_server import AdminSocket
from spirula.conf.args import Words
from spirula.conf.config import Config
from spirula.conf.file import parse_conf
from spirula.conf.load import Loaded, load
from spirula.conf.log import Log, Logger
from spirula.conf.log_output import dump_on_crash, start_log
from spirula.errors import CephError, InvalidArgument
from spirula.kernels.report import implementations
from spirula.osd.daemon import Addresses, Daemon, make_osd
from spirula.osd.mkfs import make_store
from spirula.osd.state import Ports
from spirula.osd.superblock import check_words, peek
from spirula.types.auth import PrincipalName
from spirula.types.entity import EntityType
from spirula.types.mon import MonMap

HELP = """\
usage: spirula osd -i ID [-c CEPH.CONF] [flags]
       spirula osd replace ID [-c CEPH.CONF] [flags]

Runs an OSD in the foreground, until SIGTERM or SIGINT. `replace` gives one whose disk has died a
new store (see `spirula osd replace --help`).

  -i ID                 the OSD's number
  -c FILE               the configuration (`osd_data`, `keyring`, `mon_host`, `fsid` ...)
  --osd-data PATH       the OSD's folder
  --mkfs                make the OSD's folder and store instead, and end
      --osd-uuid UUID       with this identity (else one is made up)
      --mkkey               with a new key in its keyring, unless there is one
      --monmap FILE         with the cluster's identity out of this map (else the option `fsid`)
      --osdspec-affinity S  with this word for who deploys OSDs
  --get-cluster-fsid    show the identity of the cluster that the OSD is made for, and end
  --get-osd-fsid        show the OSD's identity, and end
  -d                    log to the error output as well
  --OPTION VALUE        any configuration option

`spirula conf --show-config` lists the options; docs/guide/osds.md tells how to run OSDs."""

_NO_UUID = uuid.UUID(int=0)


def main(argv: list[str]) -> int:
    """Run `spirula osd ARGV...`."""
    if "-h" in argv or "--help" in argv:
        print(HELP)
        return 0
    loaded = load(argv, entity_type="osd", daemon=True, data_dir_option="osd_data")
    for warning in loaded.warnings:
        print(warning, file=sys.stderr)
    words = _read_words(loaded)
    whoami = _number(loaded.config)
    if words.mkfs:
        return _mkfs(loaded.config, whoami, words)
    if words.show:
        return _show(loaded.config, words.show)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(loaded.config, whoami))


@dataclass(slots=True)
class _Words:
    """The flags that are no configuration options."""

    mkfs: bool = False
    mkkey: bool = False
    monmap: str = ""
    affinity: str = ""
    show: str = ""


def _read_words(loaded: Loaded) -> _Words:
    words, found = Words(loaded.args.rest), _Words()
    while words:
        if words.flag("--mkfs"):
            found.mkfs = True
        elif words.flag("--mkkey"):
            found.mkkey = True
        elif (value := words.value("--monmap")) is not None:
            found.monmap = value
        elif (value := words.value("--osdspec-affinity")) is not None:
            found.affinity = value
        elif words.flag("--get-cluster-fsid"):
            found.show = "ceph_fsid"
        elif words.flag("--get-osd-fsid", "--get-osd-uuid"):
            found.show = "fsid"
        elif words.flag("-f", "--foreground"):
            pass
        else:
            raise InvalidArgument(f"unrecognized argument {words.peek()!r}: see --help")
    return found


def _number(config: Config) -> int:
    text = config.identity.entity_id
    if not text.isdecimal():
        raise InvalidArgument(f"must specify '-i #' where # is the osd number, not {text!r}")
    return int(text)


# ---------------------------------------------------------------------------------------- the store


def _data_of(config: Config) -> Path:
    return Path(config.get_str("osd_data"))


def _now(call: Callable[[], None]) -> None:
    """Calls back on whatever thread asks: for stores that are used without an event loop."""
    call()


def _mkfs(config: Config, whoami: int, words: _Words) -> int:
    data = _data_of(config)
    # `--monmap` is an option like any other, too.
    cluster = _cluster_fsid(config, words.monmap or config.get_str("monmap"))
    wanted, known = config.get_uuid("osd_uuid"), known_fsid(data)
    if known is not None and wanted not in (_NO_UUID, known):
        raise InvalidArgument(f"{data} was made for osd fsid {known}, not {wanted}")
    identity = known or (wanted if wanted != _NO_UUID else uuid.uuid4())
    make_folder(config, data, identity)
    if words.mkkey:
        _make_key(config, whoami)
    store = open_store(config, data, _now, threaded=False)
    make_store(
        store,
        cluster_fsid=cluster.bytes,
        osd_fsid=identity.bytes,
        whoami=whoami,
        key=config.get_str("key"),
        osdspec_affinity=words.affinity,
    )
    store.close()
    print(f"spirula osd: made {data} for osd.{whoami} fsid {cluster}", file=sys.stderr)
    return 0


def _cluster_fsid(config: Config, monmap: str) -> uuid.UUID:
    if monmap:
        try:
            return uuid.UUID(bytes=bytes(MonMap.decode(Path(monmap).read_bytes()).fsid))
        except OSError as error:
            raise CephError.from_errno(error.errno or 5, f"cannot read {monmap}") from error
    found = config.get_uuid("fsid")
    if found == _NO_UUID:
        raise InvalidArgument("must specify cluster fsid: set `fsid` or name a map by --monmap")
    return found


def _make_key(config: Config, whoami: int) -> None:
    """A keyring with a new key, where there is none."""
    path = Path(config.get_str("keyring").split(",")[0])
    name = PrincipalName(EntityType.OSD, str(whoami))
    if path.exists():
        ring = KeyRing.decode(
            path.read_bytes(), lambda data: sections_of(parse_conf(data, str(path)))
        )
        if name in ring.keys:
            return
    else:
        ring = KeyRing()
    ring.add(name, generate_key(KeyType.AES, time.time(), os.urandom))
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(ring.to_text())


def _show(config: Config, word: str) -> int:
    store = open_store(config, _data_of(config), _now)
    print(peek(store)[word])
    return 0


# ------------------------------------------------------------------------------------------ serving


async def _serve(config: Config, whoami: int) -> int:
    log, output = start_log(config)
    dump_on_crash(log)
    allow_many_files()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, log.reopen)
    cycles = Cycles(loop)
    cycles.start()
    try:
        reason = await _serve_once(config, whoami, log)
    finally:
        cycles.stop()
        output.close()
    if reason:
        print(f"spirula osd: {reason}", file=sys.stderr)
    return 1 if reason else 0


async def _serve_once(config: Config, whoami: int, log: Log) -> str:
    """Run until there is an end; its reason, empty if it was asked for."""
    logger = log.logger("osd", f"osd.{whoami} ")
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[str] = loop.create_future()

    def stop(reason: str) -> None:
        if not ended.done():
            if reason:
                logger(0, "%s", reason)
            ended.set_result(reason)

    def on_bug(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # What a callback of the loop raises is known to nobody else: what is in memory is not to
        # be trusted any more, what is on disk is.
        error = context.get("exception")
        lines = traceback.format_exception(error) if error else [str(context.get("message"))]
        for line in "".join(lines).splitlines():
            logger(-1, "%s", line)
        if isinstance(error, Exception) and not isinstance(error, OSError):
            stop(f"ended by a bug: {error!r}")

    loop.set_exception_handler(on_bug)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, "")
    data = _data_of(config)
    store = open_store(config, data, loop.call_soon_threadsafe)
    words = peek(store)
    fsid = config.get_uuid("fsid")
    check_words(words, whoami, "" if fsid == _NO_UUID else str(fsid))
    store.mount_made(words, whoami)
    daemon: Daemon | None = None
    admin: AdminSocket | None = None
    try:
        daemon = _make_daemon(config, whoami, store, loop, logger, stop)
        admin = _admin_socket(config, log, daemon)
        if admin is not None:
            await admin.start()
        kernels = ", ".join(f"{name} {twin}" for name, twin in sorted(implementations().items()))
        logger(1, "%s, kernels: %s", version.PRETTY, kernels)
        starting = loop.create_task(daemon.start())
        # A start that fails is the end; one that is under way does not keep us from ending.
        starting.add_done_callback(lambda task: _pass_on(task, ended))
        try:
            return await ended
        finally:
            starting.cancel()
    finally:
        if admin is not None:
            await admin.close()
        if daemon is not None:
            await daemon.stop()
        store.umount()
        store.close()


def _pass_on(task: asyncio.Task[None], ended: asyncio.Future[str]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None and not ended.done():
        ended.set_exception(error)


def _make_daemon(
    config: Config,
    whoami: int,
    store: Store,
    loop: asyncio.AbstractEventLoop,
    logger: Logger,
    stop: Callable[[str], None],
) -> Daemon:
    monitors = parse_mon_host(config.get_str("mon_host"), resolve)
    public = pick_address(config, "public", monitors)
    given = config.get_str("cluster_addr") + config.get_str("cluster_network")
    cluster = pick_address(config, "cluster", monitors) if given.strip("-:/0 ") else None
    addresses = Addresses(public, cluster or public)
    metadata = {
        **system_metadata(),
        **store.metadata(),
        "osd_data": str(_data_of(config)),
        "osd_objectstore": store_type(config),
        "front_iface": interface_of(addresses.public),
        "back_iface": interface_of(addresses.cluster),
    }
    ports = Ports(
        loop=loop,
        wall=time.time,
        random_bytes=os.urandom,
        log=logger,
        stop=stop,
        metadata=metadata,
        load_average=load_average,
        monotonic=time.monotonic,
        processors=os.cpu_count() or 1,
    )
    return make_osd(whoami, store, config, find_key(config), ports, addresses, resolve)


def _admin_socket(config: Config, log: Log, daemon: Daemon) -> AdminSocket | None:
    register_builtin(
        daemon.table,
        config=config,
        log=log,
        perf=daemon.osd.perf,
        version=version.daemon_version(),
    )
    if not config.get_str("admin_socket"):
        return None
    admin = AdminSocket(config.get_str("admin_socket"), daemon.table)
    Path(admin.path).parent.mkdir(parents=True, exist_ok=True)
    return admin
