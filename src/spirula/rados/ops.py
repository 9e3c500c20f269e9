"""Vectors of operations on one object, carried out together or not at all.

`WriteOp` and `ReadOp` have the methods of upstream's Python module and more; both APIs take them.
What is to be read is a `Step`, whose `value` is there once the vector was carried out. A vector is
empty again afterwards. Encodings: upstream `src/osdc/Objecter.h` (ObjectOperation).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, Self, TypeVar

from spirula.errors import WireError
from spirula.kernels.frames import as_bytes
from spirula.rados.checks import check, unsigned
from spirula.rados.constants import LIBRADOS_CMPXATTR_OP_EQ, LIBRADOS_OPERATION_NOFLAG
from spirula.rados.errors import Error, make_error
from spirula.types.object_info import ObjectLocator
from spirula.types.osd_op import (
    AllocHintArgs,
    AssertVerArgs,
    ChecksumArgs,
    ChecksumType,
    CmpXattrMode,
    CopyFromArgs,
    Extent,
    OpCode,
    OpFlag,
    OSDOp,
    SnapArgs,
    WriteSameArgs,
)
from spirula.types.osd_op_payload import (
    Checksum64Reply,
    ChecksumReply,
    CopyFromInput,
    OmapCmpInput,
    OmapEntries,
    OmapGetKeysInput,
    OmapGetKeysReply,
    OmapGetValsInput,
    OmapGetValsReply,
    OmapKeys,
    OmapRmKeyRangeInput,
    SparseReadReply,
    StatReply,
)
from spirula.types.snap import ListSnapsResponse

T = TypeVar("T")
Data = bytes | bytearray | memoryview


class ObjectStat(NamedTuple):
    """An object's size in bytes and when it changed, in seconds since 1970."""

    size: int
    mtime: float


class OmapPage(NamedTuple):
    """Entries of an omap in the order of their keys, and whether there are more behind."""

    entries: dict[str, bytes]
    more: bool


class OmapKeysPage(NamedTuple):
    """Keys of an omap in order, and whether there are more behind."""

    keys: list[str]
    more: bool


class Step(Generic[T]):
    """What one operation of a `ReadOp` answers.

    `result` is its own code; `value` raises the Error of it, or RadosStateError's kin before the
    vector was carried out. `is_lost` tells that the vector failed as a whole.
    """

    def __init__(self, op: OSDOp, decode: Callable[[bytes], T]) -> None:
        self._op = op
        self._decode = decode
        self._outcome: OSDOp | None = None
        self.is_lost = False

    @property
    def result(self) -> int:
        """Its code: 0 or more, or a negative errno."""
        return self._answer().rval

    @property
    def value(self) -> T:
        """What was read."""
        answer = self._answer()
        if answer.rval < 0:
            raise make_error(answer.rval, "the operation failed")
        try:
            return self._decode(as_bytes(answer.outdata))
        except WireError as error:
            raise make_error(5, f"the answer cannot be read: {error}") from error

    def _answer(self) -> OSDOp:
        if self._outcome is None:
            raise Error("nothing was read yet: the vector has to be carried out first")
        return self._outcome

    def _fill(self, answer: OSDOp) -> None:
        self._outcome = answer


