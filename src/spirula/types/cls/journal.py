"""The object class `journal` and what a journal's data objects hold (RBD's mirroring uses both).

Layouts of its methods' arguments and results, of the stored clients and tags, and of one entry in a
data object. What the entries' payload
means is RBD's. Formats: upstream `src/cls/journal/cls_journal_types.h`, `src/journal/Entry.cc`.
"""

from __future__ import annotations

import struct as _struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

from spirula.denc import Opt, Struct, Vec, blob, irregular, s64, string, struct, u8, u64
from spirula.errors import Truncated, WireError
from spirula.kernels.crc32c import crc32c

TAG_CLASS_NEW: Final = 0xFFFFFFFFFFFFFFFF
"""The tag class that asks for one of its own."""

ENTRY_PREAMBLE: Final = 0x3141592653589793
"""What every entry begins with."""

_ENTRY: Final = _struct.Struct("<QBQQI")
_CRC: Final = _struct.Struct("<I")


class ClientState(IntEnum):
    """Whether a client still follows; the journal is not kept for one that was disconnected."""

    CONNECTED = 0
    DISCONNECTED = 1


@struct(name=("cls::journal::ObjectPosition", "ObjectPosition"), version=1, compat=1)
class ObjectPosition(Struct):
    """An entry of the journal: the object it stands in, its tag, and its number within that."""

    object_number: u64
    tag_tid: u64
    entry_tid: u64


@struct(name=("cls::journal::ObjectSetPosition", "ObjectSetPosition"), version=1, compat=1)
class ObjectSetPosition(Struct):
    """A position in the whole journal: the newest entry of each object, newest first."""

    object_positions: Vec[ObjectPosition]


@struct(name=("cls::journal::Client", "Client"), version=1, compat=1)
class Client(Struct):
    """Somebody who reads the journal, and how far; `state` is a ClientState."""

    id: string
    data: blob
    commit_position: ObjectSetPosition
    state: u8


@struct(name=("cls::journal::Tag", "Tag"), version=1, compat=1)
class Tag(Struct):
    """An era of writing, such as one writer's; entries name it."""

    tid: u64
    tag_class: u64
    data: blob


@struct
class CreateOp(Struct):
    """Make a journal: data objects of 2 to the power of `order` bytes, `splay_width` at a time."""

    order: u8
    splay_width: u8
    pool_id: s64


@struct
class SmallNumber(Struct):
    """The order or splay width, as an answer and as stored."""

    value: u8


@struct
class Number(Struct):
    """A set of objects, a tag's number or class, a size: as an argument, an answer, and stored."""

    value: u64


@struct
class PoolId(Struct):
    """The pool of the data objects (-1: that of the journal's header)."""

    value: s64


@struct
class ClientId(Struct):
    """Name a client."""

    id: string


@struct
class ClientDataOp(Struct):
    """Register a client, or give it other data."""

    id: string
    data: blob


@struct
class ClientStateOp(Struct):
    """Set the ClientState of a client."""

    id: string
    state: u8


@struct
class ClientCommitOp(Struct):
    """Note how far a client has come."""

    id: string
    commit_position: ObjectSetPosition


@struct
class ClientListOp(Struct):
    """Ask for clients after one."""

    start_after: string
    max_return: u64


@struct
class Clients(Struct):
    """Clients, sorted by id."""

    clients: Vec[Client]


@struct
class TagCreateOp(Struct):
    """Begin a tag: the next one, of a class that exists or of a new one (TAG_CLASS_NEW)."""

    tag_tid: u64
    tag_class: u64
    data: blob


@struct
class TagListOp(Struct):
    """Ask for tags after one, that a client still needs, of a class or of all."""

    start_after_tag_tid: u64
    max_return: u64
    client_id: string
    tag_class: Opt[u64]


@struct
class Tags(Struct):
    """Tags, sorted by number."""

    tags: Vec[Tag]


@struct
class AppendOp(Struct):
    """Append to a data object, unless it has so many bytes already."""

    soft_max_size: u64
    data: blob


@irregular("journal::Entry")
@dataclass(slots=True)
class Entry(Struct):
    """One entry as it stands in a data object, with a preamble and its own checksum."""

    tag_tid: int = 0
    entry_tid: int = 0
    data: bytes = b""

    def _enc(self, out: bytearray, features: int) -> None:
        del features
        start = len(out)
        out += _ENTRY.pack(ENTRY_PREAMBLE, 1, self.entry_tid, self.tag_tid, len(self.data))
        out += self.data
        out += _CRC.pack(crc32c(0, out[start:]))

    @classmethod
    def _dec(cls, buf: bytes, pos: int, end: int, features: int) -> tuple[Self, int]:
        del features
        preamble, version, entry_tid, tag_tid, length = _ENTRY.unpack_from(buf, pos)
        if preamble != ENTRY_PREAMBLE:
            raise WireError(f"preamble is {preamble:#x}", offset=pos)
        if version != 1:
            raise WireError(f"entry has version {version}, not 1", offset=pos + 8)
        data = pos + _ENTRY.size
        stop = data + length
        if stop + _CRC.size > end:
            raise Truncated("entry runs past the end", offset=data, limit=end)
        (crc,) = _CRC.unpack_from(buf, stop)
        if crc != crc32c(0, buf[pos:stop]):
            raise WireError("entry does not match its checksum", offset=stop)
        return cls(tag_tid, entry_tid, buf[data:stop]), stop + _CRC.size

    def plain(self) -> object:
        """The value as JSON can hold it."""
        return {"tag_tid": self.tag_tid, "entry_tid": self.entry_tid, "data": self.data.hex()}
