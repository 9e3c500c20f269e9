"""A daemon's session with the active manager: what it is, its counters, its statistics.

The owner hands in MMgrMap, MMgrConfigure and resets of connections; `statistics` makes the message
that goes with each report (MPGStats for an OSD). The manager says how often it wants to hear.
Behaviour follows upstream `src/mgr/MgrClient.cc`.
"""

from __future__ import annotations

import asyncio
import struct as _struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from spirula.conf.config import Config
from spirula.conf.perf import U64, Counter, CounterType, PerfCollection, Time, TimeAvg, U64Avg
from spirula.denc import Map, Struct, s32, string, struct
from spirula.messages.base import Message
from spirula.messages.mgr import MMgrConfigure, MMgrOpen, MMgrReport
from spirula.messages.mgr_map import MMgrMap
from spirula.msgr.connection import Connection
from spirula.msgr.tcp import Messenger
from spirula.types.entity import EntityType
from spirula.types.mgr import MgrMap
from spirula.types.perf_query import (
    METRIC_TYPE_OSD,
    MetricReportMessage,
    OSDMetricPayload,
    PerfMetricLimit,
    PerfMetricQuery,
    PerfMetricReport,
)
from spirula.types.service import DaemonHealthMetric, PerfCounterType

_VALUE = _struct.Struct("<Q")
_AVERAGE = _struct.Struct("<QQQ")


@struct
class _Values(Struct):
    values: Map[string, Map[s32, string]]
    ignored: Map[string, string]


@struct
class _Defaults(Struct):
    values: Map[string, string]


class Queries(Protocol):
    """Whoever counts for queries of the manager (see `types.perf_query`)."""

    def set(self, asked: Mapping[PerfMetricQuery, set[PerfMetricLimit]]) -> None:
        """These are the queries now."""

    def take(self) -> dict[PerfMetricQuery, PerfMetricReport]:
        """What was counted since the last time."""


def _queries_of(message: MMgrConfigure) -> Mapping[PerfMetricQuery, set[PerfMetricLimit]]:
    told = message.metric_config_message
    if message.osd_perf_metric_queries or told is None or told.type != METRIC_TYPE_OSD:
        return message.osd_perf_metric_queries
    return told.osd.config