class _Vector:
    """Operations in order. `set_flags` is about the last one added."""

    def __init__(self) -> None:
        self.ops: list[OSDOp] = []
        self.steps: list[tuple[int, Step[Any]]] = []

    def create(self) -> Self:
        """Itself (upstream allocates here)."""
        return self

    def release(self) -> None:
        """Forget what was added."""
        self.ops = []
        self.steps = []

    def set_flags(self, flags: int = LIBRADOS_OPERATION_NOFLAG) -> None:
        """Flags of the operation that was added last (LIBRADOS_OP_FLAG_*)."""
        check("flags", flags, int)
        if self.ops:
            self.ops[-1].flags = flags

    def take(self) -> tuple[list[OSDOp], list[tuple[int, Step[Any]]]]:
        """The operations and what waits for their answers; the vector is empty afterwards."""
        taken = self.ops, self.steps
        self.ops, self.steps = [], []
        return taken

    def cmpext(self, cmp_buf: bytes, offset: int = 0) -> None:
        """Go on only if the object has these bytes there; ExtendMismatch tells where it differs."""
        check("cmp_buf", cmp_buf, bytes)
        self.ops.append(_extent(OpCode.CMPEXT, offset, cmp_buf))

    def omap_cmp(self, key: str, val: str | bytes, cmp_op: int = LIBRADOS_CMPXATTR_OP_EQ) -> None:
        """Go on only if the omap's value compares so (LIBRADOS_CMPXATTR_OP_*)."""
        check("key", key, str)
        value = val.encode() if isinstance(val, str) else check("val", val, bytes)
        told = OmapCmpInput({key: (value, cmp_op)}).encode()
        self.ops.append(OSDOp.make(OpCode.OMAP_CMP, None, told))

    def cmp_xattr(self, name: str, value: bytes, cmp_op: int = LIBRADOS_CMPXATTR_OP_EQ) -> None:
        """Go on only if the attribute compares so, as a string of bytes."""
        op = OSDOp.xattr(OpCode.CMPXATTR, name, value, cmp_op, CmpXattrMode.STRING)
        self.ops.append(op)

    def assert_exists(self) -> None:
        """Go on only if the object is there."""
        self.ops.append(OSDOp.make(OpCode.STAT))

    def assert_version(self, version: int) -> None:
        """Go on only if the object has this version (see `get_last_version`)."""
        args = AssertVerArgs(0, unsigned("version", version))
        self.ops.append(OSDOp.make(OpCode.ASSERT_VER, args))


def _extent(code: OpCode, offset: int, data: Data) -> OSDOp:
    return OSDOp.make(code, Extent(unsigned("offset", offset), len(data)), data)


