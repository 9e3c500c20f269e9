"""What modules are asked in test_manager_compared: upstream's in a real manager, ours in ours."""

from __future__ import annotations

import json

from tests.interop.compared import Step

_OLD = {
    "crash_id": "2026-01-01T00:00:00.000000Z_one",
    "timestamp": "2026-01-01T00:00:00.000000Z",
    "entity_name": "osd.9",
    "ceph_version": "16.2.15",
    "process_name": "ceph-osd",
    "assert_msg": "a.cc: In function 'f' thread 7f time 2026\na.cc: 12: FAILED x\n",
    "backtrace": ["(one()+0x12) [0x1234]", "(two()+0x3) [0x3]"],
    "utsname_hostname": "vm",
}
_NEW = {**_OLD, "crash_id": "2099-01-01T00:00:00.000000Z_two"}
_NEW["timestamp"] = "2099-01-01T00:00:00.000000Z"
_ID = _OLD["crash_id"]

POSTED = [Step("crash post", json.dumps(one).encode()) for one in (_OLD, _NEW)]
"""What is asked of both before all."""

SHOWN = [
    *(Step("osd status", format="plain"), Step("osd status", bucket="def*", format="plain")),
    *(Step("iostat"), Step("iostat", width=100, print_header=True)),
    *(Step("fs status"), Step("progress"), Step("progress json")),
    *(Step("crash ls"), Step("crash ls-new"), Step("crash info", id=_ID)),
    *(Step("telemetry status"), Step("telemetry show", channels=["basic"], format="plain")),
    *(Step("telemetry show-all"), Step("telemetry show-device")),
    Step("device query-daemon-health-metrics", who="osd.0"),
    *(
        Step("balancer status"),
        Step("balancer eval"),
        Step("balancer pool ls"),
        Step("balancer ls"),
    ),
    *(Step("osd pool autoscale-status"), Step("osd pool autoscale-status", format="plain")),
]
"""Compared by keys and columns."""

TOLD = [
    *(Step("crash stat"), Step("crash info", id=_ID), Step("crash info", id="none")),
    *(Step("crash post", b"{}"), Step("crash post", b"no json"), Step("crash prune", keep="x")),
    *(Step("crash json_report", hours="x"), Step("crash json_report", hours="1000000")),
    *(Step("crash archive", id="none"), Step("crash archive", id=_ID), Step("crash ls")),
    *(Step("crash rm", id="none"), Step("crash archive-all"), Step("crash ls-new")),
    *(Step("crash prune", keep="7"), Step("crash ls"), Step("crash rm", id=_NEW["crash_id"])),
    *(Step("progress on"), Step("progress off"), Step("progress off"), Step("progress on")),
    *(Step("progress clear"), Step("progress")),
    *(Step("fs status", fs="none"), Step("telemetry off")),
    Step("device query-daemon-health-metrics", who="mds.a"),
    Step("device scrape-daemon-health-metrics", who="x"),
    Step("device scrape-daemon-health-metrics", who="osd.0"),
    *(Step("device scrape-health-metrics"), Step("device scrape-health-metrics", devid="none")),
    *(Step("device get-health-metrics", devid="none"), Step("device check-health")),
    *(Step("device monitoring off"), Step("device monitoring on")),
    Step("device predict-life-expectancy", devid="none"),
    *(Step("balancer optimize", plan="p"), Step("balancer execute", plan="p")),
    *(Step("balancer off"), Step("balancer optimize", plan="p", pools=["none"])),
    *(Step("balancer mode", mode="none"), Step("balancer optimize", plan="p")),
    Step("balancer mode", mode="upmap"),
    *(Step("balancer optimize", plan="p"), Step("balancer show", plan="p")),
    *(Step("balancer dump", plan="p"), Step("balancer execute", plan="p")),
    *(Step("balancer rm", plan="p"), Step("balancer reset"), Step("balancer eval", option="none")),
    *(Step("balancer pool add", pools=["none"]), Step("balancer pool add", pools=["data"])),
    *(Step("balancer pool ls"), Step("balancer eval", option="data")),
    *(Step("balancer pool rm", pools=["data"]), Step("balancer pool ls"), Step("balancer on")),
    *(Step("osd pool get noautoscale"), Step("osd pool unset noautoscale")),
    *(Step("osd pool set noautoscale"), Step("osd pool set noautoscale")),
    *(Step("osd pool get noautoscale"), Step("osd pool unset noautoscale")),
]
"""Compared word by word."""