@dataclass(slots=True, eq=False)
class MgrClient:
    """The session of daemon `daemon_name` with whichever manager is active.

    `statistics`, `health` and `queries` are asked at each report; each may be None. A client that
    serves something gives `service`, what its daemon is (`metadata`), how it does (`status`).
    """

    loop: asyncio.AbstractEventLoop
    messenger: Messenger
    config: Config
    perf: PerfCollection
    daemon_name: str
    statistics: Callable[[], Message] | None = None
    health: Callable[[], list[DaemonHealthMetric]] | None = None
    queries: Queries | None = None
    service: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    status: dict[str, str] = field(default_factory=dict)
    map: MgrMap = field(default_factory=MgrMap)
    connection: Connection | None = None
    period_s: int = 0
    threshold: int = 0
    _declared: set[str] = field(default_factory=set)
    _last_attempt: float | None = None
    _retry_timer: asyncio.TimerHandle | None = None
    _report_timer: asyncio.TimerHandle | None = None
    _stopped: bool = False
    _status_told: bool = False

    def set_status(self, status: dict[str, str]) -> None:
        """How the service does: the manager hears of it with the next report."""
        self.status = status
        self._status_told = False

    def stop(self) -> None:
        """End the session; nothing of it is left in the loop."""
        self._stopped = True
        self._end_session()
        self._cancel_retry()

    def on_map(self, message: MMgrMap) -> None:
        """A manager map: go to the active manager if it is another one."""
        self.follow(message.map)

    def follow(self, mgrmap: MgrMap) -> None:
        """The newest map, wherever it is from."""
        self.map = mgrmap
        if self.connection is None or self.connection.peer_addrs != self.map.active_addrs:
            self._reconnect()

    def on_reset(self, connection: Connection) -> None:
        """A connection broke; if it was the manager's, connect again after a while."""
        if connection is self.connection:
            self._reconnect()

    def on_message(self, message: Message) -> bool:
        """Takes what the manager says; False if the message is for somebody else."""
        if not isinstance(message, MMgrConfigure):
            return False
        self.on_configure(message)
        return True

    def on_configure(self, message: MMgrConfigure) -> None:
        """How often to report, and which counters."""
        if message.connection is not self.connection or self.connection is None:
            return
        self.threshold = message.stats_threshold
        if self.queries is not None:
            self.queries.set(_queries_of(message))
        starting = self.period_s == 0 and message.stats_period != 0
        self.period_s = message.stats_period
        if starting:
            self._report()

    # ------------------------------------------------------------------------------------- session

    def _end_session(self) -> None:
        if self.connection is not None:
            self.connection.mark_down()
            self.connection = None
        if self._report_timer is not None:
            self._report_timer.cancel()
            self._report_timer = None
        self.period_s = 0
        self._declared.clear()

    def _cancel_retry(self) -> None:
        if self._retry_timer is not None:
            self._retry_timer.cancel()
            self._retry_timer = None

    def _reconnect(self) -> None:
        self._end_session()
        self._cancel_retry()
        addrs = self.map.active_addrs
        if self._stopped or not self.map.available or addrs.msgr2 is None:
            return
        now = self.loop.time()
        if self._last_attempt is not None:
            when = self._last_attempt + self.config.get_float("mgr_connect_retry_interval")
            if now < when:
                self._retry_timer = self.loop.call_at(when, self._reconnect)
                return
        self._last_attempt = now
        self.connection = self.messenger.get_connection(EntityType.MGR, addrs)
        self.connection.send_message(self._open())

    def _open(self) -> MMgrOpen:
        config = self.config
        return MMgrOpen(
            daemon_name=self.daemon_name,
            service_name=self.service,
            service_daemon=bool(self.service),
            daemon_metadata=self.metadata,
            daemon_status=self.status,
            config_bl=_Values(config.reported_values(), {}).encode(),
            config_defaults_bl=_Defaults(config.reported_defaults()).encode(),
        )

    # ------------------------------------------------------------------------------------- reports

    def _report(self) -> None:
        self._report_timer = None
        connection = self.connection
        if connection is None:
            return
        connection.send_message(self._make_report())
        self.send_statistics()
        if self.period_s:
            self._report_timer = self.loop.call_later(self.period_s, self._report)

    def send_statistics(self) -> None:
        """Send the statistics now, where there is a manager."""
        if self.connection is not None and self.statistics is not None:
            self.connection.send_message(self.statistics())

    def _make_report(self) -> MMgrReport:
        report = MMgrReport(daemon_name=self.daemon_name, service_name=self.service)
        if self.service and not self._status_told:
            self._status_told = True
            report.daemon_status = self.status
        packed = bytearray()
        found: dict[str, tuple[Counter, int]] = {}
        for counters in self.perf.sorted():
            for counter in counters.counters.values():
                priority = max(counter.priority + counters.priority_adjust, 0)
                if priority >= self.threshold:
                    found[f"{counters.name}.{counter.name}"] = counter, priority
        report.undeclare_types = sorted(self._declared - found.keys())
        self._declared &= found.keys()
        for path in sorted(found):
            counter, priority = found[path]
            if path not in self._declared:
                self._declared.add(path)
                report.declare_types.append(_declaration(path, counter, priority))
            packed += _packed(counter)
        report.packed = _struct.pack("<BBI", 1, 1, len(packed)) + packed
        if self.queries is not None:
            answers = self.queries.take()
            if answers:
                payload = OSDMetricPayload(answers)
                report.metric_report_message = MetricReportMessage(METRIC_TYPE_OSD, osd=payload)
        if self.health is not None:
            report.daemon_health_metrics = self.health()
        return report


def _declaration(path: str, counter: Counter, priority: int) -> PerfCounterType:
    return PerfCounterType(
        path, counter.description, counter.nick, int(counter.type), priority, int(counter.unit)
    )


def _packed(counter: Counter) -> bytes:
    """A counter's value as reports carry it; an average has its count twice."""
    mask = (1 << 64) - 1
    if isinstance(counter, U64):
        return _VALUE.pack(counter.value & mask)
    if isinstance(counter, U64Avg):
        count = counter.count & mask
        return _AVERAGE.pack(counter.sum & mask, count, count)
    if isinstance(counter, TimeAvg):
        count = counter.count & mask
        return _AVERAGE.pack(counter.nanoseconds & mask, count, count)
    if isinstance(counter, Time):
        return _VALUE.pack(counter.nanoseconds & mask)
    # What histograms count is not reported; their place is held.
    return _AVERAGE.pack(0, 0, 0) if counter.type & CounterType.LONGRUNAVG else _VALUE.pack(0)
