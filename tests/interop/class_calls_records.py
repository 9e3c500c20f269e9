"""Scripts of calls: classes that keep records (cas, cephfs, journal, otp, user)."""

from __future__ import annotations

import hashlib
import hmac

from spirula.types.base import UTime
from spirula.types.cls import cas, cephfs, cmpomap, journal, otp, user
from spirula.types.cls.journal import Client, ObjectPosition, ObjectSetPosition, Tag
from spirula.types.hobject import HObject
from tests.interop.class_scripts import Call, Put, script

U64 = 0xFFFFFFFFFFFFFFFF


@script("cas", kinds={"xattr:chunk_refs": cas.ChunkRefs})
def chunks():
    one = HObject.of(3, "one", 0x12345678)
    two = HObject.of(3, "two", 0x9ABCDEF0, nspace="space")
    other = HObject.of(4, "one", 0x12345678, snap=5)

    def create(source, data, flags=0):
        op = cas.CreateOrGetRefOp(source, flags, data)
        return Call("cas", "chunk_create_or_get_ref", op)

    def get(source):
        return Call("cas", "chunk_get_ref", cas.GetRefOp(source))

    def put(source):
        return Call("cas", "chunk_put_ref", cas.PutRefOp(source))

    yield get(one)
    yield put(one)
    yield Call("cas", "references_chunk", cas.ReferencesChunkOp("x"))
    yield create(two, b"chunk")
    yield create(one, b"else")
    yield create(one, b"else", cas.FLAG_VERIFY)
    yield create(one, b"chunk", cas.FLAG_VERIFY)
    yield get(other)
    yield get(two)
    yield put(HObject.of(3, "three", 1))
    yield Call("cas", "references_chunk", cas.ReferencesChunkOp("x"))
    yield Call("cas", "chunk_set", b"")
    for source in (one, two, one, two, other):
        yield put(source)
    yield put(one)
    yield Put("data", value=b"plain")
    yield put(one)
    yield get(one)
    for refs in (
        cas.ChunkRefsByHash(3, 32, {(3, 0x12345678): 2, (4, 0x12345678): 1}),
        cas.ChunkRefsByHash(3, 9, {(3, 0x78): 3}),
        cas.ChunkRefsByPool(3, {3: 2, 4: 1}),
        cas.ChunkRefsCount(2),
    ):
        yield Put("xattr", "chunk_refs", cas.ChunkRefs(refs).encode())
        yield from (get(two), put(two), put(two), put(one), get(other), put(one), put(other))
        yield Put("xattr", "chunk_refs", cas.ChunkRefs(refs).encode())
        for source in (one, one, other, other, other):
            yield put(source)
        yield Put("data", value=b"again")
    yield Put("xattr", "chunk_refs", b"\1\1\1\0\0\0\7")
    yield put(one)
    yield create(one, b"")


@script("cmpomap")
def comparisons():
    def number(value):
        return value.to_bytes(8, "little")

    def call(method, mode, comparison, values, *default):
        kind = {
            "cmp_vals": cmpomap.CmpValsOp,
            "cmp_set_vals": cmpomap.CmpSetValsOp,
            "cmp_rm_keys": cmpomap.CmpRmKeysOp,
        }[method]
        return Call("cmpomap", method, kind(mode, comparison, values, *default))

    yield call("cmp_vals", 1, 1, {})
    yield call("cmp_rm_keys", 1, 1, {"a": b"x"})
    yield call("cmp_set_vals", 1, 1, {"a": b"x"}, None)
    yield call("cmp_set_vals", 1, 1, {"a": b"x", "b": b""}, b"")
    yield call("cmp_set_vals", 1, 2, {"a": b"x", "b": b"yy"}, b"")
    yield call("cmp_vals", 1, 1, {"a": b"x", "c": b"x"}, b"x")
    yield call("cmp_vals", 1, 1, {"a": b"x", "c": b"x"}, None)
    yield call("cmp_set_vals", 2, 3, {"n": number(5), "a": number(5)}, number(4))
    for comparison in range(8):
        for given in (b"x", b"xx", b"w", b""):
            yield call("cmp_vals", 1, comparison, {"a": given}, None)
        for given in (number(5), number(4), number(2**64 - 1), b"1234567", b"123456789"):
            yield call("cmp_vals", 2, comparison, {"n": given}, None)
            yield call("cmp_vals", 2, comparison, {"a": given}, None)
        yield call("cmp_vals", 0, comparison, {"a": b"x"}, None)
        yield call("cmp_vals", 3, comparison, {"a": b"x"}, None)
    for comparison in (0, 3, 7):
        yield call("cmp_set_vals", 2, comparison, {"a": number(7), "n": number(7)}, None)
        yield call("cmp_rm_keys", 2, comparison, {"a": number(7), "n": number(8), "q": b""})
    yield call("cmp_rm_keys", 1, 2, {"a": b"x", "b": b"z"})
    yield call("cmp_rm_keys", 1, 1, {"a": b"x", "b": b"z"})


