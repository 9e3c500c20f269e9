"""What RBD writes into journals, in the versions of it that images may still hold."""

from __future__ import annotations

import pytest

from spirula.denc import Struct
from spirula.errors import IncompatibleVersion, Truncated, WireError
from spirula.types import rbd_journal as rj
from spirula.types.base import UTime
from spirula.types.cls import rbd
from spirula.types.tagged import Unknown

NAMESPACES: list[Struct] = [
    rbd.UserSnapshotNamespace(),
    rbd.GroupSnapshotNamespace(3, "group", "snap"),
    rbd.TrashSnapshotNamespace("was", 1),
    rbd.MirrorSnapshotNamespace(2, True, {"b", "a"}, "uuid", 7, 9, {1: 2}),
]

EVENTS: list[Struct] = [
    rj.AioDiscardEvent(1, 2, True, 4096),
    rj.AioWriteEvent(1, 3, b"abc"),
    rj.AioFlushEvent(),
    rj.OpFinishEvent(5, 5, -17),
    *(
        kind(5, "snap", rbd.SnapshotNamespace(namespace))
        for kind in (
            rj.SnapCreateEvent,
            rj.SnapRemoveEvent,
            rj.SnapProtectEvent,
            rj.SnapUnprotectEvent,
            rj.SnapRollbackEvent,
        )
        for namespace in NAMESPACES
    ),
    rj.SnapRenameEvent(5, "new", 8, "old"),
    rj.SnapLimitEvent(5, 10),
    rj.RenameEvent(5, "image"),
    rj.ResizeEvent(5, 1 << 40),
    rj.FlattenEvent(5),
    rj.DemotePromoteEvent(),
    rj.UpdateFeaturesEvent(5, 64, True),
    rj.MetadataSetEvent(5, "key", "value"),
    rj.MetadataRemoveEvent(5, "key"),
    rj.AioWriteSameEvent(1, 9, b"abc"),
    rj.AioCompareAndWriteEvent(1, 3, b"abc", b"xyz"),
]

CLIENTS: list[Struct] = [
    rj.ImageClientMeta(4, True),
    rj.MirrorPeerClientMeta(
        "image",
        1,
        100,
        [],
        [
            rj.MirrorPeerSyncPoint("s1", "", None, rbd.SnapshotNamespace()),
            rj.MirrorPeerSyncPoint("s2", "s1", 12, rbd.SnapshotNamespace(NAMESPACES[1])),
        ],
        {1: 2, 3: 4},
    ),
    rj.CliClientMeta(),
]

VALUES: list[Struct] = [
    *(rbd.SnapshotNamespace(namespace) for namespace in NAMESPACES),
    *(rj.EventEntry(event, UTime(1, 2)) for event in EVENTS),
    *(rj.ClientData(client) for client in CLIENTS),
    rj.TagData("a", rj.TagPredecessor("b", True, 1, 2)),
]


@pytest.mark.parametrize("value", VALUES)
def test_round_trip(value: Struct) -> None:
    raw = value.encode()
    assert type(value).decode(raw, exact=True) == value
    assert value.plain()
    for length in range(len(raw)):
        with pytest.raises(WireError):
            type(value).decode(raw[:length])


def entry(version: int, number: int, content: str) -> rj.EventEntry:
    body = number.to_bytes(4, "little") + bytes.fromhex(content)
    return rj.EventEntry.decode(bytes([version, 1]) + len(body).to_bytes(4, "little") + body)


def test_events_of_older_versions() -> None:
    assert entry(1, 0, "01" + "00" * 7 + "02" + "00" * 7).event == rj.AioDiscardEvent(1, 2)
    assert entry(1, 6, "05" + "00" * 7 + "010000006e" + "08" + "00" * 7).event == (
        rj.SnapRenameEvent(5, "n", 8, "")
    )
    snap = "05" + "00" * 7 + "0100000073"
    assert entry(2, 4, snap).event == rj.SnapCreateEvent(5, "s")
    assert entry(3, 4, snap + "01010400000000000000").event == rj.SnapCreateEvent(5, "s")
    assert entry(3, 5, snap).event == rj.SnapRemoveEvent(5, "s")
    # They bring no time either.
    assert entry(3, 2, "").timestamp == UTime()


def test_sync_points_of_the_first_version() -> None:
    point = bytes.fromhex("01000000730000000000")
    body = bytes([1, 0, 0, 0]) + bytes(16) + bytes([1, 0, 0, 0]) + point + bytes(4)
    data = rj.ClientData.decode(b"\x01\x01" + len(body).to_bytes(4, "little") + body)
    assert isinstance(data.client_meta, rj.MirrorPeerClientMeta)
    assert data.client_meta.old_sync_points == [rj.OldSyncPoint("s", "", None)]
    assert data.client_meta.sync_points == []


@pytest.mark.parametrize(
    ("kind", "rest"), [(rj.ClientData, ""), (rbd.SnapshotNamespace, ""), (rj.EventEntry, "01" * 2)]
)
def test_kinds_that_came_later_are_kept_as_they_are(kind: type[Struct], rest: str) -> None:
    version = {rj.ClientData: 2, rbd.SnapshotNamespace: 1, rj.EventEntry: 5}[kind]
    raw = bytes([version, 1]) + bytes.fromhex("0700000063000000aabbcc")
    if rest:
        raw += bytes.fromhex("010108000000") + bytes(8)
    value = kind.decode(raw)
    assert repr(Unknown(99, b"\xaa\xbb\xcc")) in repr(value)
    assert value.encode() == raw
    assert value.plain()


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        ("01010300000000000000", Truncated),
        ("0101ffffffff00000000", Truncated),
        ("02020400000000000000", IncompatibleVersion),
        ("01010400000001000000", Truncated),
    ],
)
def test_malformed_variants(raw: str, error: type[WireError]) -> None:
    with pytest.raises(error):
        rbd.SnapshotNamespace.decode(bytes.fromhex(raw))
