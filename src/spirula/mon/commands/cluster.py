"""Commands about the cluster as a whole, and what the monitor does at elections and ticks for them.

Those about the quorum are in `commands.quorum`, those of services beside each service. Documents
have upstream's fields (`src/mon/Monitor.cc` handle_command). Called by `monitor`.
"""

from __future__ import annotations

import uuid
from collections import Counter
from typing import TYPE_CHECKING

from spirula.commands.arguments import choices, text
from spirula.commands.reply import Reply, lines, said
from spirula.commands.table import CommandFlag, Commands
from spirula.conf import version
from spirula.conf.formatter import render
from spirula.errors import InvalidArgument, NotFound
from spirula.kernels.crc32c import crc32c
from spirula.mon import metadata
from spirula.mon.commands import daemon as daemon_commands
from spirula.mon.commands import quorum as quorum_commands
from spirula.mon.commands import report, status
from spirula.mon.commands.kept import kept_while
from spirula.mon.services.osdmap import metadata as osd_metadata
from spirula.mon.store import MONITOR, Transaction

if TYPE_CHECKING:
    from spirula.mon.monitor import Monitor
    from spirula.mon.quorum.state import Joined
    from spirula.mon.request import Request

commands = Commands("mon")
GROUPS = (commands, quorum_commands.commands, daemon_commands.commands)

_REPORT_SEED = 6789


# ------------------------------------------------------------------------------------- what happens


def on_joined(monitor: Monitor, event: Joined) -> None:
    """A quorum has formed: the leader writes down what its members tell of themselves."""
    if not monitor.is_leader:
        return
    known = metadata.load(monitor.store)
    told = {rank: dict(one) for rank, one in event.metadata.items() if one}
    told.setdefault(monitor.rank, dict(monitor.ports.metadata))
    ranks = range(len(monitor.monmap.ranks))
    merged = {rank: one for rank, one in {**known, **told}.items() if rank in ranks}
    fingerprint = None
    if monitor.store.get(MONITOR, report.FINGERPRINT) is None:
        fingerprint = uuid.UUID(bytes=monitor.random_bytes(16), version=4)
    if merged == known and fingerprint is None:
        return

    def write(transaction: Transaction) -> None:
        metadata.save(transaction, merged)
        if fingerprint is not None:
            transaction.put(MONITOR, report.FINGERPRINT, fingerprint.bytes)

    monitor.proposals.add(write)


def tick(monitor: Monitor) -> None:
    """What this monitor tells the leader with its next lease, and what waits for the manager."""
    found = quorum_commands.feature_map(monitor)
    monitor.member.paxos.feature_map = found.encode()
    monitor.command_dispatch.proxy.tick()


def pong(monitor: Monitor) -> str:
    """The answer to a ping: health and state of this monitor."""
    health = monitor.health_service.document(detail=False)
    return render({**health, "mon_status": quorum_commands.mon_status(monitor)}, "json-pretty")


# ----------------------------------------------------------------------------------------- commands


@commands.add("fsid", perm="r", help="show the cluster's identity")
def _fsid(monitor: Monitor, request: Request) -> Reply:
    shown = str(uuid.UUID(bytes=bytes(monitor.monmap.fsid)))
    return said(data=f"{shown}\n" if request.is_plain else request.render({"fsid": shown}, "fsid"))


@commands.add("version", perm="r", flags=CommandFlag.TELL, help="show this monitor's release")
def _show_version(monitor: Monitor, request: Request) -> Reply:
    if request.is_plain:
        return said(data=f"{version.PRETTY}\n")
    return said(data=request.render({"version": version.PRETTY}, "version") + "\n")


@commands.add("status", perm="r", help="show how the cluster is")
@kept_while(status.state)
def _show_status(monitor: Monitor, request: Request) -> Reply:
    if request.is_plain:
        return said(data=status.plain(monitor))
    return said(data=lines(request.render(status.document(monitor), "status")))


@commands.add(
    "df", detail=choices("detail", required=False), perm="r", help="show how full the cluster is"
)
def _df(monitor: Monitor, request: Request, detail: str = "") -> Reply:
    if request.is_plain:
        return said(data=monitor.mgrstat.df_plain(detail=bool(detail)))
    document = monitor.mgrstat.df_document(detail=bool(detail))
    return said(data=lines(request.render(document, "stats")))


