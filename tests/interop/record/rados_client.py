"""Client traffic through librados and libcephfs, for what their command line tools cannot
express.

Run by the interpreter that Debian's python3-rados belongs to (/usr/bin/python3), with CEPH_CONF
set: `rados_client.py rados|snaps|errors POOL`, `load POOL SECONDS`,
`removals POOL write|remove`, `pools`, `service`, `cephfs SECONDS`. Only provokes messages:
results are looked at by nobody.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

import cephfs as libcephfs
import rados


def attempt(call: Callable[[], object]) -> None:
    """Errors are wanted here as well: their replies are messages too."""
    try:
        call()
    except (rados.Error, OSError) as e:
        print(f"  {e}", file=sys.stderr)


def compound(cluster: rados.Rados, pool: str) -> None:
    io = cluster.open_ioctx(pool)
    with rados.WriteOpCtx() as op:
        op.new(rados.LIBRADOS_CREATE_EXCLUSIVE)
        op.write_full(b"x" * 1000)
        op.append(b"tail")
        op.write(b"abc", 100)
        op.zero(10, 20)
        op.truncate(900)
        io.operate_write_op(op, "compound")
    with rados.WriteOpCtx() as op:
        io.set_omap(op, ("k1", "k2", "k3"), (b"v1", b"v2" * 50, b""))
        op.set_xattr("user.a", b"1")
        io.operate_write_op(op, "compound", mtime=1600000000)
    with rados.ReadOpCtx() as op:
        io.get_omap_vals(op, "", "", 10)
        io.get_omap_keys(op, "", 10)
        io.get_omap_vals_by_keys(op, ("k1", "nope"))
        io.operate_read_op(op, "compound")
    with rados.WriteOpCtx() as op:
        io.remove_omap_keys(op, ("k1",))
        io.operate_write_op(op, "compound")
    with rados.WriteOpCtx() as op:
        io.clear_omap(op)
        op.execute("numops", "add", b"\x03\x00\x00\x00key\x01\x00\x00\x001")
        io.operate_write_op(op, "compound2")
    attempt(lambda: io.execute("compound", "hello", "say_hello", b"me"))
    attempt(lambda: io.execute("compound", "lock", "nosuch", b""))
    attempt(lambda: io.lock_exclusive("compound", "l", "cookie", "why", 30, 0))
    attempt(lambda: io.lock_shared("compound", "s", "cookie", "tag", "why", 30, 0))
    attempt(lambda: io.unlock("compound", "l", "cookie"))
    attempt(lambda: io.read("nosuchobject"))
    attempt(lambda: io.stat("nosuchobject"))
    io.write("short", b"q" * 100, 50)
    io.read("short", 30, 10)
    io.writesame("same", b"ab" * 8, 64, 0)
    attempt(lambda: io.cmpext("short", b"q" * 10, 50))
    attempt(lambda: io.cmpext("short", b"z" * 10, 50))
    io.aio_flush()
    io.set_namespace("other")
    io.write_full("in-namespace", b"1")
    io.set_locator_key("locator")
    io.write_full("with-key", b"2")
    io.set_locator_key("")
    io.set_namespace(rados.LIBRADOS_ALL_NSPACES)
    print(sum(1 for _ in io.list_objects()))
    io.set_namespace("")
    got: list[object] = []

    def on_notify(notify_id: int, notifier_id: int, watch_id: int, data: bytes) -> bytes:
        got.append(data)
        return b"ack"

    watch = io.watch("short", on_notify)
    attempt(lambda: io.notify("short", "hello", 3000))
    attempt(watch.check)
    watch.close()
    io.notify("short", "nobody", 1000)
    # pool snapshots are refused for pools with self-managed ones, so each has a pool of its own
    io.create_snap("s1")
    io.write_full("short", b"after s1")
    io.snap_rollback("short", "s1")
    io.remove_snap("s1")
    attempt(io.get_stats)
    attempt(cluster.get_cluster_stats)
    attempt(io.create_self_managed_snap)
    attempt(lambda: io.application_enable("recorder"))
    attempt(lambda: io.application_metadata_set("recorder", "k", "v"))
    io.close()


def self_managed(cluster: rados.Rados, pool: str) -> None:
    io = cluster.open_ioctx(pool)
    snaps: list[int] = []
    for i in range(4):
        snap = io.create_self_managed_snap()
        snaps.insert(0, snap)
        io.set_self_managed_snap_write(snaps)
        for name in ("a", "b", "c"):
            io.write(name, bytes([i]) * (100 + i), i * 10)
    io.rollback_self_managed_snap("a", snaps[1])
    io.set_read(snaps[2])
    io.read("b")
    io.set_read(rados.LIBRADOS_SNAP_HEAD)
    for snap in snaps[1:]:
        io.remove_self_managed_snap(snap)
    io.close()


def pools(cluster: rados.Rados) -> None:
    attempt(lambda: cluster.create_pool("made-by-librados"))
    attempt(lambda: cluster.create_pool("made-by-librados"))
    attempt(lambda: cluster.delete_pool("made-by-librados"))
    attempt(cluster.get_cluster_stats)
    attempt(lambda: cluster.ping_monitor("a"))
    attempt(cluster.wait_for_latest_osdmap)
    attempt(lambda: cluster.monitor_log("info", lambda *a: None))
    attempt(lambda: cluster.blocklist_add("127.0.0.9:0/12345", 60))


def errors(cluster: rados.Rados, pool: str) -> None:
    """Failed writes are logged in the PG, which tells its replicas (MOSDPGUpdateLogMissing)."""
    io = cluster.open_ioctx(pool)
    for i in range(8):
        name = f"exclusive{i}"
        for _ in range(3):
            with rados.WriteOpCtx() as op:
                op.new(rados.LIBRADOS_CREATE_EXCLUSIVE)
                op.write(b"1")
                attempt(lambda op=op, name=name: io.operate_write_op(op, name))
        attempt(lambda i=i: io.remove_object(f"nothing{i}"))
    io.close()


def load(cluster: rados.Rados, pool: str, seconds: float) -> None:
    """Small writes, reads and deletes over few objects, many in flight."""
    io = cluster.open_ioctx(pool)
    end = time.monotonic() + seconds
    i = 0
    while time.monotonic() < end:
        waiting = []
        for _ in range(16):
            i += 1
            name = f"load{i % 200}"
            match i % 5:
                case 0:
                    waiting.append(io.aio_read(name, 200, 0, lambda *a: None))
                case 1:
                    waiting.append(io.aio_remove(f"load{(i + 40) % 200}"))
                case 2:
                    waiting.append(io.aio_append(name, b"a" * 100))
                case _:
                    waiting.append(io.aio_write_full(name, bytes([i % 256]) * (i % 700)))
        for completion in waiting:
            completion.wait_for_complete()
    print(i)
    io.close()


def service(cluster: rados.Rados) -> None:
    """A registered service opens, reports to and closes a session with the manager."""
    cluster.service_daemon_register("recorder", "one", {"version": "1"})
    time.sleep(6)
    cluster.service_daemon_update({"state": "well"})
    time.sleep(8)


def cephfs(seconds: float) -> None:
    """Two clients of a file system; failed steps are passed over, work goes on."""
    fs = libcephfs.LibCephFS(conffile=os.environ["CEPH_CONF"])
    other = libcephfs.LibCephFS(conffile=os.environ["CEPH_CONF"])
    fs.mount(filesystem_name="cephfs")
    other.mount()
    name = f"/d{os.getpid()}"
    attempt(lambda: fs.mkdir(name, 0o755))
    attempt(lambda: fs.mkdir(f"{name}/sub", 0o755))
    for i in range(20):
        attempt(lambda i=i: _write_file(fs, f"{name}/f{i}", b"data" * (i + 1)))
    attempt(lambda: fs.rename(f"{name}/f1", f"{name}/g1"))
    attempt(lambda: fs.rename(f"{name}/f2", f"{name}/sub/g2"))
    attempt(lambda: fs.link(f"{name}/g1", f"{name}/l1"))
    attempt(lambda: fs.symlink("g1", f"{name}/s1"))
    attempt(lambda: fs.setxattr(f"{name}/g1", "user.a", b"1", 0))
    attempt(lambda: fs.setxattr(f"{name}/sub", "ceph.quota.max_files", b"100", 0))
    attempt(lambda: fs.setxattr(name, "ceph.dir.pin", b"1", 0))
    attempt(lambda: fs.chmod(f"{name}/g1", 0o600))
    attempt(lambda: fs.truncate(f"{name}/g1", 100))
    attempt(lambda: fs.mkdir(f"{name}/.snap/one", 0o755))
    attempt(lambda: _write_file(fs, f"{name}/f3", b"after the snapshot"))
    attempt(lambda: _read_file(other, f"{name}/.snap/one/f3"))
    attempt(lambda: _list(other, name))
    attempt(lambda: fs.statfs("/"))
    attempt(lambda: fs.unlink(f"{name}/l1"))
    end = time.monotonic() + seconds
    mine = fs.open(f"{name}/shared", "w+", 0o644)
    theirs = other.open(f"{name}/shared", "w+", 0o644)
    while time.monotonic() < end:
        for i in range(5):
            attempt(lambda i=i: fs.write(mine, b"1" * 10, i * 10))
            attempt(lambda: other.read(theirs, 0, 10))
            attempt(lambda i=i: other.write(theirs, b"2" * 10, i * 10))
            attempt(lambda i=i: _write_file(other, f"{name}/more{i}", b"more"))
            attempt(lambda i=i: fs.unlink(f"{name}/more{i}"))
        time.sleep(1)
    attempt(lambda: fs.flock(mine, 2, 1))
    attempt(lambda: fs.flock(mine, 8, 1))
    attempt(lambda: fs.rmdir(f"{name}/.snap/one"))
    fs.close(mine)
    other.close(theirs)
    attempt(fs.sync_fs)
    time.sleep(3)
    other.unmount()
    fs.unmount()


def _write_file(fs: libcephfs.LibCephFS, path: str, data: bytes) -> None:
    fd = fs.open(path, "w", 0o644)
    fs.write(fd, data, 0)
    fs.fsync(fd, 0)
    fs.close(fd)


def _read_file(fs: libcephfs.LibCephFS, path: str) -> None:
    fd = fs.open(path, "r", 0)
    fs.read(fd, 0, 100)
    fs.close(fd)


def _list(fs: libcephfs.LibCephFS, path: str) -> None:
    handle = fs.opendir(path)
    while fs.readdir(handle):
        pass
    fs.closedir(handle)


def removals(cluster: rados.Rados, pool: str, what: str) -> None:
    """Many objects written, or most of them removed."""
    io = cluster.open_ioctx(pool)
    for i in range(300):
        if what == "write":
            io.write_full(f"removed{i}", b"x" * 50)
        elif i % 5:
            attempt(lambda i=i: io.remove_object(f"removed{i}"))
    io.close()


def main() -> None:
    what, *arguments = sys.argv[1:]
    if what == "cephfs":
        cephfs(float(arguments[0]))
        return
    cluster = rados.Rados(conffile=os.environ["CEPH_CONF"])
    cluster.connect(timeout=30)
    match what:
        case "rados":
            compound(cluster, arguments[0])
        case "snaps":
            self_managed(cluster, arguments[0])
        case "pools":
            pools(cluster)
        case "errors":
            errors(cluster, arguments[0])
        case "load":
            load(cluster, arguments[0], float(arguments[1]))
        case "removals":
            removals(cluster, arguments[0], arguments[1])
        case "service":
            service(cluster)
    cluster.shutdown()


main()
