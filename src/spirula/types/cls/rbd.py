"""The object class `rbd`: why a snapshot exists.

Only what journals need so far. Format: upstream `src/cls/rbd/cls_rbd_types.h` and `.cc`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, Self

from spirula.denc import (
    Map,
    Set,
    Struct,
    boolean,
    default,
    irregular,
    s64,
    string,
    struct,
    u8,
    u32,
    u64,
)
from spirula.types import tagged
from spirula.types.hobject import NOSNAP


class MirrorSnapshotState(IntEnum):
    """On which side of a mirror a snapshot was made, and whether it ended that side's role."""

    PRIMARY = 0
    PRIMARY_DEMOTED = 1
    NON_PRIMARY = 2
    NON_PRIMARY_DEMOTED = 3


@struct(version=1, external=True)
class UserSnapshotNamespace(Struct):
    """A snapshot that a user made."""


@struct(version=1, external=True)
class GroupSnapshotNamespace(Struct):
    """A snapshot that is part of a group's."""

    group_pool: s64
    group_id: string
    group_snapshot_id: string


@struct(version=1, external=True)
class TrashSnapshotNamespace(Struct):
    """A snapshot that was removed while images still depend on it."""

    original_name: string
    original_snapshot_namespace_type: u32


@struct(version=1, external=True)
class MirrorSnapshotNamespace(Struct):
    """A snapshot made for mirroring (`state` is a MirrorSnapshotState).

    `primary_snap_id` is, on the primary, the snapshot since which nothing else was written.
    """

    state: u8 = default(MirrorSnapshotState.NON_PRIMARY.value)
    complete: boolean
    mirror_peer_uuids: Set[string]
    primary_mirror_uuid: string
    primary_snap_id: u64 = default(NOSNAP)
    last_copied_object_number: u64
    snap_seqs: Map[u64, u64]


_KINDS: Final[dict[int, type[Struct]]] = {
    0: UserSnapshotNamespace,
    1: GroupSnapshotNamespace,
    2: TrashSnapshotNamespace,
    3: MirrorSnapshotNamespace,
}
_NUMBERS: Final = {kind: number for number, kind in _KINDS.items()}


@irregular("cls::rbd::SnapshotNamespace", "SnapshotNamespace")
@dataclass(slots=True)
class SnapshotNamespace(Struct):
    """Why a snapshot exists: one of the types above."""

    of: tagged.Body = field(default_factory=UserSnapshotNamespace)

    def _enc(self, out: bytearray, features: int) -> None:
        tagged.put(out, features, 1, _NUMBERS, self.of)

    @classmethod
    def _dec(cls, buf: bytes, pos: int, end: int, features: int) -> tuple[Self, int]:
        body, _, after = tagged.get(buf, pos, end, features, _KINDS)
        return cls(body), after

    def plain(self) -> object:
        """The value as JSON can hold it."""
        return tagged.plain("snapshot_namespace_type", self.of)
