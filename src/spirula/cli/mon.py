"""`spirula mon`: one monitor as a process, in the foreground, with upstream's flags.

    spirula mon -i a -c ceph.conf --mkfs --monmap monmap --keyring keyring
    spirula mon -i a -c ceph.conf

The edge of `spirula.mon`: files, signals, the event loop and the clock are here. Follows upstream
`src/ceph_mon.cc`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import uvloop

from spirula.auth.keyring import KeyRing
from spirula.auth.monitor import MON
from spirula.cli.credentials import sections_of
from spirula.cli.disks import disks_below
from spirula.cli.host import system_metadata
from spirula.cli.resolve import resolve
from spirula.cli.serving import Ending, kernels_in_use, open_admin_socket, serving
from spirula.conf import version
from spirula.conf.admin_commands import CommandTable
from spirula.conf.admin_server import AdminSocket
from spirula.conf.args import Words
from spirula.conf.config import Config
from spirula.conf.file import parse_conf
from spirula.conf.load import Loaded, find_first, load
from spirula.conf.log import Log
from spirula.errors import (
    CephError,
    Exists,
    InvalidArgument,
    NotFound,
    WireError,
)
from spirula.mon.daemon import Daemon, make_monitor
from spirula.mon.mkfs import find_monmap, is_made, make_store
from spirula.mon.monitor import Ports
from spirula.mon.services.monmap.initial import build_initial, name_members
from spirula.mon.store import MONMAP, Transaction
from spirula.store.sqlite import SqliteKeyValueStore, copy_store
from spirula.types.entity import EntityAddr, EntityAddrVec
from spirula.types.mon import MonMap, StoreTransaction

_SWITCH_S = 0.0005
STORE_NAME = "store.db"
"""The store's file inside of `mon_data`."""

HELP = """\
usage: spirula mon -i ID [-c CEPH.CONF] [flags]

Runs a monitor in the foreground, until SIGTERM or SIGINT.

  -i ID                 the monitor's name: `a` of mon.a
  -c FILE               the configuration (`mon_data`, `keyring`, `mon_host` ...)
  --mkfs                make the monitor's data directory instead, and end
      --monmap FILE         with this monitor map (else made of mon_host or mon_initial_members)
      --osdmap FILE         with this first OSD map
      --keyring FILE        with these keys: `mon.` and the first principals
      --fsid UUID           with this identity, if there is no monitor map
  --extract-monmap FILE write the newest monitor map that the store knows of, and end
  --inject-monmap FILE  replace the monitor map in the store, and end
  --backup FILE         write a copy of the store to FILE, also while the monitor runs, and end
  --restore FILE        make the data directory of such a copy, and end
  --public-addr ADDR    where to listen, if the monitor map does not say
  -d                    log to the error output as well
  --OPTION VALUE        any configuration option

`spirula conf --show-config` lists the options; docs/guide/monitors.md tells how to run monitors."""


def main(argv: list[str]) -> int:
    """Run `spirula mon ARGV...`."""
    if "-h" in argv or "--help" in argv:
        print(HELP)
        return 0
    loaded = load(argv, entity_type="mon", daemon=True, data_dir_option="mon_data")
    for warning in loaded.warnings:
        print(warning, file=sys.stderr)
    words = _Words(loaded)
    if not loaded.config.identity.entity_id:
        raise InvalidArgument("must specify id (-i <id> or --name mon.<id>)")
    if words.mkfs:
        return _mkfs(loaded.config, words)
    if words.restore:
        return _restore(loaded.config, words.restore)
    if words.backup:
        return _backup(loaded.config, words.backup)
    if words.extract or words.inject:
        return _edit_monmap(loaded.config, words)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(loaded.config))


class _Words:
    """The flags that are no configuration options."""

    def __init__(self, loaded: Loaded) -> None:
        words = Words(loaded.args.rest)
        self.mkfs = False
        self.monmap = self.osdmap = self.extract = self.inject = self.fsid = ""
        self.backup = self.restore = ""
        while words:
            if words.flag("--mkfs"):
                self.mkfs = True
            elif (value := words.value("--monmap")) is not None:
                self.monmap = value
            elif (value := words.value("--osdmap")) is not None:
                self.osdmap = value
            elif (value := words.value("--extract-monmap", "--extract_monmap")) is not None:
                self.extract = value
            elif (value := words.value("--inject-monmap", "--inject_monmap")) is not None:
                self.inject = value
            elif (value := words.value("--backup")) is not None:
                self.backup = value
            elif (value := words.value("--restore")) is not None:
                self.restore = value
            elif words.flag("-f", "--foreground"):
                pass
            else:
                raise InvalidArgument(f"unrecognized argument {words.peek()!r}: see --help")


