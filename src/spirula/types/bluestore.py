"""What real OSDs keep on their devices: records of BlueStore, BlueFS and older stores.

For tools that look into the store of a real OSD; Spirula's own store has its own. Formats: upstream
`src/os/bluestore/bluestore_types.h`, `bluefs_types.h`, `src/os/kstore/kstore_types.h`,
`src/os/filestore/DBObjectMap.h`, `SequencerPosition.h`.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Self

from spirula.denc import (
    Codec,
    Map,
    Opt,
    Raw,
    Struct,
    Vec,
    blob,
    boolean,
    default,
    irregular,
    removed,
    s32,
    since,
    string,
    struct,
    u8,
    u32,
    u64,
    uuid_d,
)
from spirula.denc.codecs import codec_of, too_many
from spirula.denc.emitter import Emitter
from spirula.denc.varint import (
    get_varint,
    get_varint_lowz,
    lba,
    put_varint,
    put_varint_lowz,
    varint,
    varint_lowz,
)
from spirula.errors import WireError
from spirula.kernels.crc32c import crc32c
from spirula.types.base import UTime
from spirula.types.hobject import GHObject
from spirula.types.interval_set import IntervalSet
from spirula.types.mon import CompatSet
from spirula.types.pg import Coll

_BANNER = b"bluestore block device\n"
_BANNER_SIZE = 60
_CRC_SEED = 0xFFFFFFFF


@struct(name="bluestore_cnode_t", version=1, compat=1)
class BlueStoreCnode(Struct):
    """A collection: in how many bits of their hashes its objects agree."""

    bits: u32


@struct(name="bluestore_pextent_t")
class BlueStorePExtent(Struct):
    """A range of bytes on a device."""

    offset: lba
    length: varint_lowz


class _ShortVec(Codec):
    """A list whose count is a varint."""

    min_size = 1

    def __init__(self, item: Any) -> None:
        self.item = codec_of(item)

    def zero(self) -> list[Any]:
        return []

    def emit_encode(self, expr: str, emit: Emitter) -> None:
        emit.flush_out()
        item = emit.fresh("i")
        emit.line(f"{emit.const(put_varint)}(out, len({expr}))")
        emit.line(f"for {item} in {expr}:")
        with emit.block():
            self.item.emit_encode(item, emit)
            emit.flush_out()

    def emit_decode(self, target: str, emit: Emitter) -> None:
        emit.flush_in()
        count, item = emit.fresh("n"), emit.fresh("x")
        emit.line(f"{count}, pos = {emit.const(get_varint)}(buf, pos)")
        emit.line(f"if {count} > end - pos: raise too_many({count}, pos, end - pos)")
        emit.line(f"{target} = []")
        emit.line(f"for _ in range({count}):")
        with emit.block():
            self.item.emit_decode(item, emit)
            emit.flush_in()
            emit.line(f"{target}.append({item})")

    def plain(self, value: Any) -> Any:
        return [self.item.plain(item) for item in value]


PExtents = Annotated[list[BlueStorePExtent], _ShortVec(BlueStorePExtent)]


@struct(name="bluestore_extent_ref_map_t::record_t")
class ExtentRefRecord(Struct):
    """How often a range is used."""

    length: varint_lowz
    refs: varint


@irregular("bluestore_extent_ref_map_t")
@dataclass(slots=True)
class ExtentRefMap(Struct):
    """How often ranges of a device are used, by where they begin."""

    _denc_min_size: ClassVar[int] = 1

    ref_map: dict[int, ExtentRefRecord] = field(default_factory=dict)

    def _enc(self, out: bytearray, features: int) -> None:
        put_varint(out, len(self.ref_map))
        before = 0
        for offset in sorted(self.ref_map):
            put_varint_lowz(out, offset - before)
            self.ref_map[offset]._enc(out, features)
            before = offset

    @classmethod
    def _dec(cls, buf: bytes, pos: int, end: int, features: int) -> tuple[Self, int]:
        count, pos = get_varint(buf, pos)
        if count > (end - pos) // 3:
            raise too_many(count, pos, (end - pos) // 3)
        made, offset = cls(), 0
        for _ in range(count):
            step, pos = get_varint_lowz(buf, pos)
            offset += step
            made.ref_map[offset], pos = ExtentRefRecord._dec(buf, pos, end, features)
        return made, pos

    def plain(self) -> list[dict[str, int]]:
        """As JSON can hold it."""
        return [
            {"offset": offset, "length": record.length, "refs": record.refs}
            for offset, record in self.ref_map.items()
        ]


@irregular("bluestore_blob_use_tracker_t")
@dataclass(slots=True)
class BlobUseTracker(Struct):
    """How many bytes of a blob are used.

    Of each allocation unit, or in total where it is not cut up.
    """

    _denc_min_size: ClassVar[int] = 1

    au_size: int = 0
    bytes_per_au: list[int] = field(default_factory=list)
    total_bytes: int = 0

    def _enc(self, out: bytearray, features: int) -> None:
        put_varint(out, self.au_size)
        if self.au_size:
            put_varint(out, len(self.bytes_per_au))
            for used in self.bytes_per_au or [self.total_bytes]:
                put_varint(out, used)

    @classmethod
    def _dec(cls, buf: bytes, pos: int, end: int, features: int) -> tuple[Self, int]:
        made = cls()
        made.au_size, pos = get_varint(buf, pos)
        if made.au_size:
            count, pos = get_varint(buf, pos)
            if count > end - pos:
                raise too_many(count, pos, end - pos)
            for _ in range(count):
                used, pos = get_varint(buf, pos)
                made.bytes_per_au.append(used)
            if not count:
                made.total_bytes, pos = get_varint(buf, pos)
        return made, pos

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "au_size": self.au_size,
            "bytes_per_au": self.bytes_per_au,
            "total_bytes": self.total_bytes,
        }


@struct(name="bluestore_shared_blob_t", version=1, compat=1)
class BlueStoreSharedBlob(Struct):
    """What clones of an object share."""

    ref_map: ExtentRefMap


@struct(name="bluestore_onode_t::shard_info")
class OnodeShardInfo(Struct):
    """A part of an object's extent map: where it begins, and its size on disk."""

    offset: varint
    bytes_: varint


