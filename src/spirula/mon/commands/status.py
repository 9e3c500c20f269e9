"""`ceph status`: all parts of the cluster on one page, in print or as a document.

Each part is shown by the module that knows it. Called by the monitor's `status` command. Shape:
upstream `src/mon/Monitor.cc` (get_cluster_status).
"""

from __future__ import annotations

import uuid
from collections.abc import Hashable
from typing import TYPE_CHECKING

from spirula.commands.reply import lines
from spirula.maps.dump import summary as osd_summary
from spirula.mon.services.mgrmap import show as mgr_show
from spirula.mon.services.monmap import show as mon_show
from spirula.pgmap import services as service_show
from spirula.pgmap import summary as pg_summary
from spirula.printing import Items
from spirula.types.base import UTime

if TYPE_CHECKING:
    from spirula.mon.monitor import Monitor

_HEALTH = "\n" + " " * 12


def state(monitor: Monitor) -> Hashable:
    """What all of it depends on: what is committed, the quorum and its age in seconds."""
    member = monitor.member
    return member.paxos.last_committed, member.epoch, member.state.phase, int(_age(monitor))


def document(monitor: Monitor) -> dict[str, object]:
    """`ceph status -f json`."""
    quorum = sorted(monitor.member.state.quorum)
    stats = monitor.mgrstat
    return {
        "fsid": str(uuid.UUID(bytes=bytes(monitor.monmap.fsid))),
        "health": monitor.health_service.gather(detail=False),
        "election_epoch": monitor.member.epoch,
        "quorum": Items("rank", quorum),
        "quorum_names": Items("id", [monitor.monmap.ranks[rank] for rank in quorum]),
        "quorum_age": int(_age(monitor)),
        "monmap": mon_show.summary_document(monitor.monmap),
        "osdmap": osd_summary.summary_document(monitor.osdmap.osdmap),
        "pgmap": pg_summary.document(stats.digest),
        "fsmap": monitor.fsmap.document(),
        "mgrmap": mgr_show.summary_document(monitor.mgrmap.map),
        "servicemap": service_show.document(stats.service_map),
        "progress_events": {
            id: {
                "message": event.message,
                "progress": event.progress,
                "add_to_ceph_s": event.add_to_ceph_s,
            }
            for id, event in sorted(stats.progress.items())
        },
    }


def _age(monitor: Monitor) -> float:
    return max(monitor.wall() - monitor.quorum_since, 0.0)


def plain(monitor: Monitor) -> str:
    """`ceph status`."""
    health = monitor.health_service.plain(first=_HEALTH, between=_HEALTH)
    fsid = uuid.UUID(bytes=bytes(monitor.monmap.fsid))
    cluster = f"  cluster:\n    id:     {fsid}\n    health: {health}"
    sections = [cluster, "  services:\n" + _services(monitor)]
    services = monitor.mgrstat.service_map.services
    if any(one.task_status for service in services.values() for one in service.daemons.values()):
        tasks = (service_show.task_summary(*pair) for pair in sorted(services.items()))
        sections.append("  task status:\n" + "".join(tasks))
    sections.append("  data:\n" + pg_summary.plain(monitor.mgrstat.digest))
    if monitor.mgrstat.progress:
        shown = (
            f"    {event.message}\n"
            for _, event in sorted(monitor.mgrstat.progress.items())
            if event.add_to_ceph_s
        )
        sections.append("  progress:\n" + "".join(shown))
    return lines("\n \n".join(section.removesuffix("\n") for section in sections) + "\n \n")


def _services(monitor: Monitor) -> str:
    services = monitor.mgrstat.service_map.services
    width = max([len("mon"), *map(len, services)])
    pad = " " * (width - len("mon"))
    quorum, monmap = monitor.member.state.quorum, monitor.monmap
    names = [monmap.ranks[rank] for rank in sorted(quorum)]
    mons = (
        f"{len(monmap.ranks)} daemons, quorum {','.join(names)} "
        f"(age {UTime.at(_age(monitor)).span_text()})"
    )
    outside = [name for rank, name in enumerate(monmap.ranks) if rank not in quorum]
    if outside:
        mons += f", out of quorum: {', '.join(outside)}"
    lines = [f"    mon: {pad}{mons}\n"]
    # As upstream, the manager's line is there in any case.
    lines.append(f"    mgr: {pad}{mgr_show.summary(monitor.mgrmap.map, monitor.wall())}\n")
    osds = osd_summary.print_summary(
        monitor.osdmap.osdmap, UTime.at(monitor.wall()), " " * (width + 6), epoch=False
    )
    lines.append(f"    osd: {pad}{osds}")
    lines += [
        f"    {name}: {' ' * (width - len(name))}{service_show.summary(service)}\n"
        for name, service in sorted(services.items())
        if name not in service_show.CORE
    ]
    return "".join(lines)
