"""`spirula.testing` as users' tests use it; needs no Ceph."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from spirula.errors import InputOutput, InvalidArgument
from spirula.testing import Cluster
from tests.interop.spirulacluster import wait_until

USERS_TEST = """
import pytest

@pytest.mark.parametrize("n", range(4))
def test_mine(ceph_pool, n):
    assert not list(ceph_pool.list_objects())
    ceph_pool.write_full("object", b"%d" % n)
    assert ceph_pool.read("object") == b"%d" % n

def test_cluster(ceph_cluster):
    with ceph_cluster.rados() as handle:
        assert handle.list_pools() == []
    assert "HEALTH" in ceph_cluster.spirula("ceph", "health")
"""


def running(folder: Path) -> list[int]:
    """Processes that name a folder on their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder).encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_a_cluster_is_there_and_then_gone() -> None:
    with Cluster(osds=2, dangerously_do_not_sync=True) as cluster:
        folder, conf = cluster.folder, cluster.conf
        with cluster.rados() as handle:
            handle.create_pool("mine")
            with handle.open_ioctx("mine") as ioctx:
                ioctx.write_full("a", b"1")
                assert ioctx.read("a") == b"1"

        async def same() -> bytes:
            async with cluster.connect() as handle, handle.ioctx("mine") as ioctx:
                return await ioctx.read("a")

        assert asyncio.run(same()) == b"1"
        assert conf.exists()
    assert not folder.exists()
    with pytest.raises(InputOutput, match="not running"):
        cluster.conf  # noqa: B018 - the property is what is tested


def waited_for_cpu_s() -> float:
    """How long the threads of this process were ready to run while others had the CPUs."""
    waited = 0.0
    for path in Path("/proc/self/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):  # it has ended
            waited += int(path.read_text().split()[1]) / 1e9
    return waited


def test_a_cluster_in_this_process_is_there_in_two_seconds_and_leaves_nothing() -> None:
    before = set(threading.enumerate())
    took = []
    while len(took) < 2 or (min(took) >= 2 and len(took) < 5):
        began = time.monotonic() - waited_for_cpu_s()
        with Cluster(osds=3, in_process=True) as cluster:
            took.append(time.monotonic() - waited_for_cpu_s() - began)
            folder = cluster.folder
            assert running(folder) == []
            with cluster.rados() as handle:
                handle.create_pool("mine")
                with handle.open_ioctx("mine") as ioctx:
                    ioctx.write_full("a", b"1" * 5_000_000)
                    assert ioctx.read("a", 5_000_001) == b"1" * 5_000_000
            assert cluster.spirula("rados", "-p", "mine", "ls") == "a\n"
        assert not folder.exists()
    assert min(took) < 2, took
    # Of those before, some may have ended by now.
    assert set(threading.enumerate()) <= before
    with pytest.raises(InvalidArgument, match="managers"):
        Cluster(in_process=True, mgrs=1)


def test_a_cluster_goes_when_its_test_is_killed(tmp_path: Path) -> None:
    script = (
        "import time\n"
        "from spirula.testing import Cluster\n"
        "cluster = Cluster(osds=1).start()\n"
        "print(cluster.folder, flush=True)\n"
        "time.sleep(600)\n"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        pids = [int(path.read_text()) for path in (folder / "cluster" / "run").glob("*.pid")]
        process.send_signal(signal.SIGKILL)
    assert len(pids) == 2
    wait_until(lambda: not folder.exists() and not running(folder))
    for pid in pids:
        wait_until(lambda pid=pid: not is_alive(pid))


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_what_does_not_come_up_says_why() -> None:
    with pytest.raises(InputOutput, match="100"):
        Cluster(osds=1000).start()


@pytest.mark.timeout(400)
def test_fixtures_of_users(tmp_path: Path) -> None:
    """Two workers, each with a cluster to itself."""
    (tmp_path / "test_mine.py").write_text(USERS_TEST)
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2"]
    if not any(found.name == "spirula" for found in entry_points(group="pytest11")):
        command += ["-p", "spirula.testing.plugin"]  # installed before it had the entry point
    command += ["-p", "no:cacheprovider", "--rootdir", str(tmp_path), "-c", "/dev/null"]
    ended = subprocess.run(
        [*command, str(tmp_path), "--ceph-dangerously-do-not-sync"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "5 passed" in ended.stdout
