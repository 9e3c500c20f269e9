"""A program that uses `rados`, whichever is named: it prints what each step gave, or raised.

Run as `python rados_body.py MODULE CONF`, by an interpreter that has the module, against a cluster
that forgets nothing of it afterwards but an empty pool's name. What it prints is the same four ways
(see test_rados_four_ways.py); what differs between any two clusters is not printed.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
import threading
import time

rados = importlib.import_module(sys.argv[1])
CONF = sys.argv[2]
POOL = "four ways"


def shown(value):
    text = re.sub(r"0x[0-9a-f]+", "0x", repr(value))
    return re.sub(r"(spirula\.)?rados\.(\w+\.)*(?=[A-Z])", "rados.", text)


def step(name, *calls):
    """Do something; print what came of it."""
    for call in calls:
        try:
            said = shown(call())
        except Exception as error:  # noqa: BLE001 - what comes of it is told
            fields = dict(sorted(vars(error).items()))
            said = f"{type(error).__name__} | {error} | {fields}"
        print(name, "->", said, flush=True)


def ended(completion):
    completion.wait_for_complete_and_cb()
    return completion.get_return_value(), completion.is_complete(), completion.is_safe()


def configuration():
    handle = rados.Rados(conffile=CONF)
    step("new", lambda: (handle.state, handle.rados_id, handle.parsed_args, handle.conf_defaults))
    step("get", lambda: handle.conf_get("mon_host")[:4], lambda: handle.conf_get("none"))
    step("set", lambda: handle.conf_set("none", "1"), lambda: handle.conf_set("mon_lease", "x"))
    step("set", lambda: handle.conf_set(1, 2), lambda: handle.conf_set("debug_ms", "0/5"))
    step("set", lambda: handle.conf_get("debug_ms"))
    words = ["--none", "--mon-client-hunt-interval", "7", "x", "-n", "client.x"]
    step("argv", lambda: handle.conf_parse_argv(words), lambda: handle.conf_parse_argv(None))
    step("argv", lambda: handle.conf_parse_argv(["prog", "--debug-ms=3", "--", "--debug-mon=3"]))
    step("argv", lambda: handle.conf_get("mon_client_hunt_interval"), lambda: handle.parsed_args)
    step("env", lambda: handle.conf_parse_env("NOTHING"))
    step("no file", lambda: rados.Rados(conffile="/none"))
    step("names", lambda: rados.Rados(name="a.b"), lambda: rados.Rados(name="invalid"))
    step("names", lambda: rados.Rados(rados_id="a", name="client.a"))
    step("options", lambda: rados.Rados(conf={"none": "1"}), lambda: rados.Rados().state)
    step("too early", lambda: handle.open_ioctx("x"), handle.list_pools)
    return handle


def cluster(handle):
    step("connect", handle.connect, handle.connect)
    step("read file", handle.conf_read_file)
    step("open", lambda: handle.open_ioctx("none"), lambda: handle.open_ioctx(4))
    step("open", lambda: handle.open_ioctx2(4711))
    step("look up", lambda: handle.pool_lookup("none"), lambda: handle.pool_reverse_lookup(4711))
    step("exists", lambda: handle.pool_exists("none"), lambda: handle.delete_pool("none"))
    step("create", lambda: handle.create_pool(POOL), lambda: handle.create_pool(POOL))
    step("create", lambda: handle.create_pool("x", crush_rule=99))
    step("create", lambda: handle.create_pool("x", auid=3), lambda: handle.create_pool(5))
    number = handle.pool_lookup(POOL)
    step("pool", lambda: handle.pool_reverse_lookup(number), lambda: handle.pool_exists(POOL))
    step("tier", lambda: handle.get_pool_base_tier(number) == number)
    step("tier", lambda: handle.get_pool_base_tier(4711))
    step("about", lambda: len(handle.get_fsid()), lambda: handle.get_instance_id() > 0)
    step("about", lambda: re.fullmatch(r"[\d.]+:0/\d+", handle.get_addrs()) is not None)
    step("about", lambda: str(handle.version()), handle.wait_for_latest_osdmap)
    step("stats", lambda: sorted(handle.get_cluster_stats()))
    step("blocklist", lambda: handle.blocklist_add("x", 1))
    step("blocklist", lambda: handle.blocklist_add("1.2.3.4:0/123", 1))
    fsid = json.dumps({"prefix": "fsid"})
    step("mon", lambda: handle.mon_command('{"prefix":"none"}', b""))
    step("mon", lambda: handle.mon_command(fsid, b"")[1].decode().strip() == handle.get_fsid())
    step("mon", lambda: handle.mon_command({"prefix": "fsid"}, b""))
    step("mon", lambda: handle.mon_command(fsid, "x"))
    step("mon", lambda: handle.mon_command(fsid, b"", target="zz"))
    step("mon", lambda: handle.mon_command('{"prefix":"version"}', b"", target="a")[0])
    version = '{"prefix":"version"}'
    step("osd", lambda: handle.osd_command(77, version, b""))
    step("osd", lambda: sorted(json.loads(handle.osd_command(0, version, b"")[1])))
    step("osd", lambda: handle.osd_command(0, '{"prefix":"none"}', b""))
    step("pg", lambda: handle.pg_command("9999.0", '{"prefix":"query"}', b""))
    step("ping", lambda: handle.ping_monitor("none"))
    step("service", lambda: handle.service_daemon_update({"a": "b"}))
    step("service", lambda: handle.service_daemon_register("laundry", "x", {"a": "b"}))
    step("service", lambda: handle.service_daemon_register("laundry", "x", {"a": "b"}))
    step("service", lambda: handle.service_daemon_update({"a": "b"}))
    step("log", lambda: handle.monitor_log("none", print), lambda: handle.monitor_log("info", 5))
    step("log", lambda: handle.monitor_log2("info", lambda *line: None, 1))
    step("log", lambda: (handle.monitor_callback2 is not None, handle.monitor_log("info", None)))
    step("log", lambda: rados.MonitorLog(handle, "debug", None, None) is not None)


def data(ioctx):
    step("new", lambda: (ioctx.name, ioctx.state, ioctx.locator_key, ioctx.nspace))
    step("read", lambda: ioctx.read("x"), lambda: ioctx.read(""))
    step("write", lambda: ioctx.write("x", b"abc"), lambda: ioctx.write("x", "abc"))
    step("write", lambda: ioctx.write(1, b"abc"), lambda: ioctx.write(b"x", b"abc"))
    step("write", lambda: ioctx.write("", b"abc"), lambda: ioctx.write("x", b"z", 5))
    step("write", lambda: ioctx.read("x"), lambda: ioctx.write_full("x", b"abcdef"))
    step("append", lambda: ioctx.append("x", b"gh"), lambda: ioctx.trunc("x", 7))
    step("same", lambda: ioctx.writesame("w", b"ab", 7), lambda: ioctx.writesame("w", b"ab", 8))
    step("read", lambda: (ioctx.read("w"), ioctx.read("x", 1), ioctx.read("x", 10, 2)))
    step("read", lambda: ioctx.read("x", 5, 10), lambda: ioctx.read("x", 0))
    step("read", lambda: ioctx.read(key="x", length=2, offset=1))
    step("version", lambda: ioctx.get_last_version() > 0, ioctx.alignment)
    step("trunc", lambda: ioctx.trunc("none", 5), lambda: ioctx.trunc("x", -1))
    step("stat", lambda: ioctx.stat("x")[0], lambda: len(ioctx.stat("x")[1]))
    step("stat", lambda: ioctx.stat("none"), lambda: ioctx.remove_object("none"))
    step("compare", lambda: ioctx.cmpext("x", b"abc"), lambda: ioctx.cmpext("x", b"bd", 1))
    step("xattr", lambda: ioctx.get_xattr("x", "none"), lambda: ioctx.get_xattr("none", "none"))
    step("xattr", lambda: ioctx.set_xattr("x", "k", b"v\0"), lambda: ioctx.get_xattr("x", "k"))
    step("xattr", lambda: ioctx.set_xattr("x", "k", "v"), lambda: list(ioctx.get_xattrs("x")))
    step("xattr", lambda: ioctx.set_xattr("x", "l" * 300, b"v"))
    step("xattr", lambda: ioctx.rm_xattr("x", "k"), lambda: ioctx.rm_xattr("x", "k"))
    step("xattr", lambda: ioctx.rm_xattr("none", "k"), lambda: list(ioctx.get_xattrs("none")))
    step("class", lambda: ioctx.execute("x", "hello", "say_hello", b"you"))
    step("class", lambda: ioctx.execute("x", "hello", "say_hello", b"you", 3))
    step("class", lambda: ioctx.execute("x", "hello", "none", b""))
    step("class", lambda: ioctx.execute("x", "none", "none", b""))
    step("class", lambda: ioctx.execute("none", "hello", "say_hello", b""))
    step("object", lambda: objects(ioctx))
    ioctx.remove_object("x")
    ioctx.remove_object("w")


def objects(ioctx):
    one = rados.Object(ioctx, "x")
    step("object", lambda: (str(one), one.key, one.nspace, one.locator_key, one.offset, one.state))
    step("object", lambda: (one.read(3), one.offset, one.read(), one.offset, one.read()))
    step("object", lambda: (one.seek(1), one.read(1), one.write(b"zz"), one.offset))
    step("object", lambda: (one.stat()[0], one.set_xattr("a", b"1"), list(one.get_xattrs())))
    step("object", lambda: (one.get_xattr("a"), one.rm_xattr("a")))
    gone = rados.Object(ioctx, "gone", nspace="elsewhere", locator_key="key")
    step("object", lambda: (gone.write(b"1"), gone.stat()[0], gone.remove(), gone.state))
    step("object", gone.read, gone.stat, lambda: str(gone))
    # Debian's does not go back from an object's place when its method raises.
    ioctx.set_namespace("")
    ioctx.set_locator_key("")
    return one == rados.Object(ioctx, "x")


def vectors(ioctx):
    step("write op", lambda: ioctx.set_omap("x", ("a",), (b"b",)))
    with rados.WriteOpCtx() as op:
        step("write op", lambda: ioctx.set_omap(op, ("a", "b"), (b"b",)), op.new)
        op.new(rados.LIBRADOS_CREATE_EXCLUSIVE)
        ioctx.set_omap(op, ("a", "b", "c"), (b"1", "2", b"\0\xff"))
        op.set_xattr("k", b"v")
        op.write_full(b"12345")
        op.write(b"x", 2)
        op.zero(2, 2)  # Debian's takes the length first, whatever it says
        op.append(b"end")
        op.truncate(7)
        step("write op", lambda: ioctx.operate_write_op(op, "v"), lambda: ioctx.read("v"))
        step("empty", lambda: ioctx.operate_write_op(op, "v"))
        step("empty", lambda: ended(ioctx.operate_aio_write_op(op, "v")))
    for fill in (
        lambda op: op.new(rados.LIBRADOS_CREATE_EXCLUSIVE),
        lambda op: op.assert_version(99999),
        lambda op: op.cmpext(b"12y"),
        lambda op: op.omap_cmp("a", "2"),
        lambda op: op.execute("none", "none", b""),
        lambda op: (op.rm_xattr("none"), op.set_flags(rados.LIBRADOS_OP_FLAG_FAILOK)),
    ):
        with rados.WriteOpCtx() as op:
            fill(op)
            op.remove()
            step("guarded", lambda op=op: ioctx.operate_write_op(op, "v"))
            step("guarded", lambda op=op: ioctx.operate_write_op(op, "v"))
    with rados.WriteOpCtx() as op:
        op.omap_cmp("a", "1")
        op.writesame(b"rz", 4)
        ioctx.remove_omap_keys(op, ("a",))
        op.execute("hello", "record_hello", b"us")
        step("guarded", lambda: ioctx.operate_write_op(op, "v"))
        ioctx.set_omap(op, ("a", "ab", "c"), (b"1", b"2", b"3"))
        op.write_full(b"1")
        step("mtime", lambda: ioctx.operate_write_op(op, "m", mtime=1000000))
        step("mtime", lambda: time.mktime(ioctx.stat("m")[1]))
    for ask in (
        lambda op: ioctx.get_omap_vals(op, "", "", 2),
        lambda op: ioctx.get_omap_vals(op, "a", "a", 9),
        lambda op: ioctx.get_omap_keys(op, "a", 9),
        lambda op: ioctx.get_omap_vals_by_keys(op, ("c", "none")),
    ):
        for oid in ("m", "none"):
            with rados.ReadOpCtx() as op:
                found, result = ask(op)
                step("read op", lambda result=result: result)
                step("read op", lambda op=op, oid=oid: ioctx.operate_read_op(op, oid))
                step("read op", lambda found=found: list(found))
    with rados.ReadOpCtx() as op:
        op.cmpext(b"12")
        step("read op", lambda: ioctx.operate_read_op(op, "m"))
        found, _ = ioctx.get_omap_keys(op, "", 9)
        step("read op", lambda: ended(ioctx.operate_aio_read_op(op, "m")), lambda: list(found))
    with rados.WriteOpCtx() as op:
        ioctx.remove_omap_range2(op, "a", "b")
        step("range", lambda: ioctx.operate_write_op(op, "m"))
        ioctx.clear_omap(op)
        op.remove()
        step("clear", lambda: ioctx.operate_write_op(op, "m"), lambda: ioctx.remove_object("m"))


def asynchronous(ioctx):
    told = []

    def keep(completion, *arguments):
        told.append(arguments)

    step("aio", lambda: ended(ioctx.aio_write("y", b"abc", 1, keep, keep)))
    step("aio", lambda: ended(ioctx.aio_append("y", b"d", keep)))
    step("aio", lambda: ended(ioctx.aio_read("y", 10, 0, keep)))
    step("aio", lambda: ended(ioctx.aio_read("y", 2, 1, keep)))
    step("aio", lambda: ended(ioctx.aio_read("none", 10, 0, keep)))
    step("aio", lambda: ended(ioctx.aio_write_full("y", b"e", keep)))
    step("aio", lambda: ended(ioctx.aio_writesame("y", b"fg", 6, 1, keep)))
    step("aio", lambda: ended(ioctx.aio_cmpext("y", b"f", 0)))
    step("aio", lambda: ended(ioctx.aio_stat("none", keep)))
    step("aio", lambda: ended(ioctx.aio_stat("y", lambda done, size, mtime: told.append(size))))
    step("aio", lambda: ended(ioctx.aio_setxattr("y", "k", b"v")))
    step("aio", lambda: ended(ioctx.aio_rmxattr("y", "k", keep)))
    step("aio", lambda: ended(ioctx.aio_execute("y", "hello", "say_hello", b"x", 32, keep, keep)))
    step("aio", lambda: ended(ioctx.aio_execute("y", "hello", "say_hello", b"x", 3, keep)))
    step("aio", lambda: ended(ioctx.aio_execute("y", "hello", "none", b"x", 32, keep)))
    step("aio", lambda: ended(ioctx.aio_notify("y", keep)))
    step("aio", lambda: ended(ioctx.aio_notify("none", keep)))
    many = [ioctx.aio_append("y", b"%d" % n) for n in range(10)]
    step("flush", ioctx.aio_flush, lambda: all(one.is_safe() for one in many))
    step("order", lambda: ioctx.read("y"))
    step("aio", lambda: ended(ioctx.aio_remove("y", keep, keep)), lambda: told)


def watching(handle, ioctx):
    ioctx.write("w", b"")
    heard, lost = [], []
    seen = threading.Event()

    def answer(notify_id, notifier_id, watch_id, told):
        heard.append((notify_id > 0, notifier_id == handle.get_instance_id(), told))
        return b"re: " + (told or b"nothing")

    def lose(watch_id, error):
        lost.append(error)
        seen.set()

    watch = ioctx.watch("w", answer, lose)
    step("watch", lambda: watch.get_id() > 0, lambda: watch.check().total_seconds() < 60)
    step("notify", lambda: ioctx.notify("w", "hello"), lambda: heard)
    answers = []

    def acks(completion, result, acks, missed):
        answers.append((result, [(acks[0][0] == handle.get_instance_id(), acks[0][2])], missed))

    step("notify", lambda: ended(ioctx.aio_notify("w", acks, "again")), lambda: answers)
    step("none", lambda: ioctx.notify("none", "x"), lambda: ioctx.watch("none", answer))
    step("removed", lambda: ioctx.remove_object("w"), lambda: seen.wait(100), lambda: lost)
    step("removed", watch.check)
    ioctx.write("w", b"")
    with ioctx.watch("w", answer) as second:
        step("watch", lambda: second.get_id() > 0)
        step("watch", lambda: ioctx.notify("w"), lambda: heard[-1])
    step("closed", second.get_id, second.check, second.close)
    step("nobody", lambda: ioctx.notify("w"), lambda: ioctx.remove_object("w"))


def locks(ioctx):
    step("lock", lambda: ioctx.lock_exclusive("l", "a", "c", "mine", 100))
    step("lock", lambda: ioctx.lock_exclusive("l", "a", "c"))
    step("lock", lambda: ioctx.lock_exclusive("l", "a", "other"))
    step("lock", lambda: ioctx.unlock("l", "a", "c"), lambda: ioctx.unlock("l", "a", "c"))
    step("lock", lambda: ioctx.lock_shared("l", "b", "c", "tag", "d", 5, 0))
    step("lock", lambda: ioctx.lock_shared("l", "b", "d", "tag"))
    step("lock", lambda: ioctx.lock_shared("l", "b", "e", "another"))
    step("lock", lambda: ioctx.lock_exclusive("l", "b", "f"), lambda: ioctx.remove_object("l"))


def listings(ioctx):
    def listed():
        return sorted((one.nspace, one.key, one.locator_key) for one in ioctx.list_objects())

    ioctx.write("a", b"1")
    ioctx.set_locator_key("key")
    ioctx.write("b", b"1")
    step("key", lambda: (ioctx.get_locator_key(), ioctx.set_locator_key("")), listed)
    step("names", lambda: ioctx.set_locator_key(5), lambda: ioctx.read("b"))
    ioctx.set_namespace("space")
    ioctx.write("a", b"2")
    step("space", listed, lambda: (ioctx.get_namespace(), ioctx.nspace))
    ioctx.set_namespace(rados.LIBRADOS_ALL_NSPACES)
    step("all", listed)
    everything = list(ioctx.list_objects())
    ioctx.set_namespace("")
    step("remove", lambda: [one.remove() for one in everything], listed)


def snapshots(ioctx):
    ioctx.write_full("s", b"first")
    step("snap", lambda: ioctx.create_snap("one"), lambda: ioctx.create_snap("one"))
    ioctx.write_full("s", b"second")
    step("snap", lambda: ioctx.create_snap("two"), lambda: [s.name for s in ioctx.list_snaps()])
    snap = ioctx.lookup_snap("one")
    step("snap", lambda: (snap.name, snap.snap_id), lambda: type(snap.get_timestamp()).__name__)
    step("snap", lambda: ioctx.lookup_snap("none"), lambda: ioctx.remove_snap("none"))
    ioctx.set_read(snap.snap_id)
    step("snap", lambda: ioctx.read("s"), lambda: ioctx.write("s", b"x"))
    ioctx.set_read(rados.LIBRADOS_SNAP_HEAD)
    step("rollback", lambda: ioctx.snap_rollback("s", "none"))
    step("rollback", lambda: ioctx.snap_rollback("s", "one"), lambda: ioctx.read("s"))
    step("mixed", ioctx.create_self_managed_snap)
    step("snap", lambda: ioctx.remove_snap("one"), lambda: ioctx.remove_snap("two"))
    step("snap", lambda: list(ioctx.list_snaps()), lambda: ioctx.remove_object("s"))


def self_managed(handle):
    handle.create_pool("own snapshots")
    with handle.open_ioctx("own snapshots") as ioctx:
        ioctx.write("s", b"one")
        first = ioctx.create_self_managed_snap()
        ioctx.set_self_managed_snap_write([first])
        ioctx.write("s", b"two")
        second = ioctx.create_self_managed_snap()
        ioctx.set_self_managed_snap_write([first, second])
        ioctx.write("s", b"six")
        step("own", lambda: second > first, lambda: ioctx.rollback_self_managed_snap("s", first))
        step("own", lambda: ioctx.read("s"), lambda: ioctx.rollback_self_managed_snap("s", second))
        step("own", lambda: ioctx.read("s"), lambda: ioctx.create_snap("mixed"))
        step("own", lambda: ioctx.remove_self_managed_snap(first))
        step("own", lambda: ioctx.remove_self_managed_snap(4711))
        step("alike", lambda: ioctx.dup().read("s"))
    handle.delete_pool("own snapshots")


def applications(ioctx):
    step("stats", lambda: sorted(ioctx.get_stats()), ioctx.get_pool_name)
    step("app", ioctx.application_list, lambda: ioctx.application_enable("a"))
    step("app", lambda: ioctx.application_enable("b"), lambda: ioctx.application_enable("b", True))
    step("app", lambda: ioctx.application_metadata_set("a", "k", "v"))
    step("app", lambda: ioctx.application_metadata_set("none", "k", "v"))
    step("app", lambda: ioctx.application_metadata_get("a", "k"))
    step("app", lambda: ioctx.application_metadata_get("a", "none"))
    step("app", lambda: ioctx.application_metadata_list("a"))
    step("app", lambda: ioctx.application_metadata_list("none"))
    step("app", lambda: ioctx.application_metadata_remove("a", "k"))
    step("app", ioctx.application_list)
    step("full", lambda: (ioctx.set_osdmap_full_try(), ioctx.unset_osdmap_full_try()))


def ends(handle, ioctx):
    step("end", lambda: ioctx.__exit__(None, None, None), lambda: ioctx.read("x"))
    step("end", lambda: (ioctx.state, ioctx.close()), ioctx.list_objects)
    step("end", lambda: handle.delete_pool(POOL), lambda: (handle.shutdown(), handle.state))
    step("end", handle.list_pools, lambda: handle.conf_get("x"))
    step("end", handle.shutdown, handle.connect)
    nowhere = {"mon_host": "v2:127.0.0.1:1", "client_mount_timeout": "1"}
    step("refused", lambda: rados.Rados(conffile=CONF, conf=nowhere).connect())
    step("refused", lambda: rados.Rados(conffile=CONF, rados_id="none").connect())
    wrong = {"key": "AQBZZZZfAAAAABAAq8Zq8Zq8Zq8Zq8Zq8Zq8Zg=="}
    step("refused", lambda: rados.Rados(conffile=CONF, conf=wrong).connect())


def main():
    handle = configuration()
    cluster(handle)
    ioctx = handle.open_ioctx(POOL)
    data(ioctx)
    vectors(ioctx)
    asynchronous(ioctx)
    watching(handle, ioctx)
    locks(ioctx)
    listings(ioctx)
    snapshots(ioctx)
    self_managed(handle)
    applications(ioctx)
    ends(handle, ioctx)
    print("that is all", flush=True)


if __name__ == "__main__":
    main()