class WriteOp(_Vector):
    """Changes to one object."""

    def new(self, exclusive: int | None = None) -> None:
        """Make the object; LIBRADOS_CREATE_EXCLUSIVE: fail where it is there."""
        if exclusive is None:
            raise TypeError("an integer is required")
        check("exclusive", exclusive, int)
        flags = OpFlag.EXCL if exclusive else 0
        self.ops.append(OSDOp.make(OpCode.CREATE, None, b"", flags))

    def remove(self) -> None:
        """Remove the object."""
        self.ops.append(OSDOp.make(OpCode.DELETE))

    def set_xattr(self, xattr_name: str, xattr_value: bytes) -> None:
        """Set an attribute."""
        check("xattr_name", xattr_name, str)
        check("xattr_value", xattr_value, bytes)
        self.ops.append(OSDOp.xattr(OpCode.SETXATTR, xattr_name, xattr_value))

    def rm_xattr(self, xattr_name: str) -> None:
        """Remove an attribute."""
        self.ops.append(OSDOp.xattr(OpCode.RMXATTR, check("xattr_name", xattr_name, str)))

    def append(self, to_write: Data) -> None:
        """Write behind the object's end."""
        check("to_write", to_write, Data)
        self.ops.append(_extent(OpCode.APPEND, 0, to_write))

    def write_full(self, to_write: Data) -> None:
        """Put these bytes in place of the whole content."""
        check("to_write", to_write, Data)
        self.ops.append(_extent(OpCode.WRITEFULL, 0, to_write))

    def write(self, to_write: Data, offset: int = 0) -> None:
        """Write at an offset."""
        check("to_write", to_write, Data)
        self.ops.append(_extent(OpCode.WRITE, offset, to_write))

    def writesame(self, to_write: Data, write_len: int, offset: int = 0) -> None:
        """Write the same bytes again and again until `write_len` bytes are full."""
        check("to_write", to_write, Data)
        args = WriteSameArgs(
            unsigned("offset", offset), unsigned("write_len", write_len), len(to_write)
        )
        self.ops.append(OSDOp.make(OpCode.WRITESAME, args, to_write))

    def zero(self, offset: int, length: int) -> None:
        """Write zeros."""
        args = Extent(unsigned("offset", offset), unsigned("length", length))
        self.ops.append(OSDOp.make(OpCode.ZERO, args))

    def truncate(self, offset: int) -> None:
        """Give the object this size."""
        self.ops.append(OSDOp.make(OpCode.TRUNCATE, Extent(unsigned("offset", offset))))

    def execute(self, cls: str, method: str, data: bytes) -> None:
        """Call a method of an object class; what it returns is lost."""
        check("cls", cls, str)
        check("method", method, str)
        self.ops.append(OSDOp.call(cls, method, check("data", data, bytes)))

    def omap_set(self, entries: Mapping[str, bytes]) -> None:
        """Set entries of the omap."""
        ordered = dict(sorted(entries.items(), key=lambda item: item[0].encode()))
        self.ops.append(OSDOp.make(OpCode.OMAPSETVALS, None, OmapEntries(ordered).encode()))

    def omap_rm_keys(self, keys: Iterable[str]) -> None:
        """Remove entries of the omap."""
        self.ops.append(OSDOp.make(OpCode.OMAPRMKEYS, None, OmapKeys(set(keys)).encode()))

    def omap_rm_range(self, key_begin: str, key_end: str) -> None:
        """Remove the entries from one key on to before another."""
        told = OmapRmKeyRangeInput(key_begin, key_end).encode()
        self.ops.append(OSDOp.make(OpCode.OMAPRMKEYRANGE, None, told))

    def omap_clear(self) -> None:
        """Remove all entries of the omap, and its header."""
        self.ops.append(OSDOp.make(OpCode.OMAPCLEAR))

    def omap_set_header(self, header: bytes) -> None:
        """Set the header of the omap."""
        self.ops.append(OSDOp.make(OpCode.OMAPSETHEADER, None, header))

    def set_alloc_hint(self, object_size: int, write_size: int, flags: int = 0) -> None:
        """Say how large the object will be, and writes to it."""
        args = AllocHintArgs(object_size, write_size, flags)
        self.ops.append(OSDOp.make(OpCode.SETALLOCHINT, args, b"", OpFlag.FAILOK))

    def rollback(self, snap_id: int) -> None:
        """Give the object what it had in a snapshot."""
        self.ops.append(OSDOp.make(OpCode.ROLLBACK, SnapArgs(snap_id)))

    def copy_from(
        self, source: str, locator: ObjectLocator, snap: int, version: int = 0, flags: int = 0
    ) -> None:
        """Put a copy of another object in place of this one; `version` 0: of whatever it has."""
        told = CopyFromInput(source, locator).encode()
        args = CopyFromArgs(snap, version, flags, 0)
        self.ops.append(OSDOp.make(OpCode.COPY_FROM, args, told))


