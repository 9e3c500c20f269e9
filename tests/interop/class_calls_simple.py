"""Scripts of calls: classes that keep little (hello, lock, refcount, version, logs, numbers)."""

from __future__ import annotations

from spirula.types.base import UTime
from spirula.types.cls import lock, log, refcount, timeindex, version
from spirula.types.cls.lock import LockFlag, LockType
from spirula.types.cls.numops import NumberOp
from spirula.types.entity import EntityAddr, EntityName
from tests.interop.class_scripts import Call, Put, script

EARLY = UTime(1000, 5_000_000)
LATE = UTime(4_000_000_000, 0)


@script("hello")
def hello():
    def call(method, data=b""):
        return Call("hello", method, data)

    yield call("say_hello", b"nobody")
    yield call("replay")
    yield call("record_hello")
    yield call("record_hello")
    for data in (b"", b"you", b"y" * 100, b"y" * 101):
        yield call("say_hello", data)
    yield call("replay")
    yield call("turn_it_to_11", b"x")
    yield call("turn_it_to_11")
    yield call("replay")
    yield call("write_return_data", b"x")
    yield call("write_return_data")
    yield call("writes_dont_return_data")
    yield call("write_too_much_return_data")
    yield call("bad_reader")
    yield call("bad_writer", b"data")
    yield call("nosuch")
    yield Call("nosuch", "nosuch")
    yield Put("data", value=bytes(range(256)))
    yield call("turn_it_to_11")


@script("hello of long names")
def hello_long():
    yield Call("hello", "record_hello", b"y" * 101)
    yield Call("hello", "record_hello", b"y" * 100)


LOCKS = {"xattr:lock.": lock.LockInfo}


def take(name, cookie="c", kind=LockType.EXCLUSIVE, *, tag="", flags=0, duration=0, text="d"):
    op = lock.LockOp(name, kind, cookie, tag, text, UTime(duration, 0), flags)
    return Call("lock", "lock", op)


def info(name):
    return Call("lock", "get_info", lock.GetInfoOp(name), lock.GetInfoReply)


def release(name, cookie="c"):
    return Call("lock", "unlock", lock.UnlockOp(name, cookie))


def held_by_other(kind, *, until=None, tag="", client=77):
    holder = lock.LockerId(EntityName(8, client), "c")
    other = lock.LockerInfo(until or UTime(), EntityAddr.parse("v1:10.0.0.1:0/5"), "other")
    return lock.LockInfo({holder: other}, kind, tag).encode()


@script("locks", kinds=LOCKS)
def locks():
    yield info("a")
    yield release("a")
    yield take("")
    yield take("a", kind=0)
    yield take("a", kind=4)
    yield take("a", flags=LockFlag.MUST_RENEW)
    yield take("a", flags=3)
    yield take("a")
    yield take("a")
    yield take("a", flags=LockFlag.MAY_RENEW, duration=1000, text="renewed")
    yield take("a", flags=LockFlag.MUST_RENEW, duration=4_000_000_000)
    yield take("a", "other")
    yield take("a", "other", LockType.SHARED)
    yield take("a", tag="t", flags=LockFlag.MAY_RENEW)
    yield info("a")
    yield take("shared", kind=LockType.SHARED, tag="t")
    yield take("shared", "second", LockType.SHARED, tag="t")
    yield take("shared", "third", LockType.SHARED, tag="u")
    yield take("shared", "third", LockType.EXCLUSIVE, tag="t")
    yield take("shared", "second", LockType.EXCLUSIVE, tag="t", flags=LockFlag.MAY_RENEW)
    yield Call("lock", "list_locks", b"", lock.ListLocksReply)
    for cookie, tag, kind in (
        ("c", "t", 2),
        ("d", "t", 2),
        ("c", "", 2),
        ("c", "t", 1),
        ("c", "t", 9),
    ):
        yield Call("lock", "assert_locked", lock.AssertOp("shared", kind, cookie, tag))
        yield Call("lock", "set_cookie", lock.SetCookieOp("shared", kind, cookie, tag, "second"))
        yield Call("lock", "set_cookie", lock.SetCookieOp("shared", kind, cookie, tag, "c"))
    yield Call("lock", "assert_locked", lock.AssertOp("nosuch", 2, "c", "t"))
    yield Call("lock", "assert_locked", lock.AssertOp("", 2, "c", "t"))
    yield Call("lock", "set_cookie", lock.SetCookieOp("nosuch", 2, "c", "t", "u"))
    yield Call("lock", "set_cookie", lock.SetCookieOp("shared", 2, "c", "t", "fourth"))
    yield info("shared")
    yield release("shared", "c")
    yield release("shared", "fourth")
    yield release("shared", "second")
    yield info("shared")
    yield release("a")
    yield Call("lock", "list_locks", b"", lock.ListLocksReply)


