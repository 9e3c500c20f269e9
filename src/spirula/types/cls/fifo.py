"""The object class `fifo`: a log for RGW that is spread over numbered part objects.

Layouts of its methods' arguments and results, and of what the meta object and the parts hold.
Formats: upstream `src/cls/fifo/cls_fifo_types.h`, `cls_fifo_ops.h`, `cls_fifo.cc`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from spirula.denc import (
    Map,
    Opt,
    Pair,
    Struct,
    Vec,
    blob,
    boolean,
    default,
    s32,
    s64,
    string,
    struct,
    u32,
    u64,
)
from spirula.types.base import UTime

MAX_LIST_ENTRIES: Final = 512


class JournalOp(IntEnum):
    """What a journal entry says is to be done with a part."""

    UNKNOWN = 0
    CREATE = 1
    SET_HEAD = 2
    REMOVE = 3


@struct(name="objv", version=1, compat=1)
class ObjVersion(Struct):
    """The version of a meta object; versions of different instances do not compare."""

    instance: string
    ver: u64


@struct(name="data_params", version=1, compat=1)
class DataParams(Struct):
    """Limits of a part in bytes."""

    max_part_size: u64
    max_entry_size: u64
    full_size_threshold: u64


@struct(version=1, compat=1)
class JournalEntry(Struct):
    """A step on the parts that has been decided and not yet carried out (`op` is a JournalOp)."""

    op: s32
    part_num: s64
    part_tag: string


@struct(name="info", version=1, compat=1)
class Info(Struct):
    """What a meta object holds: the parts from tail to head and what is being done to them."""

    id: string
    version: ObjVersion
    oid_prefix: string
    params: DataParams
    tail_part_num: s64
    head_part_num: s64 = default(-1)
    min_push_part_num: s64
    max_push_part_num: s64 = default(-1)
    tags: Map[s64, string]
    head_tag: string
    journal: Vec[Pair[s64, JournalEntry]]


@struct(version=1, compat=1)
class PartListEntry(Struct):
    """An entry of a part: its data, where it stands, and when it was written."""

    data: blob
    ofs: u64
    mtime: UTime


@struct(version=1, compat=1)
class PartHeader(Struct):
    """What a part begins with: offsets in bytes, indexes in entries."""

    tag: string
    params: DataParams
    magic: u64
    min_ofs: u64
    last_ofs: u64
    next_ofs: u64
    min_index: u64
    max_index: u64
    max_time: UTime


@struct
class EntryHeaderPre(Struct):
    """The fixed part of what stands before each entry; `magic` is the part's."""

    magic: u64
    pre_size: u64
    header_size: u64
    data_size: u64
    index: u64
    reserved: u32


@struct(name="entry_header", version=1, compat=1)
class EntryHeader(Struct):
    """The second part of what stands before each entry."""

    mtime: UTime


@struct(name="create_meta", version=1, compat=1)
class CreateMeta(Struct):
    """Make a fifo. `pool_name` and `pool_ns` are no longer looked at."""

    id: string
    version: Opt[ObjVersion]
    pool_name: string
    pool_ns: string
    oid_prefix: Opt[string]
    max_part_size: u64
    max_entry_size: u64
    exclusive: boolean


@struct(name="get_meta", version=1, compat=1)
class GetMeta(Struct):
    """Ask for the meta object, in just this version where one is given."""

    version: Opt[ObjVersion]


@struct(name="get_meta_reply", version=1, compat=1)
class GetMetaReply(Struct):
    """The meta object, and what parts and entries take beside their data, in bytes."""

    info: Info
    part_header_size: u32
    part_entry_overhead: u32


@struct(version=1, compat=1)
class UpdateMeta(Struct):
    """Change the meta object if it still has this version."""

    version: ObjVersion
    tail_part_num: Opt[u64]
    head_part_num: Opt[u64]
    min_push_part_num: Opt[u64]
    max_push_part_num: Opt[u64]
    journal_entries_add: Vec[JournalEntry]
    journal_entries_rm: Vec[JournalEntry]


@struct(version=1, compat=1)
class InitPart(Struct):
    """Make a part."""

    tag: string
    params: DataParams


@struct(version=1, compat=1)
class PushPart(Struct):
    """Append entries to a part; `total_len` is their size in sum."""

    tag: string
    data_bufs: Vec[blob]
    total_len: u64


@struct(version=1, compat=1)
class TrimPart(Struct):
    """Remove the entries up to an offset, and with it unless `exclusive`."""

    tag: Opt[string]
    ofs: u64
    exclusive: boolean


@struct(name="list_part", version=1, compat=1)
class ListPart(Struct):
    """Ask for entries from an offset on."""

    tag: Opt[string]
    ofs: u64
    max_entries: s32 = default(100)


@struct(version=1, compat=1)
class ListPartReply(Struct):
    """Entries; whether there are more of them and whether the part takes further ones."""

    tag: string
    entries: Vec[PartListEntry]
    more: boolean
    full_part: boolean


@struct(version=1, compat=1)
class GetPartInfo(Struct):
    """Ask for a part's header."""


@struct(version=1, compat=1)
class GetPartInfoReply(Struct):
    """A part's header."""

    header: PartHeader