@struct(name="bluestore_onode_t", version=1, compat=1)
class BlueStoreOnode(Struct):
    """An object: its number, size, attributes, and how its extent map is cut up."""

    nid: varint
    size: varint
    attrs: Map[string, blob]
    flags: u8
    extent_map_shards: Vec[OnodeShardInfo]
    expected_object_size: varint
    expected_write_size: varint
    alloc_hint_flags: varint


@struct(name="bluestore_deferred_op_t", version=1, compat=1)
class BlueStoreDeferredOp(Struct):
    """A write that stands in the log and is still to be done."""

    op: u8
    extents: PExtents
    data: blob


@struct(name="bluestore_deferred_transaction_t", version=1, compat=1)
class BlueStoreDeferredTransaction(Struct):
    """Such writes, and the ranges that are free once they are done."""

    seq: u64
    ops: Vec[BlueStoreDeferredOp]
    released: IntervalSet


@struct(name="bluestore_compression_header_t", version=2, compat=1)
class BlueStoreCompressionHeader(Struct):
    """How a blob was compressed, and to how many bytes."""

    type: u8
    length: u32
    compressor_message: Opt[s32] = since(2)


@struct(version=2, compat=1)
class _BdevLabel(Struct):
    osd_uuid: uuid_d
    size: u64
    btime: UTime
    description: string
    meta: Map[string, string] = since(2)


@irregular("bluestore_bdev_label_t")
@dataclass(slots=True)
class BlueStoreBdevLabel(Struct):
    """The first block of a device: whose it is.

    Readable text with the OSD's UUID stands before it.
    """

    _denc_min_size: ClassVar[int] = _BANNER_SIZE + 6

    label: _BdevLabel = field(default_factory=_BdevLabel)

    def _enc(self, out: bytearray, features: int) -> None:
        out += _BANNER + str(uuid.UUID(bytes=self.label.osd_uuid)).encode() + b"\n"
        self.label._enc(out, features)

    @classmethod
    def _dec(cls, buf: bytes, pos: int, end: int, features: int) -> tuple[Self, int]:
        label, pos = _BdevLabel._dec(buf, pos + _BANNER_SIZE, end, features)
        return cls(label), pos

    def plain(self) -> Any:
        """As JSON can hold it."""
        return self.label.plain()


