"""Queries of counters by client, pool, object ...: who wants which, and what OSDs have answered.

Modules ask (`mgr_host.calls`); all OSDs are told of all queries, and their reports are added up
until somebody fetches them. Behaviour: upstream `src/mgr/MetricCollector.cc`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from spirula.types.perf_query import (
    CounterDescriptor,
    MetricKey,
    OSDCounter,
    OSDSubKey,
    PerfMetricLimit,
    PerfMetricQuery,
    PerfMetricReport,
    SubKeyDescriptor,
)

_LATENCIES = (OSDCounter.LATENCY, OSDCounter.WRITE_LATENCY, OSDCounter.READ_LATENCY)
_ONE, _TWO = struct.Struct("<Q"), struct.Struct("<QQ")


@dataclass(slots=True, eq=False)
class PerfQueries:
    """The queries of one manager to OSDs."""

    _wanted: dict[PerfMetricQuery, dict[int, PerfMetricLimit | None]] = field(default_factory=dict)
    _counters: dict[int, dict[MetricKey, list[list[int]]]] = field(default_factory=dict)
    _next: int = 0

    def add(self, query: PerfMetricQuery, limit: PerfMetricLimit | None) -> int:
        """The number under which somebody wants a query answered."""
        ident = self._next
        self._next += 1
        self._wanted.setdefault(query, {})[ident] = limit
        self._counters[ident] = {}
        return ident

    def remove(self, ident: int) -> bool:
        """Nobody wants it any more; False if nobody did."""
        if self._counters.pop(ident, None) is None:
            return False
        for query, wanted in [*self._wanted.items()]:
            wanted.pop(ident, None)
            if not wanted:
                del self._wanted[query]
        return True

    def all(self) -> dict[PerfMetricQuery, set[PerfMetricLimit]]:
        """What OSDs are to answer; no limits where somebody wants all."""
        return {
            query: set()
            if None in wanted.values()
            else {limit for limit in wanted.values() if limit is not None}
            for query, wanted in self._wanted.items()
        }

    def take(self, reports: Mapping[PerfMetricQuery, PerfMetricReport]) -> None:
        """Adds an OSD's answers to what is there. WireError if they are too short."""
        for query, report in reports.items():
            for key, packed in report.group_packed_counters.items():
                values = _unpacked(report.counters, bytes(packed))
                for ident in self._wanted.get(query, ()):
                    known = self._counters[ident].setdefault(key, [[0, 0] for _ in query.counters])
                    for descriptor, (amount, operations) in values.items():
                        if descriptor in query.counters:
                            total = known[query.counters.index(descriptor)]
                            total[0] += amount
                            total[1] += operations

    def fetch(self, ident: int) -> dict[MetricKey, list[list[int]]] | None:
        """What was counted since this was last asked; None for a query that there is not."""
        found = self._counters.get(ident)
        if found is not None:
            self._counters[ident] = {}
        return found


def _unpacked(
    counters: tuple[CounterDescriptor, ...], packed: bytes
) -> dict[CounterDescriptor, tuple[int, int]]:
    values, position = {}, 0
    for descriptor in counters:
        shape = _TWO if descriptor.type in _LATENCIES else _ONE
        if position + shape.size > len(packed):
            break
        read = shape.unpack_from(packed, position)
        values[descriptor] = (read[0], read[1] if shape is _TWO else 0)
        position += shape.size
    return values


def parse(asked: Mapping[str, Any]) -> tuple[PerfMetricQuery, PerfMetricLimit | None]:
    """A query as modules write it. ValueError, KeyError or TypeError where it is none."""
    parts = []
    for one in asked["key_descriptor"]:
        if re.compile(one["regex"]).groups == 0:
            raise ValueError(f"{one['regex']!r} has no group in parentheses")
        parts.append(SubKeyDescriptor(OSDSubKey[one["type"].upper()], one["regex"]))
    counters = [_counter(name) for name in asked["performance_counter_descriptors"]]
    if not parts or not counters:
        raise ValueError("a query needs a key and a counter")
    limit = asked.get("limit")
    if limit is None:
        return PerfMetricQuery(tuple(parts), tuple(counters)), None
    order_by = _counter(limit["order_by"])
    if order_by not in counters:
        raise ValueError(f"{limit['order_by']!r} is not one of the counters")
    made = PerfMetricLimit(order_by, int(limit["max_count"]))
    return PerfMetricQuery(tuple(parts), tuple(counters)), made


def _counter(name: str) -> CounterDescriptor:
    return CounterDescriptor(OSDCounter[name.upper()])