@commands.add(
    "mon metadata", id=text(required=False), perm="r", help="show what monitors tell of themselves"
)
def _mon_metadata(monitor: Monitor, request: Request, id: str = "") -> Reply:
    known, ranks = metadata.load(monitor.store), monitor.monmap.ranks
    if "id" not in request.given:
        listed = [{"name": name, **known.get(rank, {})} for rank, name in enumerate(ranks)]
        return said(data=request.render(listed, "mon_metadata") + "\n"[request.is_plain :])
    rank = monitor.monmap.rank_of(id)
    if rank < 0:
        raise NotFound("requested mon not found")
    if rank not in known:
        raise NotFound
    return said(data=request.render({"name": id, **known[rank]}, "mon_metadata"))


def _all_metadata(monitor: Monitor) -> list[dict[str, str]]:
    known = metadata.load(monitor.store)
    return [known.get(rank, {}) for rank in range(len(monitor.monmap.ranks))]


@commands.add("mon versions", perm="r", help="count monitors by their release")
def _mon_versions(monitor: Monitor, request: Request) -> Reply:
    return _counted(monitor, request, "ceph_version")


@commands.add(
    "mon count-metadata", property=text(), perm="r", help="count monitors by a field of metadata"
)
def _mon_count_metadata(monitor: Monitor, request: Request, property: str) -> Reply:
    return _counted(monitor, request, property)


def _counted(monitor: Monitor, request: Request, field: str) -> Reply:
    found = metadata.count(_all_metadata(monitor), field)
    return said(data=request.render(found, field))


@commands.add("versions", perm="r", help="count all daemons by their release")
def _versions(monitor: Monitor, request: Request) -> Reply:
    field = "ceph_version"
    kinds: dict[str, dict[str, int]] = {
        "mon": metadata.count(_all_metadata(monitor), field),
        "mgr": metadata.count(monitor.mgrmap.all_metadata(), field),
        "osd": osd_metadata.count(monitor.store, monitor.osdmap.osdmap, field),
        "mds": {},
    }
    for service, listed in monitor.mgrstat.service_metadata().items():
        kinds[service] = metadata.count(listed, field)
    overall: Counter[str] = Counter()
    for counts in kinds.values():
        overall.update(counts)
    document = {**kinds, "overall": dict(sorted(overall.items()))}
    return said(data=request.render(document, "version"))


@commands.add(
    "node ls",
    type=choices("all", "osd", "mon", "mds", "mgr", required=False),
    perm="r",
    help="list the hosts of daemons, of one kind or all",
)
def _node_ls(monitor: Monitor, request: Request, type: str = "all") -> Reply:
    hosts: dict[str, dict[str, list[object]]] = {"mon": {}}
    known = metadata.load(monitor.store)
    for rank, name in enumerate(monitor.monmap.ranks):
        host = known.get(rank, {}).get("hostname")
        if host is not None:
            hosts["mon"].setdefault(host, []).append(name)
    osds = osd_metadata.by_host(monitor.store, monitor.osdmap.osdmap)
    hosts["osd"] = {host: list(numbers) for host, numbers in osds.items()}
    hosts["mds"] = {}
    hosts["mgr"] = monitor.mgrmap.hosts()
    if type != "all":
        return said(data=request.render(hosts[type], type))
    shown = {kind: found for kind, found in hosts.items() if kind != "mds"}
    return said(data=request.render(shown, "nodes"))


@commands.add(
    "report",
    tags=text(required=False, repeated=True),
    perm="r",
    help="show all there is to know of the cluster; words become its title",
)
def _report(monitor: Monitor, request: Request, tags: list[str]) -> Reply:
    document = report.report(monitor, " ".join(tags))
    data = request.render(document, "report").encode("utf-8", "surrogateescape")
    return said(f"report {crc32c(_REPORT_SEED, data)}", data)


@commands.add(
    "tell",
    target=text("CephName"),
    args=text(repeated=True),
    perm="rw",
    writes=False,
    help="send a command to one daemon; clients do that by themselves",
)
def _tell(monitor: Monitor, request: Request, target: str, args: list[str]) -> Reply:
    raise InvalidArgument("unrecognized command")
