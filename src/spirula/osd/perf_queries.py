"""Counters by client, pool, object ... for as long as a manager asks for them.

A query names the parts of a key, each cut out of something of the request by an expression, and
what to count for each key that occurs. What was counted goes out with the next report. Without
queries nothing of this is called (see `daemon`). Behaviour: upstream `src/osd/DynamicPerfStats.h`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from heapq import nlargest

from spirula.messages.osd_op import MOSDOp
from spirula.types.hobject import snap_name
from spirula.types.osd_op import RequestFlag
from spirula.types.perf_query import (
    MetricKey,
    OSDCounter,
    OSDSubKey,
    PerfMetricLimit,
    PerfMetricQuery,
    PerfMetricReport,
)

MAX_QUERY_KEYS = 100_000
"""So many keys of one query are counted between two reports; what has others is not."""
_READ, _WRITE = int(RequestFlag.READ), int(RequestFlag.WRITE)
_LATENCIES = (OSDCounter.LATENCY, OSDCounter.WRITE_LATENCY, OSDCounter.READ_LATENCY)
_ONE, _TWO = struct.Struct("<Q"), struct.Struct("<QQ")
Counted = list[list[int]]
"""Of each counter its sum, and for latencies how many operations it is of."""


@dataclass(slots=True, eq=False)
class _Query:
    query: PerfMetricQuery
    parts: list[tuple[Callable[[MOSDOp], str], re.Pattern[str]]]
    counters: list[OSDCounter]
    counted: dict[MetricKey, Counted] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class PerfQueries:
    """The queries that one OSD answers. `switch` is told whether there are any."""

    whoami: int
    switch: Callable[[bool], None]
    _queries: list[_Query] = field(default_factory=list)
    _limits: dict[PerfMetricQuery, set[PerfMetricLimit]] = field(default_factory=dict)

    def set(self, asked: Mapping[PerfMetricQuery, set[PerfMetricLimit]]) -> None:
        """From now on answers these; those that cannot be answered are passed over."""
        known = {one.query: one for one in self._queries}
        made = (known.get(query) or self._prepare(query) for query in asked)
        self._queries = [one for one in made if one is not None]
        self._limits = {query: set(limits) for query, limits in asked.items()}
        self.switch(bool(self._queries))

    def _prepare(self, query: PerfMetricQuery) -> _Query | None:
        if not query.key_descriptor or not query.counters:
            return None
        try:
            parts = [
                (self._part(OSDSubKey(one.type)), re.compile(one.regex))
                for one in query.key_descriptor
            ]
            return _Query(query, parts, [OSDCounter(one.type) for one in query.counters])
        except (ValueError, re.error):
            return None

    def _part(self, kind: OSDSubKey) -> Callable[[MOSDOp], str]:
        if kind is OSDSubKey.OSD_ID:
            return lambda _: str(self.whoami)
        return _PARTS[kind]

    def add(self, request: MOSDOp, written: int, read: int, took_s: float) -> None:
        """A request was answered."""
        reads, writes = bool(request.flags & _READ), bool(request.flags & _WRITE)
        nanoseconds = int(took_s * 1e9)
        amounts = {
            OSDCounter.OPS: (1, 0),
            OSDCounter.WRITE_OPS: (int(writes), 0),
            OSDCounter.READ_OPS: (int(reads), 0),
            OSDCounter.BYTES: (written + read, 0),
            OSDCounter.WRITE_BYTES: (written if writes else 0, 0),
            OSDCounter.READ_BYTES: (read if reads else 0, 0),
            OSDCounter.LATENCY: (nanoseconds, 1),
            OSDCounter.WRITE_LATENCY: (nanoseconds, 1) if writes else (0, 0),
            OSDCounter.READ_LATENCY: (nanoseconds, 1) if reads else (0, 0),
        }
        for one in self._queries:
            key = _key(one, request)
            if key is None:
                continue
            counted = one.counted.get(key)
            if counted is None:
                if len(one.counted) >= MAX_QUERY_KEYS:
                    continue
                counted = one.counted[key] = [[0, 0] for _ in one.counters]
            for counter, total in zip(one.counters, counted, strict=True):
                amount, operations = amounts[counter]
                total[0] += amount
                total[1] += operations

    def take(self) -> dict[PerfMetricQuery, PerfMetricReport]:
        """What was counted since this was last asked."""
        reports = {}
        for one in self._queries:
            counted, one.counted = one.counted, {}
            reports[one.query] = PerfMetricReport(
                one.query.counters,
                {key: _packed(one, counted[key]) for key in self._chosen(one, counted)},
            )
        return reports

    def _chosen(self, one: _Query, counted: dict[MetricKey, Counted]) -> Iterable[MetricKey]:
        """The keys with the largest counters, if all who ask want only some."""
        limits = self._limits[one.query]
        if not limits or any(limit.max_count >= len(counted) for limit in limits):
            return counted
        chosen: dict[MetricKey, None] = {}
        for limit in limits:
            if limit.order_by in one.query.counters:
                at = one.query.counters.index(limit.order_by)
                best = nlargest(limit.max_count, counted, key=lambda key: counted[key][at][0])
                chosen |= dict.fromkeys(best)
        return chosen


_PARTS: dict[OSDSubKey, Callable[[MOSDOp], str]] = {
    OSDSubKey.CLIENT_ID: lambda request: str(request.request_id(request.connection.peer_name).name),
    OSDSubKey.CLIENT_ADDRESS: lambda request: ",".join(
        str(addr) for addr in request.connection.peer_addrs.addrs[:1]
    ),
    OSDSubKey.POOL_ID: lambda request: str(request.pgid.pgid.pool),
    OSDSubKey.NAMESPACE: lambda request: request.hobj.nspace,
    OSDSubKey.PG_ID: lambda request: str(request.pgid),
    OSDSubKey.OBJECT_NAME: lambda request: request.hobj.oid,
    OSDSubKey.SNAP_ID: lambda request: snap_name(request.hobj.snap),
}


def _key(one: _Query, request: MOSDOp) -> MetricKey | None:
    """What the expressions have cut out of a request; None if one does not match."""
    key = []
    for part, expression in one.parts:
        found = expression.search(part(request))
        if found is None or not found.groups():
            return None
        key.append(found.groups(""))
    return tuple(key)


def _packed(one: _Query, counted: Counted) -> bytes:
    packed = bytearray()
    for counter, total in zip(one.counters, counted, strict=True):
        packed += _TWO.pack(*total) if counter in _LATENCIES else _ONE.pack(total[0])
    return bytes(packed)
