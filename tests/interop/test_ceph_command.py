"""`spirula ceph` and the client session beneath it, against real monitors, OSDs and managers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from spirula.cli.credentials import find_key
from spirula.client.session import ClusterSession, open_session
from spirula.conf.load import load
from spirula.errors import CephError
from tests.interop.realcluster import RealCluster


def spirula_ceph(
    cluster: RealCluster, *words: str, timeout_s: float = 100
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "spirula", "ceph", "-c", str(cluster.conf)]
    return subprocess.run(
        [*command, "--connect-timeout", "60", *words],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


async def session_of(cluster: RealCluster, *options: str) -> ClusterSession:
    config = load(["-c", str(cluster.conf), *options]).config
    key = find_key(config)
    return await open_session(config, key, clock=time.time, random_bytes=os.urandom, timeout_s=60)


@pytest.mark.parametrize("mode", ["crc", "secure"])
def test_commands_answer_as_the_real_command_does(real_cluster: RealCluster, mode: str) -> None:
    modes = ["--ms_mon_client_mode", mode, "--ms_client_mode", mode]
    for words in (["osd", "dump"], ["mon", "dump"], ["osd", "tree"], ["auth", "ls"]):
        theirs = json.loads(real_cluster.run("ceph", *words, "-f", "json"))
        done = spirula_ceph(real_cluster, *modes, *words, "-f", "json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout).keys() == theirs.keys()
        if words[0] != "osd":
            assert json.loads(done.stdout) == theirs


def test_status_and_mon_status(real_cluster: RealCluster) -> None:
    status = json.loads(spirula_ceph(real_cluster, "status", "-f", "json").stdout)
    assert status["quorum_names"] == ["a"]
    told = spirula_ceph(real_cluster, "tell", "mon.a", "mon_status").stdout
    assert json.loads(told)["name"] == "a"


def test_a_json_object_is_sent_as_it_is(real_cluster: RealCluster) -> None:
    done = spirula_ceph(real_cluster, '{"prefix": "osd tree", "format": "json"}')
    assert {node["type"] for node in json.loads(done.stdout)["nodes"]} >= {"root", "osd"}


@pytest.mark.parametrize("mode", ["crc", "secure"])
def test_osds_and_the_manager_take_our_authorizers(real_cluster: RealCluster, mode: str) -> None:
    for target in ("osd.0", "osd.2", "mon.a", "mgr"):
        done = spirula_ceph(real_cluster, "--ms_client_mode", mode, "tell", target, "version")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["version"] == real_cluster.version


def test_input_and_output_travel(real_cluster: RealCluster, tmp_path: Path) -> None:
    theirs, ours, back = (tmp_path / name for name in ("theirs", "ours", "back"))
    real_cluster.run("ceph", "osd", "getcrushmap", "-o", str(theirs))
    assert spirula_ceph(real_cluster, "osd", "getcrushmap", "-o", str(ours)).returncode == 0
    assert ours.read_bytes() == theirs.read_bytes()
    key = "spirula/test"
    done = spirula_ceph(real_cluster, "config-key", "set", key, "-i", str(ours))
    assert done.returncode == 0, done.stderr
    assert spirula_ceph(real_cluster, "config-key", "get", key, "-o", str(back))
    assert back.read_bytes() == theirs.read_bytes()
    assert spirula_ceph(real_cluster, "config-key", "rm", key).returncode == 0


def test_refusals_carry_the_errno(real_cluster: RealCluster) -> None:
    unknown = spirula_ceph(real_cluster, "no", "such", "command")
    assert unknown.returncode == 22
    assert "Error EINVAL: invalid command" in unknown.stderr
    nobody = spirula_ceph(real_cluster, "tell", "osd.77", "version")
    assert nobody.returncode == 2
    assert "Error ENOENT: problem getting command descriptions from osd.77" in nobody.stderr


def test_a_wrong_key_and_an_unknown_user_are_refused_at_once(real_cluster: RealCluster) -> None:
    wrong = "AQDeTmRkAAAAABAAKzyFFMHqFbi3Mb1Yk3j6Xg=="
    for name in ("client.admin", "client.nobody-knows"):
        began = time.monotonic()
        done = spirula_ceph(real_cluster, "-n", name, "--key", wrong, "status")
        assert done.returncode != 0
        assert "EACCES" in done.stderr or "EPERM" in done.stderr
        assert time.monotonic() - began < 40  # it does not try until the 60 s are over


def test_the_caps_of_the_user_count(real_cluster: RealCluster) -> None:
    entity = "client.spirula-reader"
    real_cluster.run("ceph", "auth", "get-or-create", entity, "mon", "allow r")
    key = real_cluster.ceph("auth", "print-key", entity).strip()
    try:
        assert spirula_ceph(real_cluster, "-n", entity, "--key", key, "mon", "dump").returncode == 0
        refused = spirula_ceph(real_cluster, "-n", entity, "--key", key, "auth", "ls")
        assert "EACCES" in refused.stderr
    finally:
        real_cluster.run("ceph", "auth", "rm", entity)


@pytest.fixture
def hurt(
    real_ceph: Callable[..., AbstractContextManager[RealCluster]],
) -> Iterator[RealCluster]:
    with real_ceph(mons=1, osds=1) as cluster:
        yield cluster


def test_the_session_outlives_a_restart_of_its_monitor(hurt: RealCluster) -> None:
    async def through_a_restart() -> list[int]:
        session = await session_of(hurt)
        try:
            epochs = [await epoch(session)]
            hurt.kill("mon.a", how=signal.SIGKILL)
            waiting = asyncio.ensure_future(epoch(session))
            await asyncio.sleep(1)
            assert not waiting.done()
            hurt.launch("mon.a")
            epochs.append(await asyncio.wait_for(waiting, 100))
            epochs.append(await epoch(session))
            assert (await session.tell("osd.0", {"prefix": "version"}, timeout_s=60)).result == 0
            return epochs
        finally:
            await session.close()

    async def epoch(session: ClusterSession) -> int:
        reply = await session.command({"prefix": "mon dump", "format": "json"})
        return int(json.loads(reply.check())["epoch"])

    epochs = asyncio.run(through_a_restart())
    assert epochs[0] == epochs[1] == epochs[2]


def test_errors_of_a_session_say_what_happened(real_cluster: RealCluster) -> None:
    async def refused() -> None:
        session = await session_of(real_cluster)
        try:
            (await session.command({"prefix": "osd pool get", "pool": "no", "var": "size"})).check()
        finally:
            await session.close()

    with pytest.raises(CephError) as caught:
        asyncio.run(refused())
    assert caught.value.errno in (2, 1)


def test_the_cluster_log_is_watched_until_interrupted(real_cluster: RealCluster) -> None:
    command = [sys.executable, "-m", "spirula", "ceph", "-c", str(real_cluster.conf)]
    with (
        subprocess.Popen([*command, "-w"], stdout=subprocess.PIPE) as watching,
        ended_by_kill(watching),
    ):
        assert watching.stdout is not None
        seen = b""
        while b"pgs:" not in seen:
            line = watching.stdout.readline()
            assert line, seen
            seen += line
        # The subscription follows the status: lines are told until one is seen.
        os.set_blocking(watching.stdout.fileno(), False)
        deadline = time.monotonic() + 60
        while b"watched words" not in seen:
            assert time.monotonic() < deadline, seen
            real_cluster.run("ceph", "log", "watched words")
            time.sleep(0.3)
            seen += watching.stdout.read() or b""
        watching.send_signal(signal.SIGINT)
        assert watching.wait(60) == 0


@contextmanager
def ended_by_kill(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Whatever happens, nobody waits for it for ever."""
    try:
        yield
    finally:
        process.kill()
