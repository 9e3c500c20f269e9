"""Makes a cluster's directory: identity, free ports, keys, configuration, the monitors' stores.

Nothing runs afterwards; `processes` starts it. A directory that is only half made (the process was
killed) has no `cluster.json` and is made anew.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

from spirula.auth.crypto import KeyType, generate_key
from spirula.auth.keyring import KeyRing
from spirula.cluster.layout import MAX_MGRS, MAX_MONS, MAX_OSDS, Layout, MonPlace, OSDPlace
from spirula.errors import Exists, InvalidArgument
from spirula.mon.mkfs import make_store
from spirula.store.sqlite import SqliteKeyValueStore
from spirula.types.auth import PrincipalName
from spirula.types.base import UTime
from spirula.types.entity import EntityAddrVec
from spirula.types.mon import MonInfo, MonMap

HOST = "127.0.0.1"
_OURS = frozenset({"ceph.conf", "keyring", "log", "run", "cluster.json", "cluster.new"})
_PACIFIC = 16
_MGR_NAMES = "xyzuv"


_MOST_HELD = 256
_held: list[socket.socket] = []


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens at, none of them told twice.

    They stay bound here, which keeps everybody else from being given them until daemons listen
    there (these say SO_REUSEADDR): two clusters that were made at once had the same port.
    """
    while len(_held) > _MOST_HELD:
        _held.pop(0).close()
    for _ in range(count):
        one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        _held.append(one)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind((HOST, 0))
    return [one.getsockname()[1] for one in _held[len(_held) - count :]]


def create(
    directory: Path,
    mons: int,
    settings: Mapping[str, str] | None = None,
    *,
    osds: int = 0,
    mgrs: int = 0,
) -> Layout:
    """Make a cluster of that many monitors, OSDs and managers in an empty or new directory.

    `settings` go into the configuration's [global]. OSDs have their keys; their stores are made
    when they are started first. Raises Exists if something else is there, InvalidArgument for a
    count that cannot be.
    """
    if not 1 <= mons <= MAX_MONS:
        raise InvalidArgument(f"--mons {mons}: from 1 to {MAX_MONS} monitors are possible")
    if not 0 <= osds <= MAX_OSDS:
        raise InvalidArgument(f"--osds {osds}: up to {MAX_OSDS} OSDs are possible")
    if not 0 <= mgrs <= MAX_MGRS:
        raise InvalidArgument(f"--mgrs {mgrs}: up to {MAX_MGRS} managers are possible")
    _clear_half_made(directory)
    # Monitors rank by address: with rising ports mon.a has rank 0.
    ports = sorted(free_ports(2 * mons))
    names = [chr(ord("a") + number) for number in range(mons)]
    places = [
        MonPlace(name, *ports[2 * number : 2 * number + 2]) for number, name in enumerate(names)
    ]
    stores = [OSDPlace(number, str(uuid.uuid4())) for number in range(osds)]
    managers = list(_MGR_NAMES[:mgrs])
    layout = Layout(directory, str(uuid.uuid4()), places, stores, managers)
    for path in (layout.directory, layout.run, layout.log):
        path.mkdir(parents=True, exist_ok=True)
    layout.conf.write_text(configuration(layout, settings or {}))
    ring = make_keys(osds, managers)
    admin = PrincipalName.parse("client.admin")
    write_private(layout.admin_keyring, KeyRing({admin: ring.keys[admin]}).to_text())
    monmap = make_monmap(layout)
    for place in places:
        make_mon(layout, place.name, monmap, ring)
    for daemon in [*(f"osd.{store.number}" for store in stores), *(f"mgr.{x}" for x in managers)]:
        folder = directory / daemon
        folder.mkdir(mode=0o700)
        own = PrincipalName.parse(daemon)
        write_private(folder / "keyring", KeyRing({own: ring.keys[own]}).to_text())
    layout.save()
    return layout


def _clear_half_made(directory: Path) -> None:
    if not directory.exists():
        return
    strange = [
        path.name
        for path in directory.iterdir()
        if path.name not in _OURS and not path.name.startswith(("mon.", "osd.", "mgr."))
    ]
    if strange:
        raise Exists(f"{directory} holds {strange[0]}, which is no part of a cluster")
    for path in directory.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


_OSD_CAPS = {"mgr": "allow profile osd", "mon": "allow profile osd", "osd": "allow *"}
_MGR_CAPS = {"mds": "allow *", "mon": "allow profile mgr", "osd": "allow *"}


