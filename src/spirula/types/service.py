"""What daemons outside the maps report: the service map, health checks, metrics, progress.

Layouts only; who keeps and judges them is the manager and the monitor's health service. Formats:
upstream `src/mgr/ServiceMap.h`, `src/mgr/DaemonHealthMetric.h`, `src/mon/health_check.h`,
`src/mon/mon_types.h` (ProgressEvent) and `src/messages/MMgrReport.h` (PerfCounterType).
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

from spirula.denc import (
    Map,
    Struct,
    Vec,
    boolean,
    default,
    f32,
    s64,
    since,
    string,
    struct,
    u8,
    u32,
    u64,
)
from spirula.types.base import UTime
from spirula.types.entity import EntityAddr


@struct(version=2, compat=1, name="ServiceMap::Daemon")
class ServiceDaemon(Struct):
    """A registered daemon of a service: where it is, since when, what it says of itself."""

    gid: u64
    addr: EntityAddr
    start_epoch: u32
    start_stamp: UTime
    metadata: Map[string, string]
    task_status: Map[string, string] = since(2)


@struct(version=1, compat=1, name="ServiceMap::Service")
class Service(Struct):
    """The daemons of one service, and what `ceph -s` shows in place of their count."""

    daemons: Map[string, ServiceDaemon]
    summary: string


@struct(version=1, compat=1, name="ServiceMap")
class ServiceMap(Struct):
    """Services (`rgw`, `rbd-mirror`, ...) that registered with the manager."""

    epoch: u32
    modified: UTime
    services: Map[string, Service]


class DaemonMetric(IntEnum):
    """What a daemon health metric counts."""

    SLOW_OPS = 0
    PENDING_CREATING_PGS = 1
    NONE = 2


@struct(version=1, compat=1, name="DaemonHealthMetric")
class DaemonHealthMetric(Struct):
    """A number that a daemon reports to the manager; for slow operations two in one.

    `value` holds the count of slow operations in its low 32 bits and the age of the oldest in
    seconds in its high ones.
    """

    type: u8 = default(DaemonMetric.NONE)
    value: u64

    @property
    def low(self) -> int:
        """The low half of `value`."""
        return self.value & 0xFFFFFFFF

    @property
    def high(self) -> int:
        """The high half of `value`."""
        return self.value >> 32


class HealthStatus(IntEnum):
    """How bad a health check is; the smaller the worse."""

    ERR = 0
    WARN = 1
    OK = 2

    def __str__(self) -> str:
        return f"HEALTH_{self.name}"


@struct(version=2, compat=1, name="health_check_t")
class HealthCheck(Struct):
    """One health check that does not pass; `count` says how many things it is about."""

    severity: u8 = default(HealthStatus.ERR)
    summary: string
    detail: Vec[string]
    count: s64 = since(2)


@struct(version=1, compat=1, name="health_check_map_t")
class HealthCheckMap(Struct):
    """Health checks by their code (`OSD_DOWN`)."""

    checks: Map[string, HealthCheck]


@struct(version=1, compat=1, name="health_mute_t")
class HealthMute(Struct):
    """A health code that an operator silenced, until `ttl` (zero: for good)."""

    code: string
    ttl: UTime
    sticky: boolean
    summary: string
    count: s64


@struct(version=2, compat=1, name="ProgressEvent")
class ProgressEvent(Struct):
    """Something long that goes on (a rebalance), and how far it is, from 0 to 1."""

    message: string
    progress: f32
    add_to_ceph_s: boolean = since(2, default=True)


class PerfCounterKind(IntFlag):
    """Bits of a perf counter's type (upstream perfcounter_type_d)."""

    TIME = 0x1
    U64 = 0x2
    LONGRUNAVG = 0x4
    COUNTER = 0x8
    HISTOGRAM = 0x10


class PerfCounterUnit(IntEnum):
    """What a perf counter's numbers are (upstream unit_t)."""

    BYTES = 0
    NONE = 1


PRIO_USEFUL = 5
"""Priority that counters without one are taken to have."""


@struct(version=3, compat=1, name="PerfCounterType")
class PerfCounterType(Struct):
    """The declaration of a perf counter that a daemon reports once, before its values."""

    path: string
    description: string
    nick: string
    type: u8
    priority: u8 = since(2, default=PRIO_USEFUL)
    unit: u8 = since(3)
