"""`spirula osd`: one OSD as a process, in the foreground, with upstream's flags.

    spirula osd -i 0 -c ceph.conf --mkfs --mkkey
    spirula osd -i 0 -c ceph.conf

The edge of `spirula.osd`: files, signals, the event loop, the clock and the store's files are here.
Follows upstream `src/ceph_osd.cc`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvloop

from spirula.auth.crypto import KeyType, generate_key
from spirula.auth.keyring import KeyRing
from spirula.cli.credentials import find_key, sections_of
from spirula.cli.cycles import Cycles
from spirula.cli.disks import disks_below
from spirula.cli.host import (
    interface_of,
    load_average,
    pick_address,
    system_metadata,
)
from spirula.cli.osd_store import Store, known_fsid, make_folder, open_store, store_type
from spirula.cli.resolve import resolve
from spirula.cli.serving import Ending, kernels_in_use, open_admin_socket, serving
from spirula.client.mon_hosts import parse_mon_host
from spirula.conf import version
from spirula.conf.admin_server import AdminSocket
from spirula.conf.args import Words
from spirula.conf.config import Config
from spirula.conf.file import parse_conf
from spirula.conf.load import Loaded, load
from spirula.conf.log import Log, Logger
from spirula.errors import CephError, InvalidArgument
from spirula.osd.daemon import Addresses, Daemon, make_osd
from spirula.osd.mkfs import make_store
from spirula.osd.state import Ports
from spirula.osd.superblock import check_words, peek
from spirula.store.disk.folder import BLOCK
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
    with serving(config) as log:
        cycles = Cycles(asyncio.get_running_loop())
        cycles.start()
        try:
            reason = await _serve_once(config, whoami, log)
        finally:
            cycles.stop()
    if reason:
        print(f"spirula osd: {reason}", file=sys.stderr)
    return 1 if reason else 0


async def _serve_once(config: Config, whoami: int, log: Log) -> str:
    """Run until there is an end; its reason, empty if it was asked for."""
    logger = log.logger("osd", f"osd.{whoami} ")
    ending = Ending(logger, bugs_end=True)
    loop = asyncio.get_running_loop()
    store = open_store(config, _data_of(config), loop.call_soon_threadsafe)
    words = peek(store)
    fsid = config.get_uuid("fsid")
    check_words(words, whoami, "" if fsid == _NO_UUID else str(fsid))
    store.mount_made(words, whoami)
    daemon: Daemon | None = None
    admin: AdminSocket | None = None
    try:
        daemon = _make_daemon(config, whoami, store, logger, ending)
        admin = await open_admin_socket(daemon.table, config, log, daemon.osd.perf)
        logger(1, "%s, kernels: %s", version.PRETTY, kernels_in_use())
        await ending.after(daemon.start())
    finally:
        if admin is not None:
            await admin.close()
        if daemon is not None:
            await daemon.stop()
        store.umount()
        store.close()
    return ending.reason


def _make_daemon(
    config: Config,
    whoami: int,
    store: Store,
    logger: Logger,
    ending: Ending,
) -> Daemon:
    monitors = parse_mon_host(config.get_str("mon_host"), resolve)
    public = pick_address(config, "public", monitors)
    given = config.get_str("cluster_addr") + config.get_str("cluster_network")
    cluster = pick_address(config, "cluster", monitors) if given.strip("-:/0 ") else None
    addresses = Addresses(public, cluster or public)
    data = _data_of(config)
    disks = disks_below(data / BLOCK if (data / BLOCK).exists() else data)
    metadata = {
        **system_metadata(),
        **store.metadata(),
        **disks.metadata(),
        "osd_data": str(data),
        "osd_objectstore": store_type(config),
        "front_iface": interface_of(addresses.public),
        "back_iface": interface_of(addresses.cluster),
    }
    ports = Ports(
        loop=asyncio.get_running_loop(),
        wall=time.time,
        random_bytes=os.urandom,
        log=logger,
        stop=ending.stop,
        metadata=metadata,
        load_average=load_average,
        monotonic=time.monotonic,
        processors=os.cpu_count() or 1,
        smart=lambda devid: disks.smart(devid, config.get_float("osd_smart_report_timeout")),
    )
    return make_osd(whoami, store, config, find_key(config), ports, addresses, resolve)