@struct(name="bluefs_extent_t", version=1, compat=1)
class BlueFSExtent(Struct):
    """A range of bytes on one of BlueFS's devices."""

    offset: lba
    length: varint_lowz
    bdev: u8


@struct(name="bluefs_fnode_t", version=1, compat=1)
class BlueFSFnode(Struct):
    """A file. From 20.2 on it may have another encoding and a content of another size."""

    ino: varint
    size: varint
    mtime: UTime
    prefer_bdev: u8 = removed()
    extents: Vec[BlueFSExtent]
    encoding: u8 = since(2)
    content_size: varint = since(2)


@struct(name="bluefs_fnode_delta_t", version=1, compat=1)
class BlueFSFnodeDelta(Struct):
    """How a file grew: extents that came to it from `offset` on."""

    ino: varint
    size: varint
    mtime: UTime
    offset: u64
    extents: Vec[BlueFSExtent]
    encoding: u8 = since(2)
    content_size: varint = since(2)


@struct(name="bluefs_layout_t", version=1, compat=1)
class BlueFSLayout(Struct):
    """Which devices BlueFS has."""

    shared_bdev: u32
    dedicated_db: boolean
    dedicated_wal: boolean


@struct(name="bluefs_super_t", version=2, compat=1)
class BlueFSSuper(Struct):
    """Where BlueFS's log is.

    Version 3 (20.2) adds no field: it says that files may have another encoding.
    """

    uuid: uuid_d
    osd_uuid: uuid_d
    version: u64
    block_size: u32 = default(4096)
    log_fnode: BlueFSFnode
    memorized_layout: Opt[BlueFSLayout] = since(2)
    other_encodings: Annotated[bytes, Raw(0)] = since(3)


@struct(name="bluefs_transaction_t", version=1, compat=1)
class BlueFSTransaction(Struct):
    """Changes to BlueFS, encoded one after another in `op_bl`, and the CRC-32C of that.

    A decoded one has the CRC that was written; `check` says whether it fits.
    """

    uuid: uuid_d
    seq: u64
    op_bl: blob
    crc: u32 = default(_CRC_SEED)

    def seal(self) -> None:
        """Computes the CRC."""
        self.crc = crc32c(_CRC_SEED, self.op_bl)

    def check(self) -> None:
        """Raises WireError when the CRC does not fit."""
        if self.crc != crc32c(_CRC_SEED, self.op_bl):
            raise WireError("transaction's checksum does not fit", path="bluefs_transaction_t")


@struct(name="kstore_cnode_t", version=1, compat=1)
class KStoreCnode(Struct):
    """A collection of KStore: in how many bits of their hashes its objects agree."""

    bits: u32


@struct(name="kstore_onode_t", version=1, compat=1)
class KStoreOnode(Struct):
    """An object of KStore."""

    nid: u64
    size: u64
    attrs: Map[string, blob]
    omap_head: u64
    stripe_size: u32
    expected_object_size: u32
    expected_write_size: u32
    alloc_hint_flags: u32


@struct(name="SequencerPosition", version=1, compat=1)
class SequencerPosition(Struct):
    """A place in FileStore's journal."""

    seq: u64
    trans: u32
    op: u32


@struct(name="FSSuperblock", version=2, compat=1)
class FSSuperblock(Struct):
    """What a FileStore must be read with."""

    compat_features: CompatSet
    omap_backend: string = since(2)


@struct(name="DBObjectMap::State", version=3, compat=1)
class DBObjectMapState(Struct):
    """The version of FileStore's omap, and the next number for an object."""

    v: u8 = since(2)
    seq: u64
    legacy: boolean = since(3, default=False)


@struct(name="DBObjectMap::_Header", version=2, compat=1)
class DBObjectMapHeader(Struct):
    """An object in FileStore's omap; a clone shares entries with its parent."""

    seq: u64
    parent: u64
    num_children: u64
    unused: Coll = removed()
    oid: GHObject
    spos: SequencerPosition = since(2)
