"""What the manager says and hears: beacons and maps, reports of daemons, digests for and from
monitors.

Commands to the manager are in `command`. Formats: upstream `src/messages/MMgr*.h`,
`MMonMgrReport.h`, `MServiceMap.h`.
"""

from __future__ import annotations

from spirula.denc import (
    Map,
    Opt,
    Set,
    Vec,
    blob,
    boolean,
    since,
    string,
    u32,
    u64,
    uuid_d,
    when,
)
from spirula.messages.base import Message, PaxosServiceMessage, message
from spirula.types.entity import EntityAddrVec
from spirula.types.mgr import ModuleInfo
from spirula.types.mon import MonCommand
from spirula.types.perf_query import (
    MetricConfigMessage,
    MetricReportMessage,
    PerfMetricLimit,
    PerfMetricQuery,
    PerfMetricReport,
)
from spirula.types.service import (
    DaemonHealthMetric,
    HealthCheckMap,
    PerfCounterType,
    ProgressEvent,
    ServiceMap,
)


@message(0x703, version=11, compat=8)
class MMgrBeacon(PaxosServiceMessage):
    """A manager is alive; the active one also says what it serves.

    `module_names` repeats the names of `modules`. `clients` are the RADOS clients inside the
    manager, `client_names` their modules, position by position. `command_descs` is sent once, on
    activation.
    """

    server_addrs: EntityAddrVec
    gid: u64
    available: boolean
    name: string
    fsid: uuid_d
    module_names: Set[string]
    command_descs: Vec[MonCommand]
    metadata: Map[string, string]
    services: Map[string, string]
    modules: Vec[ModuleInfo]
    mgr_features: u64 = since(9)
    clients: Vec[EntityAddrVec] = since(10)
    client_names: Vec[string] = since(11)


@message(0x707)
class MServiceMap(Message):
    """The service map."""

    service_map: ServiceMap


@message(0x705)
class MMgrDigest(Message):
    """The monitors' status and health for the manager's modules, as JSON."""

    mon_status_json: blob
    health_json: blob


@message(0x706, version=3, compat=1)
class MMonMgrReport(PaxosServiceMessage):
    """The active manager's health checks, services and progress; `data` is an encoded PGMapDigest.

    `service_map_bl`, unless empty, is an encoded ServiceMap. `gid` is the manager's.
    """

    health_checks: HealthCheckMap
    service_map_bl: blob
    progress_events: Map[string, ProgressEvent] = since(2)
    gid: u64 = since(3)


@message(0x700, version=3, compat=1)
class MMgrOpen(Message):
    """A daemon, or a client that serves something, opens its session with the manager.

    `service_name` empty means the entity's own kind. `config_bl` and `config_defaults_bl`: encoded
    maps of the options that differ from their defaults, and of the defaults.
    """

    daemon_name: string
    service_name: string = since(2)
    service_daemon: boolean = since(2)
    daemon_metadata: Map[string, string] = when("service_daemon", since=2)
    daemon_status: Map[string, string] = when("service_daemon", since=2)
    config_bl: blob = since(3)
    config_defaults_bl: blob = since(3)


@message(0x708)
class MMgrClose(Message):
    """The session's end."""

    daemon_name: string
    service_name: string


@message(0x70B, version=2, compat=1)
class MMgrUpdate(Message):
    """New metadata of a daemon whose session is open."""

    daemon_name: string
    service_name: string = since(2)
    need_metadata_update: boolean = since(2)
    daemon_metadata: Map[string, string] = when("need_metadata_update", since=2)
    daemon_status: Map[string, string] = when("need_metadata_update", since=2)


@message(0x701, version=4, compat=1)
class MMgrConfigure(Message):
    """How a daemon is to report: seconds between reports, the least priority of counters, queries.

    `metric_config_message` with queries for an MDS is left out for peers before 16.2.
    """

    stats_period: u32
    stats_threshold: u32 = since(2)
    osd_perf_metric_queries: Map[PerfMetricQuery, Set[PerfMetricLimit]] = since(3)
    metric_config_message: Opt[MetricConfigMessage] = since(4)


@message(0x702, version=9, compat=1)
class MMgrReport(Message):
    """A daemon's report: counters, status, health metrics, answers to queries.

    `packed` holds the values of all declared counters, in the order of their paths; counters are
    declared once per session. A status of None means unchanged. `config_bl`, unless empty: as in
    MMgrOpen.
    """

    daemon_name: string
    declare_types: Vec[PerfCounterType]
    packed: blob
    undeclare_types: Vec[string] = since(2)
    service_name: string = since(3)
    daemon_status: Opt[Map[string, string]] = since(3)
    daemon_health_metrics: Vec[DaemonHealthMetric] = since(5)
    config_bl: blob = since(6)
    osd_perf_metric_reports: Map[PerfMetricQuery, PerfMetricReport] = since(7)
    task_status: Opt[Map[string, string]] = since(8)
    metric_report_message: Opt[MetricReportMessage] = since(9)