@script("sdk")
def coverage():
    yield Call("sdk", "test_coverage_replay")
    yield Call("sdk", "test_coverage_write")
    yield Call("sdk", "test_coverage_write")
    yield Put("data", value=b"other")
    yield Call("sdk", "test_coverage_replay")
    yield Call("sdk", "test_coverage_write")
    yield Put("data", value=b"four")
    yield Call("sdk", "test_coverage_replay")


@script("cephfs")
def inodes():
    def note(index, size, mtime, *, names=("ceiling", "mtime", "size")):
        op = cephfs.AccumulateArgs(*names, index, size, mtime)
        return Call("cephfs", "accumulate_inode_metadata", op)

    yield note(3, 100, 1000)
    yield note(2, 200, 900)
    yield note(3, 50, -5)
    yield note(7, 10, 2000)
    yield note(U64, U64, 2**63 - 1)
    yield note(1, 1, 1, names=("a", "b", "c"))
    yield note(1, 1, 1, names=("same", "same", "same"))
    yield Put("xattr", "a", b"damaged")
    yield Put("xattr", "b", bytes(9))
    yield Put("xattr", "c", b"")
    yield note(1, 1, 1, names=("a", "b", "c"))
    yield note(0, 0, -1, names=("a", "b", "c"))


def bucket(name, size=0, count=0, *, sync=False, when=5, ident="i", rule=""):
    made = user.UserBucket(name, marker="m", bucket_id=ident, placement_id=rule)
    return user.UserBucketEntry(
        size=size,
        creation_time_s=when,
        count=count,
        bucket=made,
        size_rounded=size + 4095 & ~4095,
        user_stats_sync=sync,
        creation_time=UTime(when, 7),
    )


@script("user")
def users():
    def set_(*entries, add=False, time=50):
        op = user.SetBucketsOp(list(entries), add, UTime(time, 0))
        return Call("user", "set_buckets_info", op)

    def listed(marker="", end="", most=1000):
        op = user.ListBucketsOp(marker, most, end)
        return Call("user", "list_buckets", op, user.ListBucketsRet)

    def remove(name):
        return Call("user", "remove_bucket", user.RemoveBucketOp(user.UserBucket(name)))

    def reset(number, marker=""):
        if number == 1:
            return Call("user", "reset_user_stats", user.ResetStatsOp(UTime(number, 0)))
        stats = user.UserStats(5, 6, 7)
        op = user.ResetStats2Op(UTime(number, 0), marker, stats)
        return Call("user", "reset_user_stats2", op)

    header = Call("user", "get_header", user.GetHeaderOp(), user.GetHeaderRet)
    done = [
        Call("user", "complete_stats_sync", user.CompleteStatsSyncOp(UTime(t, 0))) for t in (9, 3)
    ]
    yield header
    yield listed()
    yield remove("a")
    yield set_(bucket("a", 10, 1))
    yield set_(bucket("a", 10, 1), bucket("b", 5000, 3, rule="fast"), add=True, time=60)
    yield header
    yield set_(bucket("a", 99, 2, when=9, ident="j"), bucket("c", 1, 1), add=True, time=55)
    yield set_(bucket("a", 20, 4, when=77, ident="k"), bucket("z", 1, 1))
    yield header
    yield set_(bucket("", 1, 1))
    yield set_(bucket("", 1, 1), add=True)
    yield remove("")
    yield from (*done, header)
    for most in (-1, 0, 1, 2, 5000):
        yield listed(most=most)
        yield listed("a", most=most)
        yield listed("", "b", most=most)
    yield remove("b")
    yield remove("b")
    yield header
    yield Put("omap", "q", bucket("q", 7, 7).encode())
    yield header
    yield from (reset(1), header, reset(2), header, reset(3, "b"), header)
    yield remove("q")
    yield header
    yield set_(bucket("r", 7, 7, sync=True), add=True)
    yield header
    old = user.UserBucketEntry(creation_time_s=3, bucket=user.UserBucket("old"), count=1)
    yield Put("omap", "old", old.encode())
    yield set_(bucket("old", 9, 9))
    yield Put("omap", "s", b"damaged")
    yield from (listed(), reset(1), reset(2), set_(bucket("s")), remove("s"), header)