@script("locks of others", kinds=LOCKS)
def locks_of_others():
    yield Put("xattr", "lock.a", held_by_other(LockType.EXCLUSIVE, tag="t"))
    yield info("a")
    yield take("a", tag="t")
    yield release("a")
    yield Call("lock", "break_lock", lock.BreakOp("a", EntityName(8, 78), "c"))
    yield Call("lock", "break_lock", lock.BreakOp("a", EntityName(8, 77), "d"))
    yield Call("lock", "break_lock", lock.BreakOp("a", EntityName(8, 77), "c"))
    yield take("a", tag="u")
    yield Put("xattr", "lock.b", held_by_other(LockType.EXCLUSIVE, tag="t", until=EARLY))
    yield info("b")
    yield take("b", tag="u")
    yield Put("xattr", "lock.c", held_by_other(LockType.SHARED, tag="t", until=LATE))
    yield take("c", kind=LockType.SHARED, tag="t")
    yield info("c")
    yield Put("xattr", "lock.damaged", b"\1\1\xff\0\0\0")
    yield from (info("damaged"), take("damaged"), release("damaged"))
    yield Call("lock", "list_locks", b"", lock.ListLocksReply)


@script("ephemeral locks", kinds=LOCKS)
def ephemeral_locks():
    kind = LockType.EXCLUSIVE_EPHEMERAL
    yield take("e", kind=kind)
    yield take("e", "d", kind=kind)
    yield info("e")
    yield release("e")
    yield Put("xattr", "lock.e", held_by_other(kind, until=EARLY))
    yield info("e")
    yield Call("lock", "assert_locked", lock.AssertOp("e", kind, "c", ""))
    yield take("e", kind=kind)
    yield Put("xattr", "lock.e", held_by_other(kind, until=EARLY))
    yield release("e")
    yield Put("xattr", "lock.e", held_by_other(kind))
    yield Call("lock", "break_lock", lock.BreakOp("e", EntityName(8, 77), "c"))


@script("refcount", kinds={"xattr:refcount": refcount.ObjRefcount})
def references():
    def get(tag, *, implicit=False):
        return Call("refcount", "get", refcount.GetOp(tag, implicit))

    def put(tag, *, implicit=False):
        return Call("refcount", "put", refcount.PutOp(tag, implicit))

    def read(*, implicit=False):
        return Call("refcount", "read", refcount.ReadOp(implicit), refcount.ReadRet)

    yield get("a")
    yield put("a")
    yield read()
    yield Put("data", value=b"x")
    yield read()
    yield read(implicit=True)
    yield put("a")
    yield get("b", implicit=True)
    yield get("a", implicit=True)
    yield read()
    yield put("b")
    yield put("b")
    yield get("b")
    yield put("b")
    yield put("unknown")
    yield put("unknown", implicit=True)
    yield put("other", implicit=True)
    yield put("a")
    yield read()
    yield put("b")
    yield Put("data", value=b"x")
    yield put("zz", implicit=True)
    yield Put("data", value=b"x")
    yield Call("refcount", "set", refcount.SetOp(["q", "p", "q"]))
    yield read()
    yield Call("refcount", "set", refcount.SetOp([]))
    yield Call("refcount", "set", refcount.SetOp([]))
    yield Put("xattr", "refcount", b"\2\1\4\0\0\0\1\0\0\0")
    yield from (get("a"), put("a"), read())


@script("version", kinds={"xattr:ceph.objclass.version": version.ObjVersion}, vague={"tag"})
def versions():
    def inc(*conditions):
        return Call("version", "inc_conds", version.IncOp(version.ObjVersion(), list(conditions)))

    def check(*conditions):
        return Call(
            "version", "check_conds", version.CheckOp(version.ObjVersion(), list(conditions))
        )

    read = Call("version", "read", b"anything", version.ReadRet)
    yield read
    yield inc(version.ObjVersionCond(version.ObjVersion(5, "t"), version.VersionCond.EQ))
    yield Call("version", "inc", version.IncOp())
    yield read
    yield Call("version", "set", version.SetOp(version.ObjVersion(7, "t")))
    for number in (6, 7, 8):
        for tag in "tu":
            for kind in range(9):
                yield check(version.ObjVersionCond(version.ObjVersion(number, tag), kind))
                yield check(
                    version.ObjVersionCond(),
                    version.ObjVersionCond(version.ObjVersion(number, tag), kind),
                )
    yield inc(version.ObjVersionCond(version.ObjVersion(7, "t"), version.VersionCond.EQ))
    yield inc(version.ObjVersionCond(version.ObjVersion(7, "t"), version.VersionCond.EQ))
    yield Call("version", "set", version.SetOp(version.ObjVersion(0xFFFFFFFFFFFFFFFF, "t")))
    yield inc()
    yield read
    yield inc()
    yield Call("version", "set", version.SetOp())
    yield inc()
    yield Put("xattr", "ceph.objclass.version", b"\1\1\5\0\0\0")
    yield from (read, inc(), check())