class ReadOp(_Vector):
    """Questions about one object, answered from one state of it."""

    def _add(self, op: OSDOp, decode: Callable[[bytes], T]) -> Step[T]:
        step = Step(op, decode)
        self.steps.append((len(self.ops), step))
        self.ops.append(op)
        return step

    def read(self, length: int = 0, offset: int = 0) -> Step[bytes]:
        """Bytes from an offset on; a length of 0 means up to the end."""
        args = Extent(unsigned("offset", offset), unsigned("length", length))
        return self._add(OSDOp.make(OpCode.READ, args), bytes)

    def sparse_read(self, length: int, offset: int = 0) -> Step[list[tuple[int, bytes]]]:
        """The parts that were written: offset and bytes of each."""
        args = Extent(unsigned("offset", offset), unsigned("length", length))
        return self._add(OSDOp.make(OpCode.SPARSE_READ, args), _sparse)

    def stat(self) -> Step[ObjectStat]:
        """Size and time of change."""
        return self._add(OSDOp.make(OpCode.STAT), decode_stat)

    def get_xattr(self, name: str) -> Step[bytes]:
        """An attribute; NoData where it is not set."""
        return self._add(OSDOp.xattr(OpCode.GETXATTR, name), bytes)

    def get_xattrs(self) -> Step[dict[str, bytes]]:
        """All attributes."""
        return self._add(OSDOp.make(OpCode.GETXATTRS), decode_entries)

    def omap_get_vals(
        self, start_after: str = "", prefix: str = "", max_return: int = 1024
    ) -> Step[OmapPage]:
        """Entries of the omap behind a key, of keys with a prefix; at most so many."""
        told = OmapGetValsInput(start_after, max_return, prefix).encode()
        return self._add(OSDOp.make(OpCode.OMAPGETVALS, None, told), _omap_page)

    def omap_get_keys(self, start_after: str = "", max_return: int = 1024) -> Step[OmapKeysPage]:
        """Keys of the omap behind a key; at most so many."""
        told = OmapGetKeysInput(start_after, max_return).encode()
        return self._add(OSDOp.make(OpCode.OMAPGETKEYS, None, told), _omap_keys)

    def omap_get_vals_by_keys(self, keys: Iterable[str]) -> Step[dict[str, bytes]]:
        """Those entries of the omap that there are."""
        told = OmapKeys(set(keys)).encode()
        return self._add(OSDOp.make(OpCode.OMAPGETVALSBYKEYS, None, told), decode_entries)

    def omap_get_header(self) -> Step[bytes]:
        """The header of the omap."""
        return self._add(OSDOp.make(OpCode.OMAPGETHEADER), bytes)

    def execute(self, cls: str, method: str, data: bytes = b"") -> Step[bytes]:
        """Call a method of an object class that changes nothing."""
        return self._add(OSDOp.call(cls, method, data), bytes)

    def list_snaps(self) -> Step[ListSnapsResponse]:
        """The object's clones. The I/O context must read at SNAPDIR."""
        return self._add(OSDOp.make(OpCode.LIST_SNAPS), ListSnapsResponse.decode)

    def checksum(
        self,
        kind: ChecksumType = ChecksumType.CRC32C,
        initial: int = 0xFFFFFFFF,
        length: int = 0,
        offset: int = 0,
        chunk_size: int = 0,
    ) -> Step[list[int]]:
        """Checksums of bytes, one per chunk; `initial` is what the sum begins with."""
        wide = kind == ChecksumType.XXHASH64
        told = initial.to_bytes(8 if wide else 4, "little")
        args = ChecksumArgs(offset, length, chunk_size, kind)
        return self._add(
            OSDOp.make(OpCode.CHECKSUM, args, told),
            lambda data: list(
                Checksum64Reply.decode(data).checksums
                if wide
                else ChecksumReply.decode(data).checksums
            ),
        )


def lose(steps: Sequence[tuple[int, Step[Any]]]) -> None:
    """Tell the steps of a vector that it failed."""
    for _, step in steps:
        step.is_lost = True


def fill(steps: Sequence[tuple[int, Step[Any]]], answers: Sequence[OSDOp]) -> None:
    """Hand the answers of a vector to its steps."""
    for index, step in steps:
        if index < len(answers):
            step._fill(answers[index])


def decode_stat(data: bytes) -> ObjectStat:
    """What `stat` answers."""
    reply = StatReply.decode(data)
    return ObjectStat(reply.size, float(reply.mtime))


def decode_entries(data: bytes) -> dict[str, bytes]:
    """Attributes, or entries of an omap."""
    return {key: bytes(value) for key, value in OmapEntries.decode(data).entries.items()}


def _omap_page(data: bytes) -> OmapPage:
    reply = OmapGetValsReply.decode(data)
    return OmapPage({key: bytes(value) for key, value in reply.entries.items()}, reply.truncated)


def _omap_keys(data: bytes) -> OmapKeysPage:
    reply = OmapGetKeysReply.decode(data)
    return OmapKeysPage(sorted(reply.keys, key=str.encode), reply.truncated)


def _sparse(data: bytes) -> list[tuple[int, bytes]]:
    reply = SparseReadReply.decode(data)
    parts, at = [], 0
    for offset, length in sorted(reply.extents.items()):
        parts.append((offset, bytes(reply.data[at : at + length])))
        at += length
    return parts
