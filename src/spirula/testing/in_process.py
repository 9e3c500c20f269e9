"""A cluster's daemons in a thread of this process: quick to make, and gone with the process.

The daemons are the real ones and listen at loopback; their stores are in memory. They share one
event loop, and with the test the interpreter: for tests of what a program does, not of how quickly.
Made by `Cluster(in_process=True)`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
import traceback
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from spirula.auth.keyring import KeyRing
from spirula.client.session import ClusterSession, open_session
from spirula.cluster.create import (
    HOST,
    addrs_of,
    configuration,
    free_ports,
    make_keys,
    make_monmap,
    write_private,
)
from spirula.cluster.layout import Layout, MonPlace, OSDPlace
from spirula.conf import version
from spirula.conf.config import Config
from spirula.conf.load import load
from spirula.errors import InputOutput, SpirulaError, TimedOut
from spirula.maps.state import is_up
from spirula.mon.daemon import Daemon as MonDaemon
from spirula.mon.daemon import make_monitor
from spirula.mon.mkfs import make_store as make_mon_store
from spirula.mon.monitor import Ports as MonPorts
from spirula.osd.daemon import Addresses, make_osd
from spirula.osd.daemon import Daemon as OSDDaemon
from spirula.osd.mkfs import make_store as make_osd_store
from spirula.osd.state import Ports as OSDPorts
from spirula.rados.background import Background
from spirula.store.keyvalue import MemoryKeyValueStore
from spirula.store.memory import MemoryObjectStore
from spirula.types.auth import PrincipalName
from spirula.types.entity import EntityAddr, EntityAddrVec

_ADMIN, _MON = PrincipalName.parse("client.admin"), PrincipalName.parse("mon.")
_POLL_S = 0.01
_FIRST_TRY_S = 0.1
_SWITCH_S = 0.0005
"""How long the test's thread may keep the daemons' waiting, and the other way round."""
_CAPACITY = 64 << 30
_LOG_LINES = 500


class InProcess:
    """Monitors and OSDs that serve between `start` and `stop`. `log` has what they said last."""

    def __init__(
        self, folder: Path, *, osds: int, mons: int, options: Mapping[str, str], timeout_s: float
    ) -> None:
        names = [chr(ord("a") + number) for number in range(mons)]
        ports = sorted(free_ports(2 * mons))
        places = [MonPlace(name, *ports[2 * n : 2 * n + 2]) for n, name in enumerate(names)]
        stores = [OSDPlace(number, str(uuid.uuid4())) for number in range(osds)]
        self.layout = Layout(folder, str(uuid.uuid4()), places, stores, [])
        self.log: deque[str] = deque(maxlen=_LOG_LINES)
        self._options = options
        self._timeout_s = timeout_s
        self._ring = make_keys(osds, [])
        self._background: Background | None = None
        self._mons: list[MonDaemon] = []
        self._osds: dict[int, OSDDaemon] = {}
        self._stores: dict[int, MemoryObjectStore] = {}
        self._switch_s = sys.getswitchinterval()

    def start(self) -> None:
        """Return when all OSDs are up. InputOutput with the end of the log where they do not."""
        layout = self.layout
        layout.directory.mkdir(parents=True)
        layout.conf.write_text(configuration(layout, self._options))
        write_private(layout.admin_keyring, KeyRing({_ADMIN: self._ring.keys[_ADMIN]}).to_text())
        sys.setswitchinterval(min(self._switch_s, _SWITCH_S))
        self._background = Background()
        try:
            self._background.run(asyncio.wait_for(self._start(), self._timeout_s))
        except (SpirulaError, OSError, TimeoutError) as error:
            words = "\n".join(list(self.log)[-10:])
            raise InputOutput(f"the cluster does not come up: {error}\n{words}") from error

    def stop(self) -> None:
        """End all daemons; nothing of them is left, nor of what they stored."""
        background, self._background = self._background, None
        if background is not None:
            background.stop(self._stop)
            sys.setswitchinterval(self._switch_s)

    # ---------------------------------------------------------------------------- in the loop

    async def _start(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._on_bug)
        monmap = make_monmap(self.layout)
        for place in self.layout.mons:
            store = MemoryKeyValueStore(loop.call_soon)
            store.stage(make_mon_store(monmap, self._ring.to_text().encode()))
            await _committed(store.commit)
            ring = KeyRing({_MON: self._ring.keys[_MON]})
            ports = MonPorts(
                loop=loop,
                wall=time.time,
                random_bytes=os.urandom,
                log=self._logger(f"mon.{place.name}"),
                stop=self._logger_of_end(f"mon.{place.name}"),
                disk=lambda: (_CAPACITY, _CAPACITY, 0),
                metadata={**_metadata(), "addrs": str(addrs_of(place))},
            )
            config = self._config("mon", place.name)
            self._mons.append(make_monitor(place.name, store, config, ring, ports))
        await asyncio.gather(*(daemon.start() for daemon in self._mons))
        session = await self._log_in()
        try:
            for osd in self.layout.osds:
                await self._add_osd(session, osd)
            await asyncio.gather(*(daemon.start() for daemon in self._osds.values()))
            await self._wait_osds(session)
        finally:
            await session.close()

    async def _add_osd(self, session: ClusterSession, place: OSDPlace) -> None:
        loop = asyncio.get_running_loop()
        empty = MemoryObjectStore(lambda call: call())
        make_osd_store(
            empty,
            cluster_fsid=uuid.UUID(self.layout.fsid).bytes,
            osd_fsid=uuid.UUID(place.uuid).bytes,
            whoami=place.number,
        )
        words = {"prefix": "osd new", "uuid": place.uuid, "id": str(place.number)}
        (await session.command(words, timeout_s=self._timeout_s)).check()
        name = f"osd.{place.number}"
        where = EntityAddrVec([EntityAddr.parse(f"v2:{HOST}:0/0")])
        store = self._stores[place.number] = empty.after_crash(loop.call_soon)
        store.mount()
        ports = OSDPorts(
            loop=loop,
            wall=time.time,
            random_bytes=os.urandom,
            log=self._logger(name),
            stop=self._logger_of_end(name),
            metadata={**_metadata(), "osd_objectstore": "memstore"},
            monotonic=time.monotonic,
        )
        key = self._ring.keys[PrincipalName.parse(name)].key
        config = self._config("osd", str(place.number))
        self._osds[place.number] = make_osd(
            place.number, store, config, key, ports, Addresses(where, where)
        )

    async def _log_in(self) -> ClusterSession:
        """As soon as the monitors let clients in, which is a moment after they have a quorum."""
        config, patience_s = self._config("client", "admin", daemon=False), _FIRST_TRY_S
        while True:
            try:
                return await open_session(
                    config,
                    self._ring.keys[_ADMIN].key,
                    clock=time.time,
                    random_bytes=os.urandom,
                    timeout_s=patience_s,
                )
            except TimedOut:
                patience_s *= 2

    async def _wait_osds(self, session: ClusterSession) -> None:
        await session.objecter.newest_map()
        while not all(is_up(session.objecter.maps.osdmap, number) for number in self._osds):
            await asyncio.sleep(_POLL_S)
            await session.objecter.newest_map()

    async def _stop(self) -> None:
        await asyncio.gather(*(daemon.stop() for daemon in self._osds.values()))
        for store in self._stores.values():
            store.umount()
        await asyncio.gather(*(daemon.stop() for daemon in self._mons))

    # ---------------------------------------------------------------------------------- ports

    def _config(self, kind: str, name: str, *, daemon: bool = True) -> Config:
        arguments = ["-c", str(self.layout.conf), "--name", f"{kind}.{name}"]
        return load(arguments, entity_type=kind, daemon=daemon, environ={}).config

    def _logger(self, who: str) -> Callable[..., None]:
        def log(level: int, line: str, *args: object) -> None:
            if level <= 0:
                self.log.append(f"{who}: {line % args if args else line}")

        return log

    def _logger_of_end(self, who: str) -> Callable[[str], None]:
        return lambda reason: self.log.append(f"{who} ended: {reason}")

    def _on_bug(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        lines = traceback.format_exception(error) if error else [str(context.get("message"))]
        self.log.extend("".join(lines).splitlines())


async def _committed(commit: Callable[[Callable[[Any], None]], object]) -> None:
    """Wait until a store has what was staged. Raises its error."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    commit(lambda error: done.set_exception(error) if error else done.set_result(None))
    await done


def _metadata() -> dict[str, str]:
    return {
        "hostname": socket.gethostname(),
        "ceph_release": version.RELEASE,
        "ceph_version": version.PRETTY,
        "ceph_version_short": version.CEPH_VERSION,
    }