def password(counter, digits=6, seed=b"12345678901234567890"):
    digest = hmac.digest(seed, (counter & U64).to_bytes(8, "big"), hashlib.sha1)
    start = digest[-1] & 15
    number = int.from_bytes(digest[start : start + 4], "big") & 0x7FFFFFFF
    return str(number % 10**digits).zfill(digits)


SEED = b"12345678901234567890".hex()
# Steps of a billion seconds, counted from before 1970: it is step 3 from 2001 to 2033.
SLOW = {"step_size": 1_000_000_000, "time_ofs": -2_000_000_000, "window": 2}
OTP_KINDS = {"otp/": otp.OtpInstance, "header": otp.OtpHeader}


@script("otp", kinds=OTP_KINDS)
def passwords():
    def set_(*infos):
        return Call("otp", "otp_set", otp.SetOtpOp(list(infos)))

    def check(ident, value, token="t"):
        op = otp.CheckOtpOp(ident, value, token)
        yield Call("otp", "otp_check", op)
        yield Call("otp", "otp_get_result", op, otp.GetResultReply)

    def get(*ids, everything=False):
        return Call("otp", "otp_get", otp.GetOtpOp(everything, list(ids)), otp.GetOtpReply)

    def remove(*ids):
        return Call("otp", "otp_remove", otp.RemoveOtpOp(list(ids)))

    yield Call("otp", "get_current_time", otp.GetCurrentTimeOp(), otp.GetCurrentTimeReply)
    yield get(everything=True)
    yield remove("a")
    yield from check("a", "1")
    yield set_()
    yield Call("otp", "get_current_time", otp.GetCurrentTimeOp(), otp.GetCurrentTimeReply)
    yield set_(otp.OtpInfo(id="a", seed=SEED, seed_type=otp.SeedType.HEX, **SLOW))
    for seed, kind in (
        ("", 1), ("0", 1), ("0g", 1), ("aBcD", 1), ("ab cd", 1), ("abcd", 0), ("abcd", 9),
        ("", 2), ("MFRGG===", 2), ("mfrgg", 2), ("MFRG G", 2), ("MF-RGG", 2), ("MFRGG=", 2),
        ("M", 2), ("MFR", 2), ("MFRGGZ", 2), ("MFRGG1==", 2), ("MFRGGZDFMY======", 2), ("=", 2),
    ):  # fmt: skip
        yield set_(otp.OtpInfo(id=f"seed {seed}", seed=seed, seed_type=kind))
    yield get("a", "nosuch", "a")
    yield get(everything=True)
    yield from check("a", password(7))
    yield from check("a", password(4), "u")
    yield from check("a", password(4), "v")
    yield from check("a", password(3), "w")
    yield from check("a", password(5), "w")
    yield from check("a", password(5), "x")
    yield get("a")
    for number, digits in enumerate((5, 6, 7, 8, 9)):
        name = f"digits{digits}"
        yield set_(otp.OtpInfo(id=name, seed=SEED, seed_type=1, **SLOW))
        yield from check(name, password(3, digits))
        yield from check(name, password(1 + number, digits))
        yield from check(name, "")
        yield from check(name, "123456789")
    yield set_(otp.OtpInfo(id="narrow", seed=SEED, seed_type=1, **{**SLOW, "window": 0}))
    for counter in (2, 4, 3):
        yield from check("narrow", password(counter))
    old = otp.OtpCheck("old", UTime(1, 0), otp.CheckResult.SUCCESS)
    info = otp.OtpInfo(id="many", seed=SEED, seed_bin=bytes.fromhex(SEED), **SLOW)
    yield Put("omap", "otp/many", otp.OtpInstance(info, [old] * 6, 2).encode())
    yield from check("many", password(3), "old")
    quick = otp.OtpInfo(id="quick", seed=SEED, seed_bin=bytes.fromhex(SEED))
    yield Put("omap", "otp/quick", otp.OtpInstance(quick, [old] * 6, 2).encode())
    yield from check("quick", "nonsense", "old")
    yield Put("omap", "otp/damaged", b"\1\1\xff\0\0\0")
    yield from check("damaged", "1")
    yield remove("nosuch", "a", "many")
    yield get(everything=True)
    yield Put("omap", "header", b"\1\1\xff\0\0\0")
    yield from (remove("a"), get("a"), set_())


