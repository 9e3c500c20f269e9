"""Plans of usual forms: they make and read what the general ways do, or give up, whatever comes."""

from __future__ import annotations

import copy
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spirula.denc import Struct
from spirula.denc.features import PACIFIC
from spirula.errors import WireError
from spirula.kernels import layouts
from spirula.messages.osd_op import MOSDOp, MOSDOpReply
from spirula.messages.osd_replication import MOSDRepOp, MOSDRepOpReply
from spirula.store import pg_meta
from spirula.types import object_info, pg_log, pg_stats
from spirula.types.base import EVersion, UTime
from spirula.types.entity import EntityName
from spirula.types.hobject import NOSNAP, HObject
from spirula.types.interval_set import IntervalSet
from spirula.types.object_info import ObjectInfo, OSDReqId
from spirula.types.osd_op import OSDOp
from spirula.types.pg import PGId, PGShard, SPGId
from spirula.types.pg_info import PGFastInfo, PGInfo
from spirula.types.pg_log import ObjectCleanRegions, ObjectModDesc, PGLogEntry
from spirula.types.pg_stats import EncodedPGStat, PGStat

native = pytest.mark.skipif(
    layouts.IMPLEMENTATION != "native", reason="there are no plans without a compiler"
)
ODD = [-1, 1 << 63, 1 << 64, None, "7", b"", b"\1" * 24, 1.5, True, [], [1], EVersion(1, 2)]


def regions() -> IntervalSet:
    return IntervalSet([(0, 7), (65536, (1 << 64) - 65537)])


def name(number: int = 9, oid: str = "rbd_data.\udcff\u00e4") -> HObject:
    return HObject("", oid, NOSNAP, number, False, "space", 5)


def request() -> OSDReqId:
    return OSDReqId(EntityName(8, 4123), 1 << 40, -2)


def entry() -> PGLogEntry:
    return PGLogEntry(
        pg_log.LogOp.MODIFY,
        name(),
        EVersion(77, 30),
        EVersion(76, 29),
        reqid=request(),
        mtime=UTime(1_700_000_000, 5),
        user_version=70,
        mod_desc=ObjectModDesc(can_local_rollback=False),
        clean_regions=ObjectCleanRegions(regions(), True, False),
        return_code=-2,
    )


def statistics() -> PGStat:
    stat = PGStat(EVersion(77, 30), 500, 30, up=[0, 1, 2], acting=[0, 1], up_primary=0)
    stat.stats.sum.num_bytes, stat.purged_snaps = -5, regions()
    return stat


def repop() -> MOSDRepOp:
    return MOSDRepOp(
        *(30, 29, b"\3" * 24, request(), SPGId(PGId(5, 3), -1), name(), 5, EVersion(77, 30)),
        *(b"\1\0\0\0" + entry().encode(), EncodedPGStat(statistics().encode())),
        *(EVersion(7, 3), HObject(), HObject(), PGShard(2, -1), None, EVersion(75, 28)),
    )


def reply() -> MOSDRepOpReply:
    pgid, sender = SPGId(PGId(5, 3), -1), PGShard(2, -1)
    return MOSDRepOpReply(30, 29, b"\3" * 24, request(), pgid, 4, -5, EVersion(75, 28), sender)


def operations() -> list[OSDOp]:
    return [OSDOp(0x2201, 1, b"\5" * 28, indata=b"data"), OSDOp(0x1201, rval=-2, outdata=b"ab")]


def question() -> MOSDOp:
    return MOSDOp(
        *(SPGId(PGId(5, 3), -1), name(), operations(), 30, 0x24, request(), 6, UTime(1, 2)),
        *(9, [7, 5], -1, 1 << 60, b"\3" * 24),
    )


def answer() -> MOSDOpReply:
    return MOSDOpReply(
        *("oid\udcff", PGId(5, 3), operations(), 0x24, -2, EVersion(7, 3), 30, 1),
        *(EVersion(77, 30), 70),
    )


def info() -> ObjectInfo:
    version, prior = EVersion(77, 30), EVersion(76, 29)
    named = HObject("", "oid\udcff", NOSNAP, 9, False, "", 5)
    return ObjectInfo(
        *(named, version, prior, request(), 65536, UTime(1, 2), 3, 4, 70, {}, 0x34, UTime(5, 6)),
        *(7, 8, 9, 10, 11),
    )


def pg_info() -> PGInfo:
    return PGInfo(last_update=EVersion(77, 30), last_complete=EVersion(76, 29), stats=statistics())


def payload(value: Any) -> bytes:
    """What a message's general way makes."""
    out = bytearray()
    value._enc_payload(out, PACIFIC, value.VERSION)
    return bytes(out)


def encoded(value: Any) -> bytes:
    out = bytearray()
    value._enc(out, PACIFIC)
    return bytes(out)


PACKED = [
    (entry, pg_log._PACK, encoded),
    (statistics, pg_stats._PACK, encoded),
    (info, object_info._PACK, encoded),
    (pg_info, pg_meta._PACK_FAST, lambda value: PGFastInfo.of(value).encode()),
    (repop, MOSDRepOp.PACK, payload),
    (reply, MOSDRepOpReply.PACK, payload),
    (answer, MOSDOpReply.PACK, payload),
]
READ: list[tuple[Any, Any, Any]] = [
    (entry, pg_log._UNPACK, None),
    (repop, MOSDRepOp.UNPACK, MOSDRepOp),
    (reply, MOSDRepOpReply.UNPACK, MOSDRepOpReply),
    (question, MOSDOp.UNPACK, MOSDOp),
]


