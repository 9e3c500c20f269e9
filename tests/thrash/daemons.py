"""The daemons of a cluster of ours as processes that are killed, stopped, frozen and started again.

For the thrasher; all waiting is done on its event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import uuid
from pathlib import Path
from signal import SIGKILL

ROOT = Path(__file__).parents[2]


class Daemons:
    """Of one cluster directory. `namespaces` tells of daemons in which they are to run."""

    def __init__(self, layout, namespaces=None):
        self.layout = layout
        self.namespaces = namespaces or {}
        self.launcher = None
        self.pids = {name: self._pid(name) for name in self.layout.daemons()}

    def _pid(self, name):
        return int(self.layout.pid_file(name).read_text())

    async def open(self):
        """Make the launcher ready."""
        self.launcher = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.thrash.launcher",
            str(self.layout.directory),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert await self.launcher.stdout.readline() == b"ready\n"

    async def close(self):
        """End the launcher; its daemons are then somebody else's children."""
        self.launcher.stdin.close()
        await self.launcher.wait()

    async def _ask(self, line):
        self.launcher.stdin.write(line.encode() + b"\n")
        return int(await self.launcher.stdout.readline())

    async def start(self, name):
        namespace = self.namespaces.get(name)
        self.pids[name] = await self._ask(f"{name} @{namespace}" if namespace else name)

    async def make_osd(self, session):
        """A new OSD: its number, key and store; not started."""
        identity = str(uuid.uuid4())
        made = (await session.command({"prefix": "osd new", "uuid": identity})).check()
        name = f"osd.{int(made)}"
        folder = self.layout.directory / name
        folder.mkdir()
        caps = ["mon", "allow profile osd", "mgr", "allow profile osd", "osd", "allow *"]
        told = {"prefix": "auth get-or-create", "entity": name, "caps": caps}
        (folder / "keyring").write_bytes((await session.command(told)).check())
        assert await self._ask(f"mkfs {name} {identity}") == 0
        return name

    def is_alive(self, name):
        """Whether its process runs."""
        try:
            state = Path(f"/proc/{self.pids[name]}/stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, KeyError):
            return False
        return state not in "ZX"

    def signal(self, name, number):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pids[name], number)

    async def end(self, name, number=SIGKILL):
        """Send a signal and wait until the process is gone."""
        self.signal(name, number)
        async with asyncio.timeout(60):
            while self.is_alive(name):  # noqa: ASYNC110 - it is no child of ours
                await asyncio.sleep(0.02)

    def osds(self):
        """The names of the OSDs, old and new."""
        return [name for name in self.pids if name.startswith("osd.")]

    def mons(self):
        """The names of the monitors."""
        return [name for name in self.pids if name.startswith("mon.")]

    def mgrs(self):
        """The names of the managers."""
        return [name for name in self.pids if name.startswith("mgr.")]
