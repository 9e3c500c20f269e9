"""What `rados` does when things fail: upstream's exception in time, or a retry that succeeds."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from errno import ETIMEDOUT
from pathlib import Path

import pytest

from spirula import rados
from spirula.testing import Cluster
from spirula.types.pool import PoolFlag
from tests.interop.realcluster import RealCluster, real_cluster_of, why_not
from tests.interop.spirulacluster import wait_until
from tests.interop.swallowing import swallowing_network

pytestmark = pytest.mark.timeout(300)
SOON_S = 30
"""What was told to give up after a second has done so by then, on however busy a machine; what is
told nothing waits for minutes, or for ever."""
LATER_S = 120
"""What goes on once a cluster is well again has ended by then."""
KEY = "AQBZZZZfAAAAABAAq8Zq8Zq8Zq8Zq8Zq8Zq8Zg=="


@pytest.fixture(scope="module")
def cluster() -> Iterator[RealCluster]:
    if reason := why_not():
        pytest.skip(reason)
    options = {"mon_allow_pool_delete": "true"}
    with real_cluster_of(mons=3, osds=2, managers=False, options=options) as made:
        made.run("ceph", "osd", "pool", "create", "pool", "8", "8")
        serves(made)
        yield made


def serves(cluster: RealCluster) -> None:
    """Wait until all daemons are there again, and every PG of the pool is served."""
    cluster.wait_ready()
    with rados.Rados(conffile=str(cluster.conf)) as handle, handle.open_ioctx("pool") as ioctx:
        writes = [ioctx.aio_write_full(f"any{n}", b"") for n in range(64)]
        for one in writes:
            one.wait_for_complete()
        assert {one.get_return_value() for one in writes} == {0}


@pytest.fixture
def ioctx(cluster: RealCluster) -> Iterator[rados.Ioctx]:
    with rados.Rados(conffile=str(cluster.conf)) as handle, handle.open_ioctx("pool") as made:
        yield made


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def test_a_wrong_key_and_a_name_without_one(cluster: RealCluster) -> None:
    conf = str(cluster.conf)
    with at_most(SOON_S), pytest.raises(rados.PermissionDeniedError):
        rados.Rados(conffile=conf, conf={"key": KEY}).connect()
    with pytest.raises(rados.PermissionDeniedError):
        rados.Rados(conffile=conf, rados_id="nobody").connect()
    with pytest.raises(rados.ObjectNotFound):
        rados.Rados(conffile=conf, conf={"keyring": "/nowhere"}).connect()


def test_monitors_that_swallow_all_packets(cluster: RealCluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        conf = {"mon_host": f"v2:127.0.0.1:{port}", "client_mount_timeout": "1"}
        with at_most(SOON_S), pytest.raises(rados.TimedOut):
            rados.Rados(conffile=str(cluster.conf), conf=conf).connect()


def test_a_network_that_swallows_packets(
    cluster: RealCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is asked ends in time; what was under way ends well once packets pass again."""
    conf = str(cluster.conf)
    fsid = '{"prefix":"fsid"}'
    with swallowing_network(monkeypatch) as network, rados.Rados(conffile=conf) as handle:
        ioctx = handle.open_ioctx("pool")
        ioctx.write_full("n", b"1")
        waits = ioctx.aio_read("n", 1, 0, None)
        waits.wait_for_complete()
        handle.conf_set("rados_osd_op_timeout", "1")
        handle.conf_set("rados_mon_op_timeout", "1")
        network.swallow()
        for expected, asked in (
            (rados.OutcomeUnknown, lambda: ioctx.write_full("n", b"2")),
            (rados.TimedOut, lambda: ioctx.read("n")),
            (rados.TimedOut, lambda: list(ioctx.list_objects())),
            (rados.TimedOut, lambda: ioctx.watch("n", print)),
            (rados.TimedOut, lambda: ioctx.notify("n", timeout_ms=1000)),
            (rados.TimedOut, lambda: handle.create_pool("another")),
            (rados.TimedOut, handle.get_cluster_stats),
            (rados.TimedOut, lambda: handle.pool_lookup("another")),
            (rados.TimedOut, lambda: rados.Rados(conffile=conf).connect(1)),
        ):
            with at_most(SOON_S), pytest.raises(expected):
                asked()
        with at_most(3 * SOON_S):
            assert handle.mon_command(fsid, b"")[0] == -ETIMEDOUT
            assert handle.osd_command(0, '{"prefix":"version"}', b"")[0] == -ETIMEDOUT
            assert handle.pg_command("1.0", '{"prefix":"query"}', b"")[0] == -ETIMEDOUT
        handle.conf_set("rados_osd_op_timeout", "0")
        waits = ioctx.aio_write_full("n", b"3")
        network.mend()
        with at_most(LATER_S):
            waits.wait_for_complete()
            assert (waits.get_return_value(), ioctx.read("n")) == (0, b"3")
            assert handle.mon_command(fsid, b"")[0] == 0
        network.swallow()
        with at_most(SOON_S):
            handle.shutdown()


