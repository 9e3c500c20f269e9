"""The object class `fifo`: a log over many objects, grown at one end and trimmed at the other.

A meta object says which numbered parts there are and what is being done to them; parts hold entries
one after another behind a header of fixed size. The tags that both once had are gone: they are not
looked at and written empty, as by 16.2.15. Client: RGW (its data log). Behaviour: upstream
`src/cls/fifo/cls_fifo.cc`, `cls_fifo_types.h`.
"""

from __future__ import annotations

import base64
import errno
from typing import Final

from spirula.classes.declare import Reply, method
from spirula.classes.handle import ObjectHandle, decoded
from spirula.errors import (
    CephError,
    Exists,
    InputOutput,
    InvalidArgument,
    NotFound,
    OutOfRange,
    WireError,
)
from spirula.types.base import UTime
from spirula.types.cls.fifo import (
    MAX_LIST_ENTRIES,
    CreateMeta,
    DataParams,
    EntryHeader,
    EntryHeaderPre,
    GetMeta,
    GetMetaReply,
    GetPartInfo,
    GetPartInfoReply,
    Info,
    InitPart,
    JournalEntry,
    JournalOp,
    ListPart,
    ListPartReply,
    ObjVersion,
    PartHeader,
    PartListEntry,
    PushPart,
    TrimPart,
    UpdateMeta,
)
from spirula.types.osd_op import OpFlag

PART_HEADER_SIZE: Final = 512
"""Bytes kept for the header of a part."""
PRE_HEADER_SIZE: Final = 44
ENTRY_OVERHEAD: Final = PRE_HEADER_SIZE + 14
"""Bytes of a part that an entry takes besides its data."""
PREFETCH: Final = 128 << 10
"""Bytes of a part that are read at once."""

_INSTANCE_LETTERS: Final = 16
_PREFIX_LETTERS: Final = 11
_STEPS: Final = frozenset({JournalOp.CREATE, JournalOp.SET_HEAD, JournalOp.REMOVE})
_U64: Final = 0xFFFFFFFFFFFFFFFF


