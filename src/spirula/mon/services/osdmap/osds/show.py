"""Commands that show what is known of OSDs beside the map: where they are, what they run on.

Output: upstream `src/mon/OSDMonitor.cc`, preprocess_command.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from spirula.commands.arguments import osd_name, osd_number, text
from spirula.commands.reply import Reply, said
from spirula.commands.table import Commands
from spirula.errors import NotFound
from spirula.maps.dump.values import uuid_text
from spirula.maps.query import all_osds
from spirula.maps.state import exists
from spirula.mon.services.osdmap import metadata
from spirula.mon.services.osdmap.places import location
from spirula.printing import Items, TextTable

if TYPE_CHECKING:
    from spirula.mon.request import Request
    from spirula.mon.services.osdmap.service import OSDMapService

commands = Commands("osd")
_DEPLOYED_IN = ("pod_name", "pod_namespace", "container_name")


def _existing(service: OSDMapService, id: str) -> int:
    osd = osd_number(id)
    if not exists(service.osdmap, osd):
        raise NotFound(f"osd.{osd} does not exist")
    return osd


@commands.add(
    "osd find", id=osd_name(), perm="r", help="show an OSD's addresses and place in the hierarchy"
)
def find(service: OSDMapService, request: Request, id: str) -> Reply:
    """`ceph osd find`."""
    osd, osdmap = _existing(service, id), service.osdmap
    known = metadata.known(service.monitor.store, osd)
    addrs = Items("addr", (addr.plain() for addr in osdmap.client_addrs[osd].addrs))
    document: dict[str, object] = {
        "osd": osd,
        "addrs": {"addrvec": addrs},
        "osd_fsid": uuid_text(osdmap.osd_uuid[osd]),
    }
    if "hostname" in known:
        document["host"] = known["hostname"]
    document.update({name: known[name] for name in _DEPLOYED_IN if name in known})
    document["crush_location"] = dict(sorted(location(osdmap.crush, osd).items()))
    return said(data=request.render(document, "osd_location"))


@commands.add(
    "osd metadata",
    id=osd_name(required=False),
    perm="r",
    help="show what OSDs told of themselves when they booted",
)
def show_metadata(service: OSDMapService, request: Request, id: str | None = None) -> Reply:
    """`ceph osd metadata`."""
    store = service.monitor.store
    if id is not None:
        osd = _existing(service, id)
        document = {"id": osd, **metadata.load(store, osd)}
        return said(data=request.render(document, "osd_metadata"))
    listed = []
    for osd in all_osds(service.osdmap):
        entry: dict[str, object] = {"id": osd}
        with contextlib.suppress(NotFound):
            entry.update(metadata.load(store, osd))
        listed.append(entry)
    return said(data=request.render(Items("osd", listed), "osd_metadata"))


@commands.add("osd versions", perm="r", help="show how many OSDs run which version")
def versions(service: OSDMapService, request: Request) -> Reply:
    """`ceph osd versions`."""
    return _count(service, request, "ceph_version")


@commands.add(
    "osd count-metadata",
    property=text(),
    perm="r",
    help="show how many OSDs have which value of a field of their metadata",
)
def count_metadata(service: OSDMapService, request: Request, property: str) -> Reply:
    """`ceph osd count-metadata`."""
    return _count(service, request, property)


def _count(service: OSDMapService, request: Request, name: str) -> Reply:
    found = metadata.count(service.monitor.store, service.osdmap, name)
    return said(data=request.render(found, name))


@commands.add("osd numa-status", perm="r", help="show to which NUMA nodes OSDs are bound")
def numa_status(service: OSDMapService, request: Request) -> Reply:
    """`ceph osd numa-status`."""
    listed = []
    for osd in all_osds(service.osdmap):
        with contextlib.suppress(NotFound):
            listed.append((osd, metadata.load(service.monitor.store, osd)))
    if not request.is_plain:
        return said(data=request.render(Items("osd", (_numa(*one) for one in listed)), "osds"))
    table = TextTable(
        (
            ("OSD", ">"),
            ("HOST", "<"),
            ("NETWORK", ">"),
            ("STORAGE", ">"),
            ("AFFINITY", ">"),
            ("CPUS", "<"),
        ),
        headings="<<>>><",
    )
    for osd, known in listed:
        bound = "numa_node" in known and "numa_node_cpus" in known
        table.add(
            osd,
            known.get("hostname", ""),
            known.get("network_numa_nodes", "-"),
            known.get("objectstore_numa_nodes", "-"),
            known["numa_node"] if bound else "-",
            known["numa_node_cpus"] if bound else "-",
        )
    return said(data=str(table))


def _numa(osd: int, known: dict[str, str]) -> dict[str, object]:
    found: dict[str, object] = {"osd": osd, "host": known.get("hostname", "")}
    for name in ("network_numa_node", "objectstore_numa_node", "numa_node"):
        if name in known:
            found[name] = _number(known[name])
    for name in ("network_numa_nodes", "objectstore_numa_nodes"):
        if name in known:
            nodes = [_number(word) for word in known[name].split(",") if word]
            found[name] = Items("node", nodes)
    if "numa_node_cpus" in known:
        found["numa_node_cpus"] = Items("cpu", _cpus(known["numa_node_cpus"]))
    return found


def _number(word: str) -> int:
    """A number as C's atoi reads it."""
    digits = word.strip()
    return int(digits) if digits.lstrip("-").isdigit() else 0


def _cpus(ranges: str) -> list[int]:
    """`0-3,8` one by one."""
    found: list[int] = []
    for part in ranges.split(","):
        low, _, high = part.partition("-")
        if low.strip().isdigit() and (not high or high.strip().isdigit()):
            found += range(int(low), int(high or low) + 1)
    return found


@commands.add(
    "osd last-stat-seq",
    id=osd_name(),
    perm="r",
    help="show the number of the last statistics of an OSD that have arrived",
)
def last_stat_seq(service: OSDMapService, request: Request, id: str) -> Reply:
    """`ceph osd last-stat-seq`: by the manager's digest; 0 before there is one."""
    osd, digest = osd_number(id), service.digest
    known = digest.osd_last_seq if digest is not None else []
    seq = known[osd] if osd < len(known) else 0
    # Upstream's documents show a number only within something.
    return said(data=f"{seq}\n" if request.is_plain else "")