def test_a_monitor_goes(cluster: RealCluster, ioctx: rados.Ioctx) -> None:
    handle = ioctx.rados
    mine = handle.beneath.session.monitors.connection.peer_addrs
    names = list(cluster.mon_ports)
    monmap = handle.beneath.session.monitors.monmap
    name = next(name for name in names if monmap.mon_info[name].public_addrs == mine)
    cluster.kill(f"mon.{name}")
    try:
        with at_most(LATER_S):
            ioctx.write_full("a", b"1")
            assert handle.mon_command('{"prefix":"fsid"}', b"")[0] == 0
            assert handle.pool_lookup("nowhere") is None
    finally:
        cluster.launch(f"mon.{name}")
        serves(cluster)


def test_a_paused_cluster(cluster: RealCluster, ioctx: rados.Ioctx) -> None:
    ioctx.write_full("p", b"1")
    cluster.ceph("osd", "set", "pause")
    try:
        ioctx.rados.wait_for_latest_osdmap()
        ioctx.rados.conf_set("rados_osd_op_timeout", "1")
        with at_most(SOON_S), pytest.raises(rados.TimedOut) as timed_out:
            ioctx.write_full("p", b"2")
        assert not isinstance(timed_out.value, rados.OutcomeUnknown)
        ioctx.rados.conf_set("rados_osd_op_timeout", "0")
        waits = ioctx.aio_write_full("p", b"3")
        assert not waits.is_complete()
    finally:
        cluster.ceph("osd", "unset", "pause")
    with at_most(LATER_S):
        waits.wait_for_complete()
    assert (waits.get_return_value(), ioctx.read("p")) == (0, b"3")


def set_ratios(cluster: RealCluster, ratios: dict[str, str]) -> None:
    for name, value in ratios.items():
        cluster.ceph("osd", f"set-{name}-ratio", value)


def test_a_full_pool(cluster: RealCluster, ioctx: rados.Ioctx) -> None:
    """OSDs count as full as soon as they hold some megabytes."""
    handle = ioctx.rados
    ioctx.write_full("f", bytes(16 << 20))
    set_ratios(cluster, {"nearfull": "0.0001", "backfillfull": "0.0002", "full": "0.0003"})
    try:
        maps = handle.beneath.session.objecter.maps

        def is_full() -> bool:
            handle.wait_for_latest_osdmap()
            return maps.osdmap.pools[ioctx.get_pool_id()].has_flag(PoolFlag.FULL)

        wait_until(is_full)
        handle.conf_set("rados_osd_op_timeout", "1")
        with at_most(SOON_S), pytest.raises(rados.TimedOut) as timed_out:
            ioctx.write_full("f", b"2")
        assert not isinstance(timed_out.value, rados.OutcomeUnknown)
        handle.conf_set("rados_osd_op_timeout", str(SOON_S))
        assert ioctx.read("f", 1) == b"\0"
        handle.conf_set("rados_osd_op_timeout", "0")
        ioctx.set_osdmap_full_try()
        with at_most(SOON_S), pytest.raises(rados.NoSpace):
            ioctx.write_full("g", b"2")
        assert ioctx.remove_object("f")
    finally:
        handle.conf_set("rados_osd_op_timeout", "0")
        set_ratios(cluster, {"full": "0.95", "backfillfull": "0.9", "nearfull": "0.85"})
    ioctx.unset_osdmap_full_try()
    with at_most(LATER_S):
        ioctx.write_full("f", b"3")


def test_an_osd_goes_while_it_writes(cluster: RealCluster, ioctx: rados.Ioctx) -> None:
    writes = [ioctx.aio_append(f"w{n % 4}", b"%d " % n) for n in range(200)]
    cluster.kill("osd.1")
    try:
        cluster.ceph("osd", "down", "1")
        with at_most(LATER_S):
            for one in writes:
                one.wait_for_complete()
        assert {one.get_return_value() for one in writes} == {0}
        for n in range(4):
            expected = b"".join(b"%d " % k for k in range(n, 200, 4))
            assert ioctx.read(f"w{n}") == expected
    finally:
        cluster.launch("osd.1")
        serves(cluster)


