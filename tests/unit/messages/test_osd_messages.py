"""Messages of OSDs: what recorded ones carry inside, and what depends on the peer."""

from __future__ import annotations

import struct as _struct
from collections import Counter
from typing import Any

import pytest

from spirula.denc import Struct, Vec, struct
from spirula.denc.features import PACIFIC, RECOVERY_RESERVATION_2
from spirula.errors import Truncated, WireError
from spirula.messages.base import Message, decode_message
from spirula.messages.osd_client import MWatchNotify, WatchEvent
from spirula.messages.osd_op import MOSDOp
from spirula.messages.osd_peering import BackfillReserveType, MBackfillReserve
from spirula.messages.osd_ping import MOSDPing, PingOp
from spirula.messages.osd_replication import MOSDRepOp, MOSDRepOpReply
from spirula.messages.osd_scrub import MOSDRepScrubMap
from spirula.types import osd_op_payload as payload
from spirula.types.base import UTime
from spirula.types.listing import PGLSResponse, PGNLSResponse
from spirula.types.object_info import ListWatchersResponse
from spirula.types.osd_op import OpCode
from spirula.types.pg import PGId, SPGId
from spirula.types.pg_log import PGLogEntry
from spirula.types.recovery import ObjectCopyData
from spirula.types.snap import ListSnapsResponse
from spirula.types.transaction import Transaction
from spirula.types.wrappers import Timespan
from tests.golden.vectors import vectors

INPUTS: dict[int, type[Struct]] = {
    OpCode.OMAPGETKEYS: payload.OmapGetKeysInput,
    OpCode.OMAPGETVALS: payload.OmapGetValsInput,
    OpCode.OMAPGETVALSBYKEYS: payload.OmapKeys,
    OpCode.OMAPRMKEYS: payload.OmapKeys,
    OpCode.OMAPRMKEYRANGE: payload.OmapRmKeyRangeInput,
    OpCode.OMAPSETVALS: payload.OmapEntries,
    OpCode.OMAP_CMP: payload.OmapCmpInput,
    OpCode.NOTIFY: payload.NotifyInput,
    OpCode.NOTIFY_ACK: payload.NotifyAckInput,
    OpCode.COPY_FROM: payload.CopyFromInput,
    OpCode.COPY_FROM2: payload.CopyFrom2Input,
    OpCode.COPY_GET: payload.CopyGetInput,
    OpCode.SET_REDIRECT: payload.SetRedirectInput,
    OpCode.SET_CHUNK: payload.SetChunkInput,
    OpCode.PGLS: payload.ListInput,
    OpCode.PGNLS: payload.ListInput,
    OpCode.SCRUBLS: payload.ScrubListInput,
}
OUTPUTS: dict[int, type[Struct]] = {
    OpCode.STAT: payload.StatReply,
    OpCode.SPARSE_READ: payload.SparseReadReply,
    OpCode.MAPEXT: payload.MapExtReply,
    OpCode.OMAPGETKEYS: payload.OmapGetKeysReply,
    OpCode.OMAPGETVALS: payload.OmapGetValsReply,
    OpCode.OMAPGETVALSBYKEYS: payload.OmapEntries,
    OpCode.GETXATTRS: payload.OmapEntries,
    OpCode.LIST_SNAPS: ListSnapsResponse,
    OpCode.LIST_WATCHERS: ListWatchersResponse,
    OpCode.PGLS: PGLSResponse,
    OpCode.PGNLS: PGNLSResponse,
    OpCode.COPY_GET: ObjectCopyData,
    OpCode.SCRUBLS: payload.ScrubListReply,
}


@struct
class _LogEntries(Struct):
    entries: Vec[PGLogEntry]


def recorded(name: str) -> list[tuple[Message, int]]:
    """Recorded messages of a type, with the features of their connections."""
    return [
        (
            decode_message(
                v.type, v.version, v.compat_version, v.front, v.middle, v.data, v.features
            ),
            v.features,
        )
        for v in vectors()
        if v.name == name
    ]


def again(kind: type[Struct], data: bytes, features: int = PACIFIC) -> bytes:
    return kind.decode(data, features, exact=True).encode(features)


@pytest.mark.parametrize(("name", "types"), [("MOSDOp", INPUTS), ("MOSDOpReply", OUTPUTS)])
def test_inputs_and_outputs_of_recorded_operations(
    name: str, types: dict[int, type[Struct]]
) -> None:
    seen: Counter[int] = Counter()
    for message, features in recorded(name):
        for op in message.ops:
            data = bytes(op.indata if isinstance(message, MOSDOp) else op.outdata)
            if op.op not in types or not data:
                continue
            assert again(types[op.op], data, features) == data, (op, data.hex())
            seen[op.op] += 1
    assert len(seen) >= 5


