"""What RBD writes into an image's journal: events, and what clients and tags mean to it.

These are the payloads of `types.cls.journal`: EventEntry of its entries, ClientData and TagData of
its clients and tags. Replaying them is `spirula.rbd`.
Format: upstream `src/librbd/journal/Types.h`, `Types.cc`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Final, Self

from spirula.denc import (
    Map,
    Opt,
    Struct,
    Vec,
    blob,
    boolean,
    default,
    irregular,
    s32,
    since,
    string,
    struct,
    u32,
    u64,
    until,
)
from spirula.types import tagged
from spirula.types.base import UTime
from spirula.types.cls.rbd import SnapshotNamespace
from spirula.types.hobject import NOSNAP


@struct(version=5, external=True)
class AioDiscardEvent(Struct):
    """Bytes were discarded; parts smaller than `discard_granularity_bytes` were left alone."""

    offset: u64
    length: u64
    skip_partial_discard: boolean = since(4)
    discard_granularity_bytes: u32 = since(5)


@struct(version=5, external=True)
class AioWriteEvent(Struct):
    """Bytes were written."""

    offset: u64
    length: u64
    data: blob


@struct(version=5, external=True)
class AioWriteSameEvent(Struct):
    """`data` was written over and over."""

    offset: u64
    length: u64
    data: blob


@struct(version=5, external=True)
class AioCompareAndWriteEvent(Struct):
    """Bytes were compared and then written."""

    offset: u64
    length: u64
    cmp_data: blob
    write_data: blob


@struct(version=5, external=True)
class AioFlushEvent(Struct):
    """All before this was made durable."""


@struct(version=5, external=True)
class OpFinishEvent(Struct):
    """A maintenance operation ended with result `r`; its number stands there twice."""

    op_tid: u64
    op_tid_again: u64
    r: s32


@struct(version=5, external=True)
class SnapEvent(Struct):
    """What most events about snapshots say."""

    op_tid: u64
    snap_name: string
    snap_namespace: SnapshotNamespace = since(4)


@struct(version=5, external=True)
class SnapCreateEvent(Struct):
    """A snapshot is made; its namespace came in one version before the others'."""

    op_tid: u64
    snap_name: string
    snap_namespace: SnapshotNamespace = since(3)


@struct(version=5, external=True)
class SnapRemoveEvent(SnapEvent):
    """A snapshot is removed."""


@struct(version=5, external=True)
class SnapProtectEvent(SnapEvent):
    """A snapshot is protected from removal."""


@struct(version=5, external=True)
class SnapUnprotectEvent(SnapEvent):
    """A snapshot is no longer protected."""


@struct(version=5, external=True)
class SnapRollbackEvent(SnapEvent):
    """The image returns to a snapshot."""


@struct(version=5, external=True)
class SnapRenameEvent(Struct):
    """A snapshot is renamed."""

    op_tid: u64
    dst_snap_name: string
    snap_id: u64 = default(NOSNAP)
    src_snap_name: string = since(2)


@struct(version=5, external=True)
class SnapLimitEvent(Struct):
    """The number of snapshots is limited."""

    op_tid: u64
    limit: u64


@struct(version=5, external=True)
class RenameEvent(Struct):
    """The image is renamed."""

    op_tid: u64
    image_name: string


@struct(version=5, external=True)
class ResizeEvent(Struct):
    """The image gets another size in bytes."""

    op_tid: u64
    size: u64


@struct(version=5, external=True)
class FlattenEvent(Struct):
    """The image is detached from its parent."""

    op_tid: u64


@struct(version=5, external=True)
class DemotePromoteEvent(Struct):
    """The image was demoted and promoted again."""


@struct(version=5, external=True)
class UpdateFeaturesEvent(Struct):
    """Features of the image are switched on or off."""

    op_tid: u64
    features: u64
    enabled: boolean


@struct(version=5, external=True)
class MetadataSetEvent(Struct):
    """A value is stored with the image."""

    op_tid: u64
    key: string
    value: string


@struct(version=5, external=True)
class MetadataRemoveEvent(Struct):
    """A value is removed from the image."""

    op_tid: u64
    key: string