def make_keys(osds: int, mgrs: list[str]) -> KeyRing:
    """Keys of a new cluster: `mon.`, client.admin, OSDs, managers; with what they may do."""
    ring = KeyRing()
    for name, caps in (
        ("mon.", {"mon": "allow *"}),
        ("client.admin", dict.fromkeys(("mds", "mgr", "mon", "osd"), "allow *")),
        *((f"osd.{number}", _OSD_CAPS) for number in range(osds)),
        *((f"mgr.{name}", _MGR_CAPS) for name in mgrs),
    ):
        principal = PrincipalName.parse(name)
        ring.add(principal, generate_key(KeyType.AES, time.time(), os.urandom))
        ring.set_caps(principal, caps)
    return ring


def write_private(path: Path, text: str) -> None:
    """A file that only its owner can read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)


def addrs_of(place: MonPlace) -> EntityAddrVec:
    """Where a monitor listens, and the address of the older protocol that it is known by."""
    return EntityAddrVec.parse(f"[v2:{HOST}:{place.port}/0,v1:{HOST}:{place.legacy_port}/0]")


def make_monmap(layout: Layout) -> MonMap:
    """The first monitor map."""
    now = UTime.at(time.time())
    monmap = MonMap(fsid=uuid.UUID(layout.fsid).bytes, min_mon_release=_PACIFIC)
    monmap.created = monmap.last_changed = now
    monmap.mon_info = {place.name: MonInfo(place.name, addrs_of(place)) for place in layout.mons}
    monmap.ranks = sorted(
        monmap.mon_info, key=lambda name: (monmap.mon_info[name].legacy_addr(), name)
    )
    return monmap


def make_mon(layout: Layout, name: str, monmap: MonMap, ring: KeyRing) -> None:
    """A monitor's data directory."""
    data = layout.directory / f"mon.{name}"
    data.mkdir(parents=True)
    store = SqliteKeyValueStore(data / "store.db", lambda call: call())
    try:
        store.stage(make_store(monmap, ring.to_text().encode()))
        store.commit(lambda error: None)
    finally:
        store.close()
    mon = PrincipalName.parse("mon.")
    write_private(data / "keyring", KeyRing({mon: ring.keys[mon]}).to_text())
    (data / "kv_backend").write_text("sqlite\n")


def _for_osds(count: int) -> dict[str, str]:
    """What differs from the defaults where all OSDs are on one host, and perhaps few."""
    size = min(count, 3)
    found = {
        "osd crush chooseleaf type": "0",
        "osd pool default size": str(size),
        "osd pool default pg num": "32",
        # the disks of virtual machines say that they turn: nobody waits for that here
        **{f"osd {work} sleep hdd": "0" for work in ("recovery", "delete", "snap trim")},
    }
    if size == 1:
        found |= {"mon allow pool size one": "true", "mon warn on pool no redundancy": "false"}
    return found


def configuration(layout: Layout, settings: Mapping[str, str]) -> str:
    """The text of `ceph.conf`."""
    hosts = " ".join(str(addrs_of(place)) for place in layout.mons)
    chosen = {
        "fsid": layout.fsid,
        "mon host": hosts,
        "keyring": str(layout.admin_keyring),
        "auth cluster required": "cephx",
        "auth service required": "cephx",
        "auth client required": "cephx",
        "auth allow insecure global id reclaim": "false",
        "run dir": str(layout.run),
        "crash dir": f"{layout.directory}/crash",
        **(_for_osds(len(layout.osds)) if layout.osds else {}),
        **({"mgr initial modules": "iostat"} if layout.mgrs else {}),
        **settings,
    }
    lines = ["# Made by `spirula up`. `spirula down --dir` ends the cluster.", "[global]"]
    lines += [f"{key} = {value}" for key, value in chosen.items()]
    lines += [
        "",
        "[mon]",
        f"mon data = {layout.directory}/mon.$id",
        "keyring = $mon_data/keyring",
        f"pid file = {layout.run}/$name.pid",
        f"admin socket = {layout.run}/$name.asok",
        f"log file = {layout.log}/$name.log",
        f"mon cluster log file = {layout.log}/$cluster.$channel.log",
    ]
    if layout.osds:
        lines += [
            # Whoever waits for a cluster to come up waits for a change after the other.
            "paxos propose interval = 0.05",
            "paxos min wait = 0.01",
            "",
            "[osd]",
            f"osd data = {layout.directory}/osd.$id",
            "keyring = $osd_data/keyring",
            f"pid file = {layout.run}/$name.pid",
            f"admin socket = {layout.run}/$name.asok",
            f"log file = {layout.log}/$name.log",
        ]
    if layout.mgrs:
        lines += [
            "",
            "[mgr]",
            f"mgr data = {layout.directory}/mgr.$id",
            "keyring = $mgr_data/keyring",
            f"pid file = {layout.run}/$name.pid",
            f"admin socket = {layout.run}/$name.asok",
            f"log file = {layout.log}/$name.log",
        ]
    return "\n".join(lines) + "\n"
