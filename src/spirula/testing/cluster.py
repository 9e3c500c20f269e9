"""`Cluster`: monitors and OSDs as processes, in a folder of their own, gone at the end.

Gone also if this process is killed: a warden ends them then (see `warden`). Any number of clusters
may run side by side: each has ports and a folder to itself.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from spirula.errors import InputOutput, InvalidArgument
from spirula.rados.aio import Cluster as AioCluster
from spirula.rados.aio import Opening, connect
from spirula.rados.cluster import Rados

if TYPE_CHECKING:
    from spirula.testing.in_process import InProcess

_SPIRULA = (sys.executable, "-m", "spirula")
_MEMORY = Path("/dev/shm")  # noqa: S108 - a file system in memory is what is wanted
_MEMORY_WANTED = 1 << 30


class Cluster:
    """A cluster of one's own. A context manager; `start` and `stop` by hand will do as well.

    Without a manager (`mgrs`) it is up sooner, and counts nothing: no `df`, no statistics.
    `options` go into its ceph.conf, besides `mon_allow_pool_delete`. With
    `dangerously_do_not_sync` the OSDs and monitors keep everything in memory: several times as
    quick where disks are slow, and nothing survives this machine's next breath. Raises InputOutput
    with what the daemons said where it does not come up.

    With `in_process` the daemons are no processes but run in a thread of this one, everything in
    memory: ready in a second, for tests that want many clusters. There is no manager then, and no
    `ceph daemon`; the rest is the same, also for clients in other processes.
    """

    def __init__(
        self,
        osds: int = 3,
        mons: int = 1,
        *,
        mgrs: int = 0,
        options: Mapping[str, str] | None = None,
        dangerously_do_not_sync: bool = False,
        in_process: bool = False,
        timeout_s: float = 150.0,
    ) -> None:
        if in_process and mgrs:
            raise InvalidArgument("managers run as processes only: mgrs=0, or not in_process")
        self.osds = osds
        self.mons = mons
        self.mgrs = mgrs
        self.options = {"mon_allow_pool_delete": "true", **(options or {})}
        self.timeout_s = timeout_s
        self._in_memory = dangerously_do_not_sync
        self._folder: Path | None = None
        self._warden: subprocess.Popen[bytes] | None = None
        self._is_inside = in_process
        self._inside: InProcess | None = None

    @property
    def folder(self) -> Path:
        """Where it keeps everything. InputOutput before `start`."""
        if self._folder is None:
            raise InputOutput("the cluster is not running")
        return self._folder

    @property
    def conf(self) -> Path:
        """Its ceph.conf, for `CEPH_CONF` and `-c`."""
        return self.folder / "cluster" / "ceph.conf"

    def start(self) -> Self:
        """Make it and wait until all OSDs serve."""
        where = _MEMORY if self._in_memory and _has_room(_MEMORY) else None
        self._folder = Path(tempfile.mkdtemp(prefix="spirula-test-", dir=where))
        if self._is_inside:
            return self._start_inside()
        self._warden = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "spirula.testing.warden", str(self._folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        words = ["--osds", str(self.osds), "--mons", str(self.mons), "--mgrs", str(self.mgrs)]
        words += [w for name, value in self.options.items() for w in ("-o", f"{name}={value}")]
        try:
            self.spirula("up", "--dir", str(self.conf.parent), *words)
        except BaseException:
            self.stop()
            raise
        return self

    def _start_inside(self) -> Self:
        # Loaded here: those whose daemons are processes need none of it.
        from spirula.testing.in_process import InProcess  # noqa: PLC0415  # said above

        self._inside = InProcess(
            self.conf.parent,
            osds=self.osds,
            mons=self.mons,
            options=self.options,
            timeout_s=self.timeout_s,
        )
        atexit.register(self.stop)
        try:
            self._inside.start()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End it; its folder goes. Nothing happens where it does not run."""
        warden, self._warden = self._warden, None
        inside, self._inside = self._inside, None
        folder, self._folder = self._folder, None
        if inside is not None:
            atexit.unregister(self.stop)
            inside.stop()
            shutil.rmtree(folder or "", ignore_errors=True)
        if warden is not None:
            if warden.stdin is not None:
                warden.stdin.close()
            warden.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Literal[False]:
        self.stop()
        return False

    def rados(self) -> Rados:
        """A connected handle, as client.admin; a context manager that shuts down."""
        handle = Rados(conffile=str(self.conf))
        handle.connect()
        return handle

    def connect(self) -> Opening[AioCluster]:
        """The same for asyncio: `async with cluster.connect() as handle`."""
        return connect(str(self.conf))

    def spirula(self, *words: str) -> str:
        """Run `spirula WORDS...` on it; what it prints. InputOutput where it fails."""
        environment = {**os.environ}
        if self._folder is not None:
            environment["CEPH_CONF"] = str(self.conf)
        ended = subprocess.run(  # noqa: S603 - our own command
            [*_SPIRULA, *words],
            env=environment,
            capture_output=True,
            text=True,
            timeout=self.timeout_s,
            check=False,
        )
        if ended.returncode:
            raise InputOutput(f"spirula {words[0]}: {ended.returncode}: {ended.stderr.strip()}")
        return ended.stdout


def _has_room(folder: Path) -> bool:
    try:
        return os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > _MEMORY_WANTED
    except OSError:
        return False