_EVENTS: Final[dict[int, type[Struct]]] = dict(
    enumerate(
        (
            AioDiscardEvent,
            AioWriteEvent,
            AioFlushEvent,
            OpFinishEvent,
            SnapCreateEvent,
            SnapRemoveEvent,
            SnapRenameEvent,
            SnapProtectEvent,
            SnapUnprotectEvent,
            SnapRollbackEvent,
            RenameEvent,
            ResizeEvent,
            FlattenEvent,
            DemotePromoteEvent,
            SnapLimitEvent,
            UpdateFeaturesEvent,
            MetadataSetEvent,
            MetadataRemoveEvent,
            AioWriteSameEvent,
            AioCompareAndWriteEvent,
        )
    )
)
_EVENT_NUMBERS: Final = {kind: number for number, kind in _EVENTS.items()}


@struct(version=1, compat=1)
class _EventMetadata(Struct):
    timestamp: UTime


@irregular("librbd::journal::EventEntry", "EventEntry")
@dataclass(slots=True)
class EventEntry(Struct):
    """An event and when it happened (not known of entries before struct version 4)."""

    VERSION: ClassVar[int] = 5

    event: tagged.Body = field(default_factory=AioFlushEvent)
    timestamp: UTime = field(default_factory=UTime)

    def _enc(self, out: bytearray, features: int) -> None:
        tagged.put(out, features, self.VERSION, _EVENT_NUMBERS, self.event)
        _EventMetadata(self.timestamp)._enc(out, features)

    @classmethod
    def _dec(cls, buf: bytes, pos: int, end: int, features: int) -> tuple[Self, int]:
        event, version, pos = tagged.get(buf, pos, end, features, _EVENTS)
        if version < 4:
            return cls(event), pos
        metadata, pos = _EventMetadata._dec(buf, pos, end, features)
        return cls(event, metadata.timestamp), pos

    def plain(self) -> object:
        """The value as JSON can hold it."""
        return {**tagged.plain("event_type", self.event), "timestamp": self.timestamp.plain()}


@struct(version=2, external=True)
class ImageClientMeta(Struct):
    """The image itself as a client: the class of its tags, and whether it wants to start over."""

    tag_class: u64
    resync_requested: boolean


@struct
class OldSyncPoint(Struct):
    """A sync point as struct version 1 had it."""

    snap_name: string
    from_snap_name: string
    object_number: Opt[u64]


@struct
class MirrorPeerSyncPoint(OldSyncPoint):
    """A snapshot up to which a peer copies the image, and the object that it has reached."""

    snap_namespace: SnapshotNamespace


@struct(version=2, external=True)
class MirrorPeerClientMeta(Struct):
    """A peer as a client: its image, and whether it still copies (`state` 0) or replays (1).

    `sync_object_count` is the most objects that were ever copied; `snap_seqs` gives the peer's
    snapshots by ours.
    """

    image_id: string
    state: u32
    sync_object_count: u64
    old_sync_points: Vec[OldSyncPoint] = until(2)
    sync_points: Vec[MirrorPeerSyncPoint] = since(2)
    snap_seqs: Map[u64, u64]


@struct(version=2, external=True)
class CliClientMeta(Struct):
    """A client from the command line."""


_CLIENTS: Final[dict[int, type[Struct]]] = {
    0: ImageClientMeta,
    1: MirrorPeerClientMeta,
    2: CliClientMeta,
}
_CLIENT_NUMBERS: Final = {kind: number for number, kind in _CLIENTS.items()}


@irregular("librbd::journal::ClientData", "ClientData")
@dataclass(slots=True)
class ClientData(Struct):
    """What the journal remembers of a client: one of the types above."""

    VERSION: ClassVar[int] = 2

    client_meta: tagged.Body = field(default_factory=ImageClientMeta)

    def _enc(self, out: bytearray, features: int) -> None:
        tagged.put(out, features, self.VERSION, _CLIENT_NUMBERS, self.client_meta)

    @classmethod
    def _dec(cls, buf: bytes, pos: int, end: int, features: int) -> tuple[Self, int]:
        client_meta, _, pos = tagged.get(buf, pos, end, features, _CLIENTS)
        return cls(client_meta), pos

    def plain(self) -> object:
        """The value as JSON can hold it."""
        return tagged.plain("client_meta_type", self.client_meta)


@struct
class TagPredecessor(Struct):
    """The era before this one, and its last entry where that is known. An empty uuid is local."""

    mirror_uuid: string
    commit_valid: boolean
    tag_tid: u64
    entry_tid: u64


@struct(name=("librbd::journal::TagData", "TagData"))
class TagData(Struct):
    """Who writes in this era of the journal (empty: the local cluster)."""

    mirror_uuid: string
    predecessor: TagPredecessor