# ------------------------------------------------------------------------------------------ the
# store


def _store_path(config: Config) -> Path:
    return Path(config.get_str("mon_data")) / STORE_NAME


def _now(call: Callable[[], None]) -> None:
    """Calls back on whatever thread asks: for stores that are used without an event loop."""
    call()


def write_store(path: Path, transaction: StoreTransaction) -> None:
    """Commit one transaction to the store at `path`, durably. Raises the store's CephError."""
    failed: list[CephError | None] = []
    store = SqliteKeyValueStore(path, _now)
    try:
        store.stage(transaction)
        store.commit(failed.append)
    finally:
        store.close()
    if failed and failed[0] is not None:
        raise failed[0]


def _mkfs(config: Config, words: _Words) -> int:
    name = config.identity.entity_id
    path = _store_path(config)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        store = SqliteKeyValueStore(path, _now)
        try:
            made = is_made(store)
        finally:
            store.close()
        if made:
            raise Exists(f"'{path.parent}' already exists: monitor may already exist")
    # `--monmap` is an option like any other, too.
    given = words.monmap or config.get_str("monmap")
    monmap = MonMap.decode(_read(given, "monitor map")) if given else _build_monmap(config)
    fsid = words.fsid or config.get_str("fsid")
    if fsid and fsid != "00000000-0000-0000-0000-000000000000":
        monmap.fsid = config.get_uuid("fsid").bytes
    if bytes(monmap.fsid) == bytes(16):
        raise InvalidArgument("generated monmap has no fsid; use '--fsid <uuid>'")
    osdmap = _read(words.osdmap, "OSD map") if words.osdmap else b""
    ring = _initial_keyring(config)
    write_store(path, make_store(monmap, ring.to_text().encode() if ring.keys else b"", osdmap))
    kept = KeyRing({MON: ring.keys[MON]}) if MON in ring.keys else KeyRing()
    _write_private(path.parent / "keyring", kept.to_text())
    (path.parent / "kv_backend").write_text("sqlite\n")
    print(f"spirula mon: made {path.parent} for mon.{name}", file=sys.stderr)
    return 0


def _read(path: str, what: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise CephError.from_errno(error.errno or 5, f"cannot read the {what} {path}") from error


def _write_private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)


def _initial_keyring(config: Config) -> KeyRing:
    """The keys to begin with: none where no method needs them."""
    needed = any(
        "cephx" in config.get_str(option)
        for option in ("auth_cluster_required", "auth_service_required", "auth_supported")
    )
    if not needed:
        return KeyRing()
    places = config.get_str("keyring")
    try:
        path = find_first(places)
    except CephError:
        raise NotFound(
            f"unable to find a keyring file on {places}: name one by --keyring"
        ) from None
    return _load_keyring(path)


def _load_keyring(path: str) -> KeyRing:
    return KeyRing.decode(Path(path).read_bytes(), lambda data: sections_of(parse_conf(data, path)))


def _build_monmap(config: Config) -> MonMap:
    """A first map of `mon_host`, whose monitors are called as `mon_initial_members` says."""
    monmap = MonMap()
    try:
        build_initial(
            monmap, config, time.time(), resolve, lambda line: print(line, file=sys.stderr)
        )
    except NotFound:
        raise NotFound("no monitor map and no mon_host: name a map by --monmap") from None
    monmap.min_mon_release = version.RELEASE_NUMBER
    name_members(monmap, config.get_str("mon_initial_members").replace(",", " ").split())
    return monmap


def _edit_monmap(config: Config, words: _Words) -> int:
    path = _store_path(config)
    if not path.exists():
        raise NotFound(f"monitor data directory {path.parent} holds no store: did you --mkfs?")
    store = SqliteKeyValueStore(path, _now)
    try:
        newest = find_monmap(store)
    finally:
        store.close()
    if words.extract:
        Path(words.extract).write_bytes(newest.encode())
        print(f"wrote monmap to {words.extract}", file=sys.stderr)
        return 0
    injected = MonMap.decode(_read(words.inject, "monitor map"))
    injected.epoch = newest.epoch + 1
    encoded = injected.encode()
    transaction = Transaction().put(MONMAP, injected.epoch, encoded)
    transaction.put(MONMAP, "last_committed", injected.epoch)
    write_store(path, transaction.value)
    return 0


def _backup(config: Config, target: str) -> int:
    copy_store(_store_path(config), Path(target))
    return 0