JOURNAL_KINDS = {"client_": Client, "tag_": Tag}


def jcall(method, request=b"", kind=None):
    return Call("journal", method, request, kind)


def position(*places):
    return ObjectSetPosition([ObjectPosition(*place) for place in places])


def commit(ident, *places):
    return jcall("client_commit", journal.ClientCommitOp(ident, position(*places)))


def register(ident, data=b"data"):
    return jcall("client_register", journal.ClientDataOp(ident, data))


def tag(number, kind=journal.TAG_CLASS_NEW):
    return jcall("tag_create", journal.TagCreateOp(number, kind, b"tag"))


def tags(ident, kind=None, *, after=0, most=1000):
    op = journal.TagListOp(after, most, ident, kind)
    return jcall("tag_list", op, journal.Tags)


@script("journal", kinds=JOURNAL_KINDS)
def journals():
    whole = [
        jcall(f"get_{what}")
        for what in ["order", "splay_width", "pool_id", "minimum_set", "active_set", "next_tag_tid"]
    ]
    yield from whole
    yield register("a")
    yield jcall("set_active_set", journal.Number(1))
    yield jcall("create", journal.CreateOp(24, 2, -1))
    yield jcall("create", journal.CreateOp(24, 4, 5))
    yield from whole
    for number in (0, 5, 3, 5, 9):
        yield jcall("set_minimum_set", journal.Number(number))
        yield jcall("set_active_set", journal.Number(number))
        yield jcall("set_minimum_set", journal.Number(number))
    yield from whole
    listing = [
        jcall("client_list", journal.ClientListOp(after, most), journal.Clients)
        for after in ("", "b")
        for most in (0, 1, 100, U64)
    ]
    yield from listing
    for ident in ("b", "a", "b", "c", ""):
        yield register(ident)
        yield jcall("get_client", journal.ClientId(ident), Client)
    yield from listing
    yield commit("b", (1, 0, 3), (2, 0, 2))
    yield commit("b", (1, 0, 3), (2, 0, 2))
    yield commit("b", (1, 0, 3), (2, 0, 2), (3, 0, 1))
    yield commit("nosuch", (1, 0, 3))
    yield register("d")
    for ident in ("a", "c", ""):
        yield commit(ident, (1, 0, 2), (2, 0, 1))
    yield register("e")
    yield jcall("get_client", journal.ClientId("e"), Client)
    for ident in ("e", "nosuch"):
        yield jcall("client_update_data", journal.ClientDataOp(ident, b"new"))
        yield jcall("client_update_state", journal.ClientStateOp(ident, 1))
        yield jcall("client_unregister", journal.ClientId(ident))
    yield Put("omap", "client_f", b"\1\1\xff\0\0\0")
    yield from (*listing, register("g"), commit("f"), jcall("get_client", journal.ClientId("f")))


