"""Three hosts with a monitor and an OSD each: links are pulled, cut one way, slow and lossy.

Under load, with the clients of the thrasher on a fourth host: all their operations end, and data
agree. The hosts are network namespaces.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
import uuid
from pathlib import Path

import pytest

from spirula.auth.crypto import KeyType, generate_key
from spirula.auth.keyring import KeyRing
from spirula.cli import mon, osd
from spirula.cluster.layout import Layout
from spirula.types.auth import PrincipalName
from spirula.types.base import UTime
from spirula.types.entity import EntityAddrVec
from spirula.types.mon import MonInfo, MonMap
from tests.thrash.daemons import Daemons
from tests.thrash.thrasher import QUICK, Thrasher, check_stores, log_in
from tests.thrash.wires import NET, Wires, reason_to_skip

HOSTS = 3
MONS = "abc"
PHASE_S = 4
PHASES = (("pulled", 3), ("cut one way", 2), ("slow and lossy", 1))
ROUNDS = 5
"""At most so many times all phases, with `make thrash`; `make test` leaves the second out."""
OPTIONS = {
    **QUICK,
    "osd heartbeat grace": "5",
    "mon client ping interval": "1",
    "mon client ping timeout": "4",
}


class Cluster:
    """A cluster whose daemons are on hosts of their own."""

    def __init__(self, folder, wires):
        self.folder = folder
        self.layout = Layout(folder)
        self.fsid = uuid.uuid4()
        self.uuids = [str(uuid.uuid4()) for _ in range(HOSTS)]
        for name in (self.layout.run, self.layout.log):
            name.mkdir()
        self.namespaces = {
            **{f"mon.{name}": wires.namespace(n + 1) for n, name in enumerate(MONS)},
            **{f"osd.{n}": wires.namespace(n + 1) for n in range(HOSTS)},
        }
        ring = self._keys()
        monmap = MonMap(fsid=self.fsid.bytes, min_mon_release=16)
        monmap.created = monmap.last_changed = UTime.at(time.time())
        for n, name in enumerate(MONS):
            addrs = EntityAddrVec.parse(f"[v2:{NET}.{n + 1}:3300/0,v1:{NET}.{n + 1}:6789/0]")
            monmap.mon_info[name] = MonInfo(name, addrs)
        monmap.ranks = sorted(monmap.mon_info)
        self._write_conf()
        (folder / "monmap").write_bytes(monmap.encode())
        (folder / "ring").write_text(ring.to_text())
        conf = ["-c", str(self.layout.conf)]
        for name in MONS:
            made = ["--monmap", str(folder / "monmap"), "--keyring", str(folder / "ring")]
            assert mon.main(["--mkfs", "-i", name, *made, *conf]) == 0
        for n, identity in enumerate(self.uuids):
            key = PrincipalName.parse(f"osd.{n}")
            (folder / f"osd.{n}").mkdir()
            own = KeyRing({key: ring.keys[key]})
            (folder / f"osd.{n}" / "keyring").write_text(own.to_text())
            made = ["--mkfs", "-i", str(n), "--osd-uuid", identity]
            assert osd.main([*made, *conf]) == 0

    def _keys(self):
        ring = KeyRing()
        everything = dict.fromkeys(("mds", "mgr", "mon", "osd"), "allow *")
        daemon = {"mon": "allow profile osd", "mgr": "allow profile osd", "osd": "allow *"}
        caps = {"mon.": {"mon": "allow *"}, "client.admin": everything}
        caps |= {f"osd.{n}": daemon for n in range(HOSTS)}
        for text, allowed in caps.items():
            name = PrincipalName.parse(text)
            ring.add(name, generate_key(KeyType.AES, time.time(), os.urandom))
            ring.set_caps(name, allowed)
        admin = PrincipalName.parse("client.admin")
        (self.folder / "keyring").write_text(KeyRing({admin: ring.keys[admin]}).to_text())
        return ring

    def _write_conf(self):
        folder = self.folder
        lines = [
            "[global]",
            f"fsid = {self.fsid}",
            "mon host = " + ",".join(f"v2:{NET}.{n + 1}:3300" for n in range(HOSTS)),
            f"keyring = {folder}/keyring",
            f"log file = {folder}/log/$name.log",
            f"admin socket = {folder}/run/$name.asok",
            *(f"{name} = {value}" for name, value in OPTIONS.items()),
            "[mon]",
            f"mon data = {folder}/mon.$id",
            "keyring = $mon_data/keyring",
            "[osd]",
            f"osd data = {folder}/osd.$id",
            "keyring = $osd_data/keyring",
        ]
        for n in range(HOSTS):
            lines += [f"[osd.{n}]", f"public addr = {NET}.{n + 1}"]
            lines.append(f"crush location = root=default host=h{n + 1}")
        self.layout.conf.write_text("\n".join(lines) + "\n")


async def thrash(cluster, wires, scale):
    """All phases; where PGs are in the end."""
    wires.run()
    daemons = Daemons(cluster.layout, cluster.namespaces)
    thrasher = Thrasher(daemons, 1)
    await daemons.open()
    try:
        for name in MONS:
            await daemons.start(f"mon.{name}")
        session = await log_in(cluster.layout.conf)
        for n, identity in enumerate(cluster.uuids):
            told = {"prefix": "osd new", "uuid": identity, "id": str(n)}
            (await session.command(told)).check()
            await daemons.start(f"osd.{n}")
        await session.close()
        await thrasher.begin()
        await thrasher.progress(20)
        for _ in range(min(scale, ROUNDS)):
            await links(thrasher, wires, PHASES if scale > 1 else PHASES[::2])
        await thrasher.finish()
        places = thrasher.places()
        for name in daemons.osds():
            await daemons.end(name, 15)
    finally:
        await thrasher.close()
        wires.mend()
        for name in daemons.pids:
            await daemons.end(name)
        await daemons.close()
        wires.stop()
    print(f"{thrasher.done} steps of clients, {wires.passed} packets passed, {wires.lost} lost")
    return places


async def links(thrasher, wires, phases):
    """What happens to the links."""
    for what, host in phases:
        lost, done = wires.lost, thrasher.done
        thrasher.note(f"the link of host {host} is {what}")
        if what == "pulled":
            wires.pull(host)
        elif what == "cut one way":
            wires.cut_from(host)
        else:
            wires.delay_s[host], wires.loss[host] = 0.2, 0.05
        await asyncio.sleep(PHASE_S)
        await thrasher.progress(20)
        thrasher.note(f"{thrasher.done - done} steps, {wires.lost - lost} packets were lost")
        assert wires.lost > lost
        wires.mend()
        await thrasher.progress(20)


@pytest.mark.timeout(600)
def test_links_of_hosts_are_pulled_cut_and_slow(scale):
    reason = reason_to_skip()
    if reason:
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="spirula-") as folder, Wires(HOSTS) as wires:
        cluster = Cluster(Path(folder), wires)
        places = asyncio.run(thrash(cluster, wires, scale))
        assert check_stores(Path(folder), places) > 5