def _random_letters(handle: ObjectHandle, count: int) -> str:
    return base64.b64encode(handle.gen_random_bytes((count * 3 + 3) // 4)).decode()[:count]


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


# --------------------------------------------------------------------------------- the meta object


def _read_meta(handle: ObjectHandle, version: ObjVersion | None) -> Info:
    """The meta object; ECANCELED if it has another version than that."""
    data = handle.read(0, handle.stat().size, OpFlag.FADVISE_WILLNEED)
    if not data:
        raise CephError.from_errno(errno.ENODATA, "the object is empty")
    info = decoded(handle, Info, data, "the meta object of a fifo")
    info.tags, info.head_tag = {}, ""
    if any(entry.op not in _STEPS or entry.part_num < 0 for _, entry in info.journal):
        raise InputOutput("the journal of the fifo is damaged")
    if version is not None and info.version != version:
        raise CephError.from_errno(errno.ECANCELED, "the fifo has another version")
    return info


def _write_meta(handle: ObjectHandle, info: Info) -> None:
    if not info.version.instance:
        info.version.instance = _random_letters(handle, _INSTANCE_LETTERS - 1)
    handle.write_full(info.encode())


@method("create_meta", read=True, write=True)
def create_meta(handle: ObjectHandle, request: CreateMeta) -> None:
    """Makes a fifo; one that is there must be the same, and must not with `exclusive`."""
    if not request.id:
        raise InvalidArgument("a fifo has an id")
    if not 0 < request.max_entry_size <= request.max_part_size:
        raise InvalidArgument("an entry must fit into a part")
    try:
        size = handle.stat().size
    except NotFound:
        _write_meta(handle, _new_meta(handle, request))
        return
    if request.exclusive:
        raise Exists("there is a fifo already")
    data = handle.read(0, size, OpFlag.FADVISE_WILLNEED)
    info = decoded(handle, Info, data, "the meta object of a fifo")
    same_prefix = request.oid_prefix is None or request.oid_prefix == info.oid_prefix
    same_version = request.version is None or request.version == info.version
    if info.id != request.id or not same_prefix or not same_version:
        raise Exists("there is another fifo")


def _new_meta(handle: ObjectHandle, request: CreateMeta) -> Info:
    version = request.version or ObjVersion(_random_letters(handle, _INSTANCE_LETTERS), 1)
    prefix = request.oid_prefix
    if prefix is None:
        prefix = f"{request.id}.{_random_letters(handle, _PREFIX_LETTERS)}"
    threshold = request.max_part_size - request.max_entry_size - ENTRY_OVERHEAD & _U64
    params = DataParams(request.max_part_size, request.max_entry_size, threshold)
    return Info(request.id, version, prefix, params)


@method("get_meta", read=True)
def get_meta(handle: ObjectHandle, request: GetMeta) -> GetMetaReply:
    """The meta object, and what headers and entries take."""
    return GetMetaReply(_read_meta(handle, request.version), PART_HEADER_SIZE, ENTRY_OVERHEAD)


@method("update_meta", read=True, write=True)
def update_meta(handle: ObjectHandle, request: UpdateMeta) -> None:
    """Changes the meta object if it has the version that the client knows; raises that."""
    if not request.version.instance:
        raise InvalidArgument("say of which version")
    info = _read_meta(handle, request.version)
    before = info.encode()
    _apply(info, request)
    if info.encode() != before:
        info.version.ver = info.version.ver + 1 & _U64
        _write_meta(handle, info)


def _apply(info: Info, update: UpdateMeta) -> None:
    if update.tail_part_num is not None:
        info.tail_part_num = _signed(update.tail_part_num)
    if update.min_push_part_num is not None:
        info.min_push_part_num = _signed(update.min_push_part_num)
    if update.max_push_part_num is not None:
        info.max_push_part_num = _signed(update.max_push_part_num)
    if update.head_part_num is not None:
        info.head_part_num = _signed(update.head_part_num)
    steps = {(entry.op, number) for number, entry in info.journal}
    steps |= {_step(entry) for entry in update.journal_entries_add}
    steps -= {(entry.op, entry.part_num) for entry in update.journal_entries_rm}
    info.journal = [(number, JournalEntry(op, number)) for op, number in sorted(steps)]


def _step(entry: JournalEntry) -> tuple[int, int]:
    """What is to be done, and with which part."""
    if entry.op not in _STEPS or entry.part_num < 0:
        raise InvalidArgument("that cannot be done with a part")
    return entry.op, entry.part_num


# ------------------------------------------------------------------------------------------- parts


def _read_header(handle: ObjectHandle) -> PartHeader:
    data = handle.read(0, PART_HEADER_SIZE, OpFlag.FADVISE_WILLNEED)
    header = decoded(handle, PartHeader, data, "the header of a fifo's part")
    header.tag = ""
    return header


def _write_header(handle: ObjectHandle, header: PartHeader) -> None:
    data = header.encode()
    if len(data) > PART_HEADER_SIZE:
        raise InputOutput("the header of the part is too long")
    handle.write(0, data, OpFlag.FADVISE_WILLNEED)


def _is_full(header: PartHeader) -> bool:
    return header.next_ofs > header.params.full_size_threshold


@method("init_part", read=True, write=True)
def init_part(handle: ObjectHandle, request: InitPart) -> None:
    """Makes a part; one that is there must be the same."""
    try:
        size = handle.stat().size
    except NotFound:
        size = 0
    if size:
        header = _read_header(handle)
        if header.params != request.params:
            raise Exists("there is another part")
        return
    header = PartHeader(
        params=request.params,
        magic=int.from_bytes(handle.gen_random_bytes(8), "little"),
        min_ofs=PART_HEADER_SIZE,
        next_ofs=PART_HEADER_SIZE,
        max_time=handle.now,
    )
    _write_header(handle, header)


@method("push_part", read=True, write=True)
def push_part(handle: ObjectHandle, request: PushPart) -> Reply:
    """Appends entries until the part is full; the return code is how many it took."""
    header = _read_header(handle)
    length = request.total_len + len(request.data_bufs) * ENTRY_OVERHEAD
    if length > header.params.max_part_size:
        raise InvalidArgument("that does not fit into a part")
    if _is_full(header):
        raise OutOfRange("the part is full")
    if sum(map(len, request.data_bufs)) != request.total_len:
        raise InvalidArgument("the entries are not as long as it is said")
    if not request.data_bufs:
        raise CephError.from_errno(errno.EFAULT, "there are no entries")
    start, first = header.next_ofs, header.max_index
    written = bytearray()
    second = EntryHeader(handle.now).encode()
    for data in request.data_bufs:
        if _is_full(header):
            break
        pre = EntryHeaderPre(
            header.magic, PRE_HEADER_SIZE, len(second), len(data), header.max_index
        )
        written += pre.encode() + second + data
        header.last_ofs = header.next_ofs
        header.next_ofs = start + len(written)
        header.max_index += 1
    header.max_time = handle.now
    handle.write(start, bytes(written), OpFlag.FADVISE_WILLNEED)
    _write_header(handle, header)
    return Reply(code=header.max_index - first)


class _Reader:
    """Reads the entries of a part one after another, from `ofs` on."""

    def __init__(self, handle: ObjectHandle, header: PartHeader, ofs: int) -> None:
        self.handle, self.header = handle, header
        self.ofs = max(ofs, header.min_ofs)
        self.data = b""

    @property
    def at_end(self) -> bool:
        return self.ofs >= self.header.next_ofs

    def _take(self, length: int) -> bytes:
        self._fetch(length)
        taken, self.data = self.data[:length], self.data[length:]
        self.ofs += length
        return taken

    def _fetch(self, length: int) -> None:
        if length > self.header.next_ofs - self.ofs:
            raise OutOfRange("an entry is longer than its part")
        missing = length - len(self.data)
        if missing > 0:
            start = self.ofs + len(self.data)
            self.data += self.handle.read(start, max(missing, PREFETCH), OpFlag.FADVISE_WILLNEED)
        if len(self.data) < length:
            raise OutOfRange("the part ends within an entry")

    def pre_header(self) -> EntryHeaderPre:
        """The first part of the next entry's header, which remains to be read."""
        self._fetch(PRE_HEADER_SIZE)
        pre = EntryHeaderPre.decode(self.data)
        if pre.magic != self.header.magic:
            raise OutOfRange("no entry begins there")
        return pre

    def entry(self) -> PartListEntry:
        """The next entry."""
        pre = self.pre_header()
        at = self.ofs
        self._take(pre.pre_size)
        try:
            time: UTime = EntryHeader.decode(self._take(pre.header_size)).mtime
        except WireError as error:
            raise InputOutput("the header of an entry is damaged") from error
        return PartListEntry(self._take(pre.data_size), at, time)


@method("trim_part", read=True, write=True)
def trim_part(handle: ObjectHandle, request: TrimPart) -> None:
    """Removes entries up to the one at an offset; a full part without entries is removed itself."""
    header = _read_header(handle)
    if request.ofs < header.min_ofs or (request.exclusive and request.ofs == header.min_ofs):
        return
    if request.ofs >= header.next_ofs:
        if _is_full(header):
            handle.remove()
            return
        header.min_ofs = header.next_ofs
        header.min_index = header.max_index
    else:
        reader = _Reader(handle, header, request.ofs)
        header.min_index = reader.pre_header().index
        if not request.exclusive:
            reader.entry()
            header.min_index += 1
        header.min_ofs = reader.ofs
    _write_header(handle, header)


@method("part_list", read=True)
def part_list(handle: ObjectHandle, request: ListPart) -> ListPartReply:
    """Entries after the one at an offset, or the first ones if that was trimmed."""
    header = _read_header(handle)
    reader = _Reader(handle, header, request.ofs)
    if request.ofs >= header.min_ofs and not reader.at_end:
        reader.entry()
    answer = ListPartReply()
    while len(answer.entries) < min(request.max_entries, MAX_LIST_ENTRIES) and not reader.at_end:
        answer.entries.append(reader.entry())
    answer.more = not reader.at_end
    answer.full_part = _is_full(header)
    return answer


@method("get_part_info", read=True)
def get_part_info(handle: ObjectHandle, request: GetPartInfo) -> GetPartInfoReply:
    """A part's header."""
    return GetPartInfoReply(_read_header(handle))