def test_an_answer_that_does_not_come_leaves_the_outcome_unknown(
    cluster: RealCluster, ioctx: rados.Ioctx
) -> None:
    """An OSD that stands still: the write was sent, and may still happen."""
    ioctx.write_full("u", b"1")
    ioctx.rados.conf_set("rados_osd_op_timeout", "1")
    for name, daemon in cluster.daemons.items():
        if name.startswith("osd."):
            daemon.send_signal(signal.SIGSTOP)
    try:
        with at_most(SOON_S), pytest.raises(rados.OutcomeUnknown):
            ioctx.write_full("u", b"2")
    finally:
        for name, daemon in cluster.daemons.items():
            if name.startswith("osd."):
                daemon.send_signal(signal.SIGCONT)
    ioctx.rados.conf_set("rados_osd_op_timeout", "0")
    with at_most(LATER_S):
        assert ioctx.read("u") in (b"1", b"2")
    serves(cluster)  # who stood still may have been taken for dead


SUSPENDED = """
import sys
from spirula import rados
with rados.connect(sys.argv[1]) as handle, handle.open_ioctx("pool") as ioctx:
    ioctx.write_full("s", b"before")
    print("suspend me", flush=True)
    assert sys.stdin.readline().strip() == "go on"
    for session in list(handle.beneath.session.objecter.sessions.values()):
        if (wire := session.connection.wire) and wire.transport:
            handle.background.loop.call_soon_threadsafe(wire.transport.abort)
    ioctx.write_full("s", b"after")
    assert ioctx.read("s") == b"after"
"""
TTL_S, OFTEN = 4, 5
SHORT = {
    "auth_service_ticket_ttl": str(TTL_S),
    "auth_mon_ticket_ttl": str(TTL_S),
    "mon_tick_interval": "1",  # keys have to be made as often
}


def live_longer_than_tickets(conf: Path) -> int:
    """A client that shows its ticket again and again, and one that is suspended meanwhile."""
    command = [sys.executable, "-c", SUSPENDED, str(conf)]
    pipe = subprocess.PIPE
    suspended = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
    with suspended, ExitStack() as stack:
        stack.callback(suspended.kill)  # whatever happens: it may be stopped
        handle = stack.enter_context(rados.connect(str(conf), timeout=60))
        ioctx = stack.enter_context(handle.open_ioctx("pool"))
        handle.conf_set("rados_osd_op_timeout", "60")
        assert suspended.stdout.readline() == "suspend me\n"
        suspended.send_signal(signal.SIGSTOP)
        objecter = handle.beneath.session.objecter
        expires, shown = time.monotonic() + 2.5 * TTL_S, 0
        while time.monotonic() < expires or shown <= OFTEN:
            for session in list(objecter.sessions.values()):
                if (wire := session.connection.wire) and wire.transport:
                    handle.background.loop.call_soon_threadsafe(wire.transport.abort)
            ioctx.write_full("t", b"%d" % shown)
            shown += 1
            time.sleep(0.2)
        suspended.send_signal(signal.SIGCONT)
        suspended.communicate("go on\n", timeout=LATER_S)
    assert suspended.returncode == 0
    return shown


@pytest.mark.slow
def test_tickets_expire() -> None:
    """On a real cluster and on ours: the client renews them, even when it slept too long."""
    if reason := why_not():
        pytest.skip(reason)
    with (
        real_cluster_of(osds=1, managers=False, options=SHORT) as real,
        Cluster(osds=1, in_process=True, options=SHORT, timeout_s=LATER_S) as ours,
        ThreadPoolExecutor() as threads,
    ):
        for cluster in (real, ours):
            with rados.connect(str(cluster.conf)) as handle:
                handle.create_pool("pool")
        shown = threads.map(live_longer_than_tickets, (real.conf, ours.conf))
        assert min(shown) > OFTEN


def test_the_end_of_a_handle_wakes_who_waits(cluster: RealCluster) -> None:
    handle = rados.Rados(conffile=str(cluster.conf))
    handle.connect()
    ioctx = handle.open_ioctx("pool")
    ioctx.write_full("e", b"1")
    cluster.ceph("osd", "set", "pause")
    try:
        handle.wait_for_latest_osdmap()
        raised: list[BaseException] = []

        def write() -> None:
            try:
                ioctx.write_full("e", b"2")
            except rados.Error as error:
                raised.append(error)

        thread = threading.Thread(target=write)
        thread.start()
        wait_until(handle.beneath.session.objecter.requests)
        with at_most(SOON_S):
            handle.shutdown()
            thread.join()
        assert [type(error) for error in raised] == [rados.ConnectionShutdown]
        with pytest.raises(rados.RadosStateError):
            ioctx.read("e")
    finally:
        cluster.ceph("osd", "unset", "pause")
