"""The modules that come with this project, by name; `mgr_host.own` adds those of other packages."""

from __future__ import annotations

_HERE = "spirula.mgr_modules"

MODULES: dict[str, str] = {
    "alerts": f"{_HERE}.alerts:Alerts",
    "balancer": f"{_HERE}.balancer.module:Balancer",
    "crash": f"{_HERE}.crash:Crashes",
    "devicehealth": f"{_HERE}.devicehealth.module:DeviceHealth",
    "exporter": f"{_HERE}.exporter.module:Exporter",
    "iostat": f"{_HERE}.iostat:Iostat",
    "pg_autoscaler": f"{_HERE}.pg_autoscaler.module:PGAutoscaler",
    "progress": f"{_HERE}.progress.module:Progress",
    "prometheus": f"{_HERE}.prometheus.module:Prometheus",
    "status": f"{_HERE}.status:Status",
    "telemetry": f"{_HERE}.telemetry.module:Telemetry",
}
"""Where the class of each module is: `package.module:Class`. It is imported when it is to run."""