@script("tags of a journal", kinds=JOURNAL_KINDS)
def journal_tags():
    yield tag(0)
    yield jcall("create", journal.CreateOp(24, 2, -1))
    yield register("a")
    yield register("b")
    yield tags("a")
    yield tags("nosuch")
    yield from (
        tag(1),
        tag(0),
        tag(0),
        tag(1, 7),
        tag(1, 0),
        tag(2, 0),
        tag(3),
        tag(4, 1),
        tag(5, 0),
    )
    yield jcall("get_next_tag_tid")
    yield jcall("get_tag", journal.Number(3), Tag)
    yield jcall("get_tag", journal.Number(9), Tag)
    several = [
        tags("a", kind, after=after, most=most)
        for kind in (None, 0, 1, 2)
        for after in (0, 1, 4, 9)
        for most in (0, 1, 2, 100)
    ]
    yield from several
    yield commit("a", (1, 2, 3))
    yield from several
    yield tag(6, 0)
    yield commit("b", (1, 4, 3), (2, 5, 3))
    yield tag(7, 0)
    yield from several
    yield commit("a", (1, 6, 3))
    yield tag(8, 1)
    yield from several
    yield jcall("client_update_state", journal.ClientStateOp("b", 1))
    yield tag(9, 1)
    yield jcall("client_unregister", journal.ClientId("b"))
    yield tag(10)
    yield commit("a", (1, 10, 3))
    yield jcall("client_unregister", journal.ClientId("a"))
    yield register("c")
    for number in range(11, 90):
        yield tag(number, number % 3)
    yield commit("c", (1, 80, 3))
    yield tags("c")
    yield tag(90, 0)
    yield tags("c")
    yield Put("omap", "tag_000000000000005b", Tag(7, 0, b"").encode())
    yield commit("c", (1, 91, 3))
    yield tag(91, 0)
    yield register("d")
    yield jcall("client_unregister", journal.ClientId("d"))
    yield Put("omap", "tag_000000000000005b", b"\1\1\xff\0\0\0")
    yield from (tags("c"), jcall("get_tag", journal.Number(91)), register("d"))
    yield jcall("client_unregister", journal.ClientId("d"))


@script("data of a journal")
def journal_data():
    def guard(most):
        return jcall("guard_append", journal.Number(most))

    def append(most, data):
        return jcall("append", journal.AppendOp(most, data))

    yield from (guard(0), guard(5), append(0, b"x"), append(5, b""), append(5, b"hello"))
    yield from (
        guard(5),
        guard(6),
        append(5, b"more"),
        append(6, b"more"),
        append(100, b"m" * 9000),
    )
    yield append(10000, b"end")


@script("bad input for records")
def bad_records():
    yield Put("data", value=b"")
    for name, methods in {
        "cas": "chunk_create_or_get_ref chunk_get_ref chunk_put_ref references_chunk",
        "cephfs": "accumulate_inode_metadata",
        "cmpomap": "cmp_vals cmp_set_vals cmp_rm_keys",
        "user": "set_buckets_info complete_stats_sync remove_bucket list_buckets get_header "
        "reset_user_stats reset_user_stats2",
        "otp": "otp_set otp_get otp_check otp_get_result otp_remove get_current_time",
        "journal": "create set_minimum_set set_active_set get_client client_register "
        "client_update_data client_update_state client_unregister client_commit client_list "
        "get_tag tag_create tag_list guard_append append",
    }.items():
        for method in methods.split():
            for data in (b"", b"\1\1\x20\0\0\0", b"\x40\x40\1\0\0\0\1"):
                yield Call(name, method, data)