def test_recorded_replica_writes_hold_transactions_and_log_entries() -> None:
    found = [m for m, _ in recorded("MOSDRepOp") if m.data]
    assert len(found) > 5
    for message in found:
        assert isinstance(message, MOSDRepOp)
        assert message.transaction().encode() == bytes(message.data)
        assert again(Transaction, bytes(message.data)) == bytes(message.data)
        assert again(_LogEntries, message.logbl) == message.logbl


@pytest.mark.parametrize("kind", [MOSDRepOp, MOSDRepOpReply])
def test_the_quick_way_with_replica_writes_is_that_of_all_messages(kind: type[Message]) -> None:
    def decoded(decode: Any, front: bytes) -> Any:
        try:
            return decode(front, 0, len(front), PACIFIC, kind.VERSION)
        except (WireError, _struct.error, IndexError) as error:
            return type(error)

    quick: Any = kind
    general = quick._dec
    for message, features in recorded(kind.__name__)[:6]:
        version, _, front = message.encode_payload(features)
        out = bytearray()
        quick._enc(message, out, features, version)
        assert bytes(out) == front
        damaged = [front[:at] for at in range(len(front))]
        for at in range(len(front)):
            for bit in (1, 128):
                changed = bytearray(front)
                changed[at] ^= bit
                damaged.append(bytes(changed))
        for each in (front, *damaged):
            assert decoded(quick._dec_payload, each) == decoded(general, each), each.hex()


def test_recorded_scrub_maps() -> None:
    found = [m for m, _ in recorded("MOSDRepScrubMap") if m.data]
    assert len(found) > 3
    for message in found:
        assert isinstance(message, MOSDRepScrubMap)
        scrub_map = message.scrub_map()
        assert list(scrub_map.objects) == sorted(scrub_map.objects)
        assert scrub_map.encode() == bytes(message.data)


def test_recorded_notifications_end_with_who_answered() -> None:
    ended = [
        m
        for m, _ in recorded("MWatchNotify")
        if isinstance(m, MWatchNotify) and m.opcode == WatchEvent.NOTIFY_COMPLETE
    ]
    assert ended
    for message in ended:
        assert again(payload.NotifyReply, bytes(message.data)) == bytes(message.data)


def test_every_recorded_message_of_an_osd_can_be_printed() -> None:
    for name in ("MOSDOp", "MOSDOpReply", "MOSDPing", "MOSDRepOp", "MOSDPGLog", "MPGStats"):
        for message, _ in recorded(name):
            assert message.plain()


@pytest.mark.parametrize("size", [0, 29, 30, 2000])
@pytest.mark.parametrize("delta", [None, Timespan(-1, -5)])
def test_pings_are_filled_up(size: int, delta: Timespan | None) -> None:
    stamps = UTime(1, 2), Timespan(3, 4), Timespan(5, 6)
    ping = MOSDPing(bytes(range(16)), 7, PingOp.PING, *stamps, delta, 9, size)
    version, _, front = ping.encode_payload(PACIFIC)
    assert len(front) >= size
    got = MOSDPing.decode_payload(front, version)
    assert got.min_message_size == max(size, 29)
    got.min_message_size = size
    assert got == ping
    for cut in range(0, len(front), 3):
        with pytest.raises(Truncated):
            MOSDPing.decode_payload(front[:cut], version)


def test_pings_of_older_peers_say_less() -> None:
    front = MOSDPing(map_epoch=7).encode_payload()[2][:33]
    got = MOSDPing.decode_payload(front, 4)
    assert (got.map_epoch, got.up_from, got.delta_ub) == (7, 0, None)


def test_reservations_for_peers_that_know_fewer_steps() -> None:
    asked = MBackfillReserve(PGId(1, 2), 5, BackfillReserveType.REQUEST, 180, 3, 10, 20)
    version, compat, front = asked.encode_payload(PACIFIC)
    assert (version, compat) == (5, 4)
    assert MBackfillReserve.decode_payload(front, 5) == asked
    assert asked.spgid == SPGId(PGId(1, 2), 3)
    version, compat, old = asked.encode_payload(PACIFIC & ~(RECOVERY_RESERVATION_2 & ~(1 << 57)))
    assert (version, compat, len(old)) == (3, 3, len(front) - 16)
    assert MBackfillReserve.decode_payload(old, 3).shard_num_bytes == 0
