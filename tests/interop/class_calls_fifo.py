"""Scripts of calls: the class fifo."""

from __future__ import annotations

from spirula.types.base import UTime
from spirula.types.cls import fifo
from spirula.types.cls.fifo import DataParams, JournalEntry, JournalOp, ObjVersion, PartHeader
from tests.interop.class_scripts import Call, Put, script

V1 = ObjVersion("instance", 1)
PRE_BYTES = 44


def create(ident="id", version=V1, prefix="prefix", *, part=1000, entry=100, exclusive=False):
    op = fifo.CreateMeta(ident, version, "", "", prefix, part, entry, exclusive)
    return Call("fifo", "create_meta", op)


def meta(version=None):
    return Call("fifo", "get_meta", fifo.GetMeta(version), fifo.GetMetaReply)


def update(number, *, add=(), remove=(), **parts):
    op = fifo.UpdateMeta(
        ObjVersion("instance", number),
        journal_entries_add=[JournalEntry(*entry) for entry in add],
        journal_entries_rm=[JournalEntry(*entry) for entry in remove],
        **{f"{name}_part_num": value for name, value in parts.items()},
    )
    return Call("fifo", "update_meta", op)


@script("meta of a fifo")
def metas():
    yield from (meta(), update(1), create(""), create(part=0), create(entry=0), create(entry=1001))
    yield from (create(exclusive=True), create(exclusive=True), create(), meta(), meta(V1))
    yield from (create("other"), create(prefix="other"), create(version=ObjVersion("instance", 2)))
    yield from (create(version=None, prefix=None), meta(ObjVersion("instance", 2)), update(2))
    yield Call("fifo", "update_meta", fifo.UpdateMeta())
    yield update(1, tail=3, head=2**64 - 1, min_push=5, max_push=2**63)
    yield from (meta(), update(1))
    make, head, drop = JournalOp.CREATE, JournalOp.SET_HEAD, JournalOp.REMOVE
    yield update(2, add=[(make, 7, "seven"), (make, 5, "five"), (head, 7, ""), (drop, 7, "x")])
    yield meta()
    yield update(3, add=[(make, 7, "again")])
    yield update(3, add=[(head, 7, "again")])
    yield update(4, add=[(make, 6, "six"), (make, 6, "six")])
    yield update(4, head=5, remove=[(make, 5, "")])
    yield update(5, head=7, remove=[(head, 7, ""), (head, 99, "")])
    yield update(6, head=8)
    yield meta()
    yield Put("data", value=b"damaged")
    yield from (meta(), create(), update(7))
    yield Put("data", value=b"")
    yield from (meta(), create(), update(7))


@script(
    "a fifo with names of its own",
    parts=lambda data: [fifo.Info.decode(data)],
    vague={"instance", "oid_prefix"},
)
def own_names():
    yield from (create(version=None, prefix=None), create(version=None, prefix=None))


@script("a fifo of no instance", parts=lambda data: [fifo.Info.decode(data)], vague={"instance"})
def no_instance():
    yield create(version=ObjVersion("", 7))


def parts(data):
    """The data of a part: header, and the headers and data of its entries."""
    found = [PartHeader.decode(data)]
    at = 512
    while at < len(data):
        pre = fifo.EntryHeaderPre.decode(data[at:])
        at += PRE_BYTES
        found += [pre, fifo.EntryHeader.decode(data[at : at + pre.header_size])]
        at += pre.header_size
        found.append(data[at : at + pre.data_size])
        at += pre.data_size
    return found


TAG = "tag"
PARAMS = DataParams(1000, 100, 842)


def init(tag=TAG, params=PARAMS):
    return Call("fifo", "init_part", fifo.InitPart(tag, params))


def push(*entries, tag=TAG, length=None):
    total = sum(map(len, entries)) if length is None else length
    return Call("fifo", "push_part", fifo.PushPart(tag, list(entries), total))


def listed(ofs=0, *, tag=TAG, most=100):
    return Call("fifo", "part_list", fifo.ListPart(tag, ofs, most), fifo.ListPartReply)


def trim(ofs, *, tag=TAG, exclusive=False):
    return Call("fifo", "trim_part", fifo.TrimPart(tag, ofs, exclusive))


INFO = Call("fifo", "get_part_info", fifo.GetPartInfo(), fifo.GetPartInfoReply)


@script("a part of a fifo", parts=parts, vague={"magic"})
def part():
    yield from (INFO, push(b"x"), listed(), trim(0), init(""), init(), init(), init("other"))
    yield from (init(params=DataParams(1, 1, 1)), INFO, listed())
    yield from (push(b"x", tag=""), push(b"x", tag="other"), push(b"x", length=2), push())
    yield from (push(b"x" * 1000), push(b"x" * 942), INFO)


@script("entries of a part", parts=parts, vague={"magic"})
def part_entries():
    header = PartHeader(TAG, PARAMS, 0x1234, 512, 0, 512, max_time=UTime(5, 0))
    yield Put("data", value=header.encode().ljust(512, b"\0"))
    yield from (push(b"one"), push(b"two", b"", b"four"), INFO)
    for ofs in (0, 512, 513, 573, 634, 692, 753, 754, 5000):
        for most in (100, 0, 1, -1, 3):
            yield listed(ofs, most=most)
        yield listed(ofs, tag=None)
    yield listed(0, tag="other")
    yield from (trim(0), trim(511), trim(512, exclusive=True), trim(513), trim(600, tag="other"))
    yield from (trim(512, tag=None), INFO, listed(), trim(634, exclusive=True), INFO, listed())
    yield from (listed(512), trim(573), trim(754), INFO, listed(), trim(9999), push(b"five"), INFO)
    yield push(b"x" * 40, b"y" * 40, b"z" * 40)
    yield from (INFO, push(b"more"), listed(), trim(815), listed(), trim(9999), INFO, listed())


@script("damaged parts")
def damaged_parts():
    header = PartHeader(TAG, PARAMS, 0x1234, 512, 573, 700)
    data = header.encode().ljust(512, b"\0")
    first = fifo.EntryHeaderPre(0x1234, 44, 14, 3, 0).encode()
    time = fifo.EntryHeader(UTime(1, 2)).encode()
    for entry in (
        b"",
        first[:20],
        first + time + b"ab",
        first + b"\1\1\xff" + bytes(20),
        first + time + b"abc" + bytes(100),
        fifo.EntryHeaderPre(0x1234, 44, 14, 2**31, 0).encode() + time + b"abc",
    ):
        yield Put("data", value=data + entry)
        yield from (listed(), listed(512), trim(512), INFO)
    yield Put("data", value=b"damaged")
    yield from (listed(), trim(512), push(b"x"), init(), INFO)
    for name in (
        "create_meta", "get_meta", "update_meta", "init_part", "push_part", "trim_part",
        "part_list", "get_part_info", "list_part",
    ):  # fmt: skip
        for data in (b"", b"\1\1\xff\0\0\0", b"\x40\x40\1\0\0\0\1"):
            yield Call("fifo", name, data)