def places(value: Any, prefix: str = "") -> list[str]:
    """The dotted paths of all attributes of a value and its parts."""
    if not isinstance(value, (Struct, OSDOp)):
        return []
    found = []
    for each in dict.fromkeys(n for c in type(value).__mro__ for n in getattr(c, "__slots__", ())):
        if each not in {"__weakref__", "_payload", "_hash", "_order"}:
            part = getattr(value, each, None)
            found += [prefix + each, *places(part, f"{prefix}{each}.")]
    return found


def state(value: Any) -> dict[str, Any]:
    """All that is in a value and its parts."""
    found = {}
    for path in places(value):
        part = value
        for each in path.split("."):
            part = getattr(part, each, "unset")
        if isinstance(part, list):
            part = [state(each) if isinstance(each, OSDOp) else each for each in part]
        found[path] = part
    return found


def general(cls: Any, raw: bytes, pos: int, end: int) -> tuple[Any, int] | None:
    """What the way in Python makes, None when it refuses."""
    try:
        if cls is not None:
            buf = raw[pos:end]
            made, used = cls._dec_payload(buf, 0, len(buf), PACIFIC, cls.VERSION)
            made.header_version = cls.VERSION
            return made, used + pos
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pg_log, "_UNPACK", layouts._give_up)
            return PGLogEntry.decode_from(raw[:end], pos)
    except (WireError, IndexError, struct.error):
        return None


@native
@pytest.mark.parametrize(("make", "pack", "twin"), PACKED)
def test_usual_values_are_packed_alike(make, pack, twin):
    assert pack(make()) == twin(make())


@native
@pytest.mark.parametrize(("make", "unpack", "cls"), READ)
def test_usual_values_are_read_alike(make, unpack, cls):
    raw = encoded(make()) if cls is None else payload(make())
    for before, after in ((b"", b""), (b"abc", b""), (b"x", b"yz")):
        if after and cls is not MOSDOp and cls is not None:
            continue
        end = len(before) + len(raw) + len(after)
        made = unpack(before + raw + after, len(before), end)
        expected = general(cls, before + raw + after, len(before), end)
        assert made is not None
        assert expected is not None
        assert made[1] == expected[1] == len(before) + len(raw)
        assert made[0] == expected[0]
        assert state(made[0]) == state(expected[0])


@native
@pytest.mark.parametrize(("make", "pack", "twin"), PACKED)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_odd_values_are_packed_alike_or_given_up(make, pack, twin, data):
    value = copy.deepcopy(make())  # defaults may be shared
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from(places(value)))
        owner, _, attribute = path.rpartition(".")
        part = value
        for each in filter(None, owner.split(".")):
            part = getattr(part, each)
        try:
            odd = data.draw(st.sampled_from(ODD) | st.integers(-9, 1 << 33))
            setattr(part, attribute, copy.copy(odd))
        except (AttributeError, TypeError, ValueError, WireError):
            return  # a property that takes no such value
    packed = pack(value)
    if packed is not None:
        assert packed == twin(value)


@native
@pytest.mark.parametrize(("make", "unpack", "cls"), READ)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damage_is_read_alike_or_given_up(make, unpack, cls, data):
    raw = bytearray(encoded(make()) if cls is None else payload(make()))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at] = data.draw(st.sampled_from([0, 1, 2, 255]) | st.integers(0, 255))
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(raw)))
        raw[at:at] = data.draw(st.binary(max_size=9))
    pos = data.draw(st.sampled_from([0, 0, 0, 1]))
    end = data.draw(st.just(len(raw)) | st.integers(pos, len(raw)))
    found = unpack(bytes(raw), pos, end)
    if found is not None:
        expected = general(cls, bytes(raw), pos, end)
        assert expected is not None
        assert found[1] == expected[1]
        assert state(found[0]) == state(expected[0])


@native
@pytest.mark.parametrize(("make", "unpack", "cls"), READ)
def test_whatever_ends_early_is_given_up(make, unpack, cls):
    raw = encoded(make()) if cls is None else payload(make())
    assert all(unpack(raw, 0, end) is None for end in range(len(raw)))
    assert all(unpack(raw[:end], 0, end) is None for end in range(len(raw)))
    assert unpack(raw, 0, len(raw) + 1) is None
    assert unpack(raw, -1, len(raw)) is None
    assert unpack(raw, 9, 8) is None
    assert unpack(bytearray(raw), 0, len(raw)) is None


@native
def test_a_plan_that_is_none_is_refused():
    with pytest.raises(ValueError, match="step 0"):
        layouts.packer(layouts.Item("z", "a"))
    with pytest.raises(ValueError, match="step 1"):
        layouts.unpacker({"": OSDOp}, layouts.literal(b"x"), layouts.each("ops", "I", len))


def test_without_plans_messages_go_the_general_way(monkeypatch):
    for module, plan in ((pg_log, "_PACK"), (pg_log, "_UNPACK"), (object_info, "_PACK")):
        monkeypatch.setattr(module, plan, layouts._give_up)
    raw = entry().encode()
    assert PGLogEntry.decode(raw) == entry()
    assert ObjectInfo.decode(info().encode()) == info()
    for make in (repop, reply):
        cls = type(make())
        monkeypatch.setattr(cls, "PACK", None)
        monkeypatch.setattr(cls, "UNPACK", None)
        version, _, front = make().encode_payload()
        assert cls.decode_payload(front, version).encode_payload()[2] == front