@script("log", kinds={"1_": log.LogEntry})
def logs():
    def entry(second, name, id=""):
        return log.LogEntry("section", name, UTime(second, 1_234_567), name.encode(), id)

    def listed(first=0, last=0, *, marker="", most=0):
        op = log.ListOp(UTime(first, 0), marker, UTime(last, 0), most)
        return Call("log", "list", op, log.ListRet)

    def trim(first=0, last=0, start="", end=""):
        return Call(
            "log", "trim", log.TrimOp(UTime(first, 0), UTime(last, 999_999_999), start, end)
        )

    info = Call("log", "info", log.InfoOp(), log.InfoRet)
    yield listed()
    yield info
    yield trim(0, 9)
    yield Call("log", "add", log.AddOp([]))
    yield info
    yield Call("log", "add", log.AddOp([entry(5, "b"), entry(3, "same"), entry(9, "c")]))
    yield info
    yield Call("log", "add", log.AddOp([entry(5, "early"), entry(8, "d", "1_own")]))
    yield Call("log", "add", log.AddOp([entry(5, "moved"), entry(4, "d", "own")], True))
    yield Call("log", "add", log.AddOp([entry(4_294_967_295, "late")], False))
    yield Call("log", "add", log.AddOp([entry(s, f"n{s}") for s in range(10, 16)], False))
    yield info
    for most in (-1, 0, 1, 3, 2000):
        yield listed(most=most)
        yield listed(marker="1_0000000009.", most=most)
    for first, last in ((3, 9), (9, 3), (0, 9), (5, 5), (1, 4_294_967_295)):
        yield listed(first, last)
        yield listed(first, last, marker="1_0000000005")
    yield trim(1, 2)
    yield trim(9, 3)
    yield trim(3, 5)
    yield listed()
    yield trim(start="1_0000000009", end="1_0000000010.001234_1.0")
    yield listed()
    yield Put("omap", "1_0000000001.000001_x", b"damaged")
    yield listed()
    yield trim(0, 4_294_967_295)
    yield trim(0, 4_294_967_295)
    yield info


@script("timeindex")
def time_index():
    def entry(second, micro, name):
        return timeindex.TimeindexEntry(UTime(second, micro * 1000), name, name.encode())

    def listed(first=0, last=0, *, marker="", most=1000):
        op = timeindex.ListOp(UTime(first, 0), marker, UTime(last, 0), most)
        return Call("timeindex", "list", op, timeindex.ListRet)

    def trim(first=0, last=0, start="", end=""):
        op = timeindex.TrimOp(UTime(first, 0), UTime(last, 0), start, end)
        return Call("timeindex", "trim", op)

    def add(*entries):
        return Call("timeindex", "add", timeindex.AddOp(list(entries)))

    yield listed()
    yield trim(0, 9)
    yield add()
    yield add(entry(5, 7, "b"), entry(5, 7, "a"), entry(2, 999_999, "some name"), entry(5, 7, "b"))
    yield add(*(entry(s, s, f"n{s}") for s in range(10, 18)), entry(4_294_967_295, 0, "é"))
    for most in (-1, 0, 1, 3, 1000, 2000):
        yield listed(0, 100, most=most)
        yield listed(9, 2, most=most)
    for first, last in ((2, 5), (3, 12), (5, 5), (0, 4_294_967_295)):
        yield listed(first, last)
        yield listed(first, last, marker="1_0000000005")
    yield trim(20, 30)
    yield trim(3, 5)
    yield listed(9, 2)
    yield trim(start="1_0000000010", end="1_0000000012.000012_n12")
    yield listed(9, 2)
    yield trim(0, 4_294_967_295)
    yield trim(0, 4_294_967_295)


@script("numops")
def numbers():
    for method in ("add", "mul"):
        for key in ("a", "a", "a" + method):
            for value in (
                "1", "2.5", "-7e3", " 12", "+.5", "5.", "0x1F", "0x1p3", "0x.8", "1e400", "-inf",
                "", "1 ", "one", "1_000", "1e", "0x", ".", "3.14159265358979", "123456789012",
                "1e-7", "a", "1\0x", "infinity", "0",
            ):  # fmt: skip
                yield Call("numops", method, NumberOp(key, value))
        yield Put("omap", f"bad{method}", b"no number")
        yield Put("omap", f"empty{method}", b"")
        yield Put("omap", f"hex{method}", b"0x10")
        for key in ("bad", "empty", "hex"):
            yield Call("numops", method, NumberOp(key + method, "3"))
    yield Call("numops", "div", NumberOp("a", "3"))


# Every method with no input, with input that ends too early, and with input of a later version.
@script("bad input")
def bad_input():
    yield Put("data", value=b"")
    for name, methods in {
        "lock": "lock unlock break_lock get_info assert_locked set_cookie",
        "refcount": "get put set read",
        "version": "set inc inc_conds check_conds",
        "log": "add list trim info",
        "timeindex": "add list trim",
        "numops": "add mul",
    }.items():
        for method in methods.split():
            for data in (b"", b"\1\1\x20\0\0\0", b"\1\1\1\0\0\0\1", b"\x40\x40\1\0\0\0\1"):
                yield Call(name, method, data)