def _restore(config: Config, source: str) -> int:
    path = _store_path(config)
    if path.exists():
        raise Exists(f"{path} is there: move it away first")
    path.parent.mkdir(parents=True, exist_ok=True)
    copy_store(Path(source), path)
    return 0


# --------------------------------------------------------------------------------------------
# serving


def _metadata(addrs: EntityAddrVec, data: Path) -> dict[str, str]:
    """What a monitor tells of itself, its host and the disk below its data."""
    return {
        **system_metadata(),
        **disks_below(data).metadata(),
        "addrs": str(addrs),
        "compression_algorithms": "none, snappy, zlib, zstd, lz4",
    }


def _disk_of(path: Path) -> Callable[[], tuple[int, int, int]]:
    def disk() -> tuple[int, int, int]:
        room = os.statvfs(path)
        used = sum(file.stat().st_size for file in path.glob(f"{STORE_NAME}*") if file.exists())
        return room.f_blocks * room.f_frsize, room.f_bavail * room.f_frsize, used

    return disk


def _append_to(path: str, lines: str) -> None:
    """Lines of the cluster log; a file that cannot be written must not stop a monitor."""
    try:
        with Path(path).open("a", encoding="utf-8", errors="surrogateescape") as out:
            out.write(lines)
    except OSError as error:
        print(f"spirula mon: cannot write {path}: {error.strerror}", file=sys.stderr)


async def _serve(config: Config) -> int:
    path = _store_path(config)
    # The store's thread has little to do between its writes, and clients wait for them: it is not
    # to wait 5 ms each time for the one that answers commands.
    sys.setswitchinterval(_SWITCH_S)
    with serving(config) as log:
        if not path.exists():
            raise NotFound(
                f"monitor data directory at '{path.parent}' does not exist: have you run '--mkfs'?"
            )
        while (ending := await _serve_once(config, log, path)).again:
            log.logger("mon")(0, f"begins anew: {ending.reason}")
    if ending.reason:
        print(f"spirula mon: {ending.reason}", file=sys.stderr)
    return 1 if ending.reason else 0


async def _serve_once(config: Config, log: Log, path: Path) -> Ending:
    """Run until there is an end; if it says `again`, the store is to be opened anew."""
    logger = log.logger("mon", f"mon.{config.identity.entity_id} ")
    ending = Ending(logger)
    store = SqliteKeyValueStore(path, asyncio.get_running_loop().call_soon_threadsafe)
    daemon: Daemon | None = None
    admin: AdminSocket | None = None
    try:
        daemon = _make_daemon(config, store, logger, ending)
        table = CommandTable(on_error=partial(log.logger("asok"), 0, "%s"))
        admin = await open_admin_socket(table, config, log, daemon.monitor.perf.collection)
        daemon.monitor.command_dispatch.register_tells(table)  # but those that are there by now
        await ending.after(_start(daemon, logger))
    finally:
        if admin is not None:
            await admin.close()
        if daemon is not None:
            await daemon.stop()
        store.close()
    return ending


async def _start(daemon: Daemon, logger: Callable[[int, str], None]) -> None:
    await daemon.start()
    logger(0, f"{version.PRETTY} listens at {daemon.messenger.addrs}")
    logger(1, f"kernels: {kernels_in_use()}")


def _make_daemon(
    config: Config,
    store: SqliteKeyValueStore,
    logger: Callable[[int, str], None],
    ending: Ending,
) -> Daemon:
    # As upstream: the key of `mon.` is beside the store, whatever keyring clients here use.
    own = _store_path(config).parent / "keyring"
    try:
        ring = _load_keyring(str(own) if own.exists() else find_first(config.get_str("keyring")))
    except NotFound:
        ring = KeyRing()
    except WireError as error:
        raise InvalidArgument(f"the keyring cannot be read: {error}") from error
    name = config.identity.entity_id
    monmap = find_monmap(store)
    public = config.get_str("public_addr")
    given = None
    if public and public not in ("-", ":/0", "-:0/0"):
        given = EntityAddrVec([EntityAddr.parse(public)])
    known = monmap.mon_info[name].public_addrs if name in monmap.mon_info else given
    ports = Ports(
        loop=asyncio.get_running_loop(),
        wall=time.time,
        random_bytes=os.urandom,
        log=logger,
        stop=ending.stop,
        restart=ending.restart,
        disk=_disk_of(_store_path(config).parent),
        cluster_log=_append_to,
        metadata=_metadata(known or EntityAddrVec(), _store_path(config).parent),
    )
    return make_monitor(name, store, config, ring, ports, given)
