"""Daemons that are in no map but registered with the manager, such as gateways, in print.

Called by the service and `mon.commands.status`. Shapes: upstream `src/mgr/ServiceMap.cc`.
"""

from __future__ import annotations

from spirula.types.service import Service, ServiceDaemon, ServiceMap

CORE = frozenset({"osd", "client", "mon", "mds", "mgr"})
"""Kinds of daemons that have maps of their own."""


def document(services: ServiceMap) -> dict[str, object]:
    """`servicemap` of `ceph status -f json`."""
    return {
        "epoch": services.epoch,
        "modified": str(services.modified),
        "services": {
            name: {
                "daemons": {
                    "summary": service.summary,
                    **{id: _daemon(one) for id, one in sorted(service.daemons.items())},
                }
            }
            for name, service in sorted(services.services.items())
        },
    }


def _daemon(daemon: ServiceDaemon) -> dict[str, object]:
    return {
        "start_epoch": daemon.start_epoch,
        "start_stamp": str(daemon.start_stamp),
        "gid": daemon.gid,
        "addr": daemon.addr.without_type(),
        "metadata": dict(sorted(daemon.metadata.items())),
        "task_status": dict(sorted(daemon.task_status.items())),
    }


def summary(service: Service) -> str:
    """`2 daemons active (1 hosts, 1 zones)`, unless the service says it better itself."""
    if service.summary:
        return service.summary
    if not service.daemons:
        return "no daemons active"
    kind = "daemon"
    groups: dict[str, set[str]] = {}
    for _, daemon in sorted(service.daemons.items()):
        about = daemon.metadata
        kind = about.get("daemon_type", kind)
        for group, field in (("host", "hostname"), ("zone", "zone_id")):
            if field in about:
                groups.setdefault(group, set()).add(about[field])
    count = len(service.daemons)
    text = f"{count} {kind}{'s' if count > 1 else ''} active"
    if groups:
        text += f" ({', '.join(f'{len(found)} {g}s' for g, found in sorted(groups.items()))})"
    return text


def task_summary(name: str, service: Service) -> str:
    """What the daemons of a service are busy with, by task."""
    by_task: dict[str, dict[str, str]] = {}
    for id, daemon in sorted(service.daemons.items()):
        for task, status in daemon.task_status.items():
            by_task.setdefault(task, {})[f"{name}.{id}"] = status
    text = ""
    for task, status_by_daemon in sorted(by_task.items()):
        text += f"\n    {task}:"
        for daemon_name, status in sorted(status_by_daemon.items()):
            text += f"\n        {daemon_name}: {status}"
    return text
