"""Performance queries: what the manager has OSDs and MDSs count per client or image, and answers.

A query names the parts of a key (each a regular expression over, say, object names) and the
counters to keep for each key that occurs. Carried by MMgrConfigure and MMgrReport. Formats:
upstream `src/mgr/OSDPerfMetricTypes.h`, `MDSPerfMetricTypes.h`, `MetricTypes.h`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from spirula.denc import (
    Map,
    Sequence,
    Set,
    String,
    Struct,
    blob,
    default,
    s32,
    string,
    struct,
    u8,
    u32,
    u64,
    when,
)
from spirula.errors import LimitExceeded

if TYPE_CHECKING:
    from spirula.denc.emitter import Emitter

_T = TypeVar("_T")


class _Fixed(Sequence):
    """A sequence as a tuple, so that it can be part of a key."""

    def __init__(self, *items: Any) -> None:
        super().__init__(*(item for item in items if item is not ...))

    def zero(self) -> Any:
        return ()

    def emit_decode(self, target: str, emit: Emitter) -> None:
        super().emit_decode(target, emit)
        emit.line(f"{target} = tuple({target})")


class _VarintCounted(_Fixed):
    """The same behind a count in groups of seven bits, low ones first; a high bit tells of more."""

    def __init__(self, *items: Any) -> None:
        super().__init__(*items)
        self.min_size = 1

    def _encode_count(self, name: str, emit: Emitter) -> None:
        emit.flush_out()
        emit.line(f"out += {emit.const(_varint)}(len({name}))")

    def _decode_count(self, emit: Emitter) -> str:
        emit.flush_in()
        count = emit.fresh("n")
        emit.line(f"{count}, pos = {emit.const(_read_varint)}(buf, pos)")
        least = max(1, sum(item.min_size for item in self.items))
        room = f"(end - pos) // {least}"
        emit.line(f"if {count} > {room}: raise too_many({count}, pos, {room})")
        return count


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(buf: bytes, pos: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 35, 7):
        byte = buf[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, pos
    raise LimitExceeded("a count takes more than five bytes", offset=pos, limit=5)


_Varied = Annotated[tuple[_T, ...], _VarintCounted]
_SubKey = Annotated[tuple[str, ...], _Fixed(String())]
MetricKey = Annotated[tuple[tuple[str, ...], ...], _Fixed(_Fixed(String()))]
"""For each part of a query's key the groups that its expression matched."""


class OSDSubKey(IntEnum):
    """What of an OSD's operation is a part of the key."""

    CLIENT_ID = 0
    CLIENT_ADDRESS = 1
    POOL_ID = 2
    NAMESPACE = 3
    OSD_ID = 4
    PG_ID = 5
    OBJECT_NAME = 6
    SNAP_ID = 7


class OSDCounter(IntEnum):
    """What an OSD counts; latencies are pairs of nanoseconds and a number of operations."""

    OPS = 0
    WRITE_OPS = 1
    READ_OPS = 2
    BYTES = 3
    WRITE_BYTES = 4
    READ_BYTES = 5
    LATENCY = 6
    WRITE_LATENCY = 7
    READ_LATENCY = 8


class MDSSubKey(IntEnum):
    """What of an MDS's session is a part of the key."""

    MDS_RANK = 0
    CLIENT_ID = 1


@struct(version=1, compat=1, frozen=True)
class SubKeyDescriptor(Struct):
    """A part of a key: where it is from (OSDSubKey, MDSSubKey), and the expression that cuts it."""

    type: u8 = default(0xFF)
    regex: string


@struct(version=1, compat=1, frozen=True)
class CounterDescriptor(Struct):
    """A counter by its number (OSDCounter for OSDs)."""

    type: u8 = default(0xFF)


@struct(version=1, compat=1, frozen=True)
class PerfMetricLimit(Struct):
    """Report only the `max_count` keys with the largest counters of that kind."""

    order_by: CounterDescriptor
    max_count: u64


@struct(version=1, compat=1, frozen=True)
class PerfMetricQuery(Struct):
    """What to count, by which key (upstream OSDPerfMetricQuery and MDSPerfMetricQuery)."""

    key_descriptor: _Varied[SubKeyDescriptor]
    counters: _Varied[CounterDescriptor]


@struct(version=1, compat=1)
class PerfMetricReport(Struct):
    """The counters of each key that occurred, packed in the order of `counters`."""

    counters: _Varied[CounterDescriptor]
    group_packed_counters: Map[MetricKey, blob]


@struct(version=1, compat=1, name="OSDConfigPayload")
class OSDConfigPayload(Struct):
    """The queries that an OSD is to answer."""

    config: Map[PerfMetricQuery, Set[PerfMetricLimit]]


@struct(version=1, compat=1, name="MDSConfigPayload")
class MDSConfigPayload(Struct):
    """The queries that an MDS is to answer."""

    config: Map[PerfMetricQuery, Set[PerfMetricLimit]]


@struct(version=1, compat=1, name="OSDMetricPayload")
class OSDMetricPayload(Struct):
    """An OSD's answers."""

    report: Map[PerfMetricQuery, PerfMetricReport]


@struct(version=1, compat=1, name="MDSPerfMetricReport")
class MDSPerfMetricReport(Struct):
    """An MDS's answers, and the ranks whose share has not come in time."""

    reports: Map[PerfMetricQuery, PerfMetricReport]
    rank_metrics_delayed: Set[s32]


@struct(version=1, compat=1, name="MDSMetricPayload")
class MDSMetricPayload(Struct):
    """An MDS's answers in their envelope."""

    metric_report: MDSPerfMetricReport


METRIC_TYPE_OSD, METRIC_TYPE_MDS = 0, 1


@struct(name="MetricConfigMessage")
class MetricConfigMessage(Struct):
    """Queries for one kind of daemon (METRIC_TYPE_*); for an MDS only to peers from 16.2 on."""

    type: u32
    osd: OSDConfigPayload = when("type == 0")
    mds: MDSConfigPayload = when("type == 1")


@struct(name="MetricReportMessage")
class MetricReportMessage(Struct):
    """Answers of one kind of daemon (METRIC_TYPE_*)."""

    type: u32
    osd: OSDMetricPayload = when("type == 0")
    mds: MDSMetricPayload = when("type == 1")
