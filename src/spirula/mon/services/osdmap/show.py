"""Commands that show the map: stat, dump, ls, tree, getmap, map and the like; they change nothing.

Output: upstream `src/mon/OSDMonitor.cc`, preprocess_command; documents and tables are made in
`maps.dump`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from spirula.commands.arguments import (
    choices,
    integer,
    osd_name,
    osd_number,
    pgid,
    pool_name,
    said_required,
    text,
)
from spirula.commands.reply import Reply, lines, said
from spirula.commands.table import Commands
from spirula.crush.lookup import find_item, leaves
from spirula.errors import InvalidArgument, NotFound
from spirula.maps.dump.document import osd_document, osdmap_document, osds_document
from spirula.maps.dump.plain import osd_line, print_osdmap
from spirula.maps.dump.summary import print_summary, summary_document
from spirula.maps.dump.tree import print_tree, tree_document
from spirula.maps.dump.values import osd_list
from spirula.maps.osdmap import OSDMap
from spirula.maps.placement import Placement, raw_pg_to_pg
from spirula.maps.query import all_osds, find_pool
from spirula.maps.state import Release, exists, is_in, is_up
from spirula.mon.commands.kept import kept
from spirula.mon.services.osdmap.arrays import count_up
from spirula.mon.services.osdmap.encoding import SIGNIFICANT
from spirula.printing import Items, as_f32, general
from spirula.types.base import UTime
from spirula.types.pg import PGId

if TYPE_CHECKING:
    from spirula.mon.request import Request
    from spirula.mon.services.osdmap.service import OSDMapService

commands = Commands("osd")
_EPOCH = integer(0, required=False)
_STATES = choices("up", "down", "in", "out", "destroyed", required=False, repeated=True)


def map_of_epoch(service: OSDMapService, epoch: int | None) -> OSDMap:
    """The committed map, or that of another epoch. NotFound if it is not there (any more)."""
    if epoch is None or epoch == service.epoch:
        return service.osdmap
    return OSDMap.decode(_full(service, epoch))


def _full(service: OSDMapService, epoch: int) -> bytes:
    encoded = service.publisher.full(epoch, SIGNIFICANT)
    if encoded is None:
        raise NotFound(f"there is no map for epoch {epoch}")
    return encoded


def parse_pgid(word: str) -> PGId:
    """A PG as people write it. InvalidArgument in upstream's words."""
    try:
        return PGId.parse(word)
    except ValueError:
        raise InvalidArgument(f"invalid pgid '{word}'") from None


# ---------------------------------------------------------------------------------------- the map


@commands.add("osd stat", perm="r", help="show how many OSDs there are, are up and are in")
def stat(service: OSDMapService, request: Request) -> Reply:
    """`ceph osd stat`."""
    if request.is_plain:
        now = UTime.at(service.monitor.wall())
        return said(data=lines(print_summary(service.osdmap, now)))
    return said(data=request.render(summary_document(service.osdmap), "osdmap"))


@commands.add("osd dump", epoch=_EPOCH, perm="r", help="show the OSD map, whole")
@kept
def dump(service: OSDMapService, request: Request, epoch: int | None = None) -> Reply:
    """`ceph osd dump`."""
    osdmap = map_of_epoch(service, epoch)
    if request.is_plain:
        return said(data=lines(print_osdmap(osdmap)))
    return said(data=lines(request.render(osdmap_document(osdmap), "osdmap")))


@commands.add(
    "osd info", id=osd_name(required=False), perm="r", help="show one OSD of the map, or all"
)
@kept
def info(service: OSDMapService, request: Request, id: str | None = None) -> Reply:
    """`ceph osd info`."""
    osdmap = service.osdmap
    if id is None:
        if request.is_plain:
            shown = [osd_line(osdmap, osd) for osd in all_osds(osdmap)]
            return said(data=lines("\n".join(shown)))
        return said(data=request.render(osds_document(osdmap), "osds"))
    osd = osd_number(id)
    if not exists(osdmap, osd):
        raise InvalidArgument(f"osd.{osd} does not exist")
    if request.is_plain:
        return said(data=osd_line(osdmap, osd) + "\n")
    return said(data=request.render(osd_document(osdmap, osd), "osd_info"))


@commands.add("osd ls", epoch=_EPOCH, perm="r", help="show the ids of all OSDs")
def ls(service: OSDMapService, request: Request, epoch: int | None = None) -> Reply:
    """`ceph osd ls`: those of now, whatever the epoch, which only has to be there."""
    map_of_epoch(service, epoch)
    return said(data=_ids(request, all_osds(service.osdmap)))


@commands.add(
    "osd ls-tree",
    epoch=_EPOCH,
    name=said_required(text()),
    perm="r",
    help="show the ids of the OSDs below a bucket of the CRUSH map",
)
def ls_tree(service: OSDMapService, request: Request, name: str, epoch: int | None = None) -> Reply:
    """`ceph osd ls-tree`."""
    osdmap = map_of_epoch(service, epoch)
    root = find_item(osdmap.crush, name)
    if root is None:
        raise NotFound(f'"{name}" does not exist')
    found = sorted(osd for osd in leaves(osdmap.crush, root) if exists(service.osdmap, osd))
    return said(data=_ids(request, found))


def _ids(request: Request, osds: list[int]) -> str:
    if request.is_plain:
        return lines("\n".join(map(str, osds)))
    return request.render(Items("osd", osds), "osds")


@commands.add(
    "osd tree", epoch=_EPOCH, states=_STATES, perm="r", help="show the OSDs in their hierarchy"
)
@kept
def tree(
    service: OSDMapService, request: Request, states: list[str], epoch: int | None = None
) -> Reply:
    """`ceph osd tree`."""
    return _tree(service, request, states, epoch, "")


@commands.add(
    "osd tree-from",
    epoch=_EPOCH,
    bucket=text(),
    states=_STATES,
    perm="r",
    help="show the OSDs below a bucket in their hierarchy",
)
def tree_from(
    service: OSDMapService,
    request: Request,
    bucket: str,
    states: list[str],
    epoch: int | None = None,
) -> Reply:
    """`ceph osd tree-from`."""
    id = find_item(service.osdmap.crush, bucket)
    if id is None:
        raise NotFound(f"bucket '{bucket}' does not exist")
    if id >= 0:
        raise InvalidArgument(f'"{bucket}" is not a bucket')
    return _tree(service, request, states, epoch, bucket)


def _tree(
    service: OSDMapService, request: Request, states: list[str], epoch: int | None, bucket: str
) -> Reply:
    osdmap = map_of_epoch(service, epoch)
    wanted = set(states)
    if {"in", "out"} <= wanted:
        raise InvalidArgument("cannot specify both 'in' and 'out'")
    if len(wanted & {"up", "down", "destroyed"}) > 1:
        raise InvalidArgument("can specify only one of 'up', 'down' and 'destroyed'")
    if request.is_plain:
        return said(data=lines(print_tree(osdmap, wanted, bucket)))
    return said(data=request.render(tree_document(osdmap, wanted, bucket), "tree"))


@commands.add("osd getmap", epoch=_EPOCH, perm="r", help="give the encoded OSD map")
def getmap(service: OSDMapService, request: Request, epoch: int | None = None) -> Reply:
    """`ceph osd getmap`: as it was committed."""
    wanted = service.epoch if epoch is None else epoch
    return said(f"got osdmap epoch {wanted}", _full(service, wanted))


@commands.add("osd getmaxosd", perm="r", help="show for how many OSDs the map has room")
def getmaxosd(service: OSDMapService, request: Request) -> Reply:
    """`ceph osd getmaxosd`."""
    epoch, count = service.epoch, service.osdmap.max_osd
    if request.is_plain:
        return said(data=f"max_osd = {count} in epoch {epoch}\n")
    return said(data=request.render({"epoch": epoch, "max_osd": count}, "getmaxosd"))


@commands.add(
    "osd get-require-min-compat-client",
    perm="r",
    help="show the oldest release whose clients must be able to use the cluster",
)
def get_require_min_compat_client(service: OSDMapService, request: Request) -> Reply:
    """`ceph osd get-require-min-compat-client`."""
    return said(data=Release.name_of(service.osdmap.require_min_compat_client) + "\n")


# ------------------------------------------------------------------------------- where things are


@commands.add(
    "osd map",
    pool=pool_name(),
    object=text("CephObjectname"),
    nspace=text(required=False),
    perm="r",
    help="show in which PG an object is, and where that is",
)
def map_object(
    service: OSDMapService, request: Request, pool: str, object: str, nspace: str = ""
) -> Reply:
    """`ceph osd map`."""
    osdmap = service.osdmap
    number = find_pool(osdmap, pool)
    if number is None:
        raise NotFound(f"pool {pool} does not exist")
    places = Placement(osdmap)
    raw = places.object_pg(number, object, nspace=nspace)
    pg = raw_pg_to_pg(osdmap.pools[number], raw)
    found = places.pg_to_up_acting_osds(pg)
    name = f"{nspace}/{object}" if nspace else object
    if request.is_plain:
        return said(
            data=f"osdmap e{osdmap.epoch} pool '{pool}' ({number}) object '{name}' ->"
            f" pg {raw} ({pg}) -> up ({osd_list(found.up)}, p{found.up_primary})"
            f" acting ({osd_list(found.acting)}, p{found.acting_primary})\n"
        )
    document = {
        "epoch": osdmap.epoch,
        "pool": pool,
        "pool_id": number,
        "objname": name,
        "raw_pgid": str(raw),
        "pgid": str(pg),
        "up": Items("osd", found.up),
        "up_primary": found.up_primary,
        "acting": Items("osd", found.acting),
        "acting_primary": found.acting_primary,
    }
    return said(data=request.render(document, "osd_map"))


@commands.add("pg map", pgid=pgid(), perm="r", module="pg", help="show on which OSDs a PG is")
def pg_map(service: OSDMapService, request: Request, pgid: str) -> Reply:
    """`ceph pg map`."""
    osdmap, raw = service.osdmap, parse_pgid(pgid)
    pool = osdmap.pools.get(raw.pool)
    if pool is None:
        raise NotFound(f"pg '{pgid}' does not exist")
    pg = raw_pg_to_pg(pool, raw)
    found = Placement(osdmap).pg_to_up_acting_osds(raw)
    if request.is_plain:
        return said(
            data=f"osdmap e{osdmap.epoch} pg {raw} ({pg}) -> up {osd_list(found.up)}"
            f" acting {osd_list(found.acting)}\n"
        )
    document = {
        "epoch": osdmap.epoch,
        "raw_pgid": str(raw),
        "pgid": str(pg),
        "up": Items("up_osd", found.up),
        "acting": Items("acting_osd", found.acting),
    }
    return said(data=request.render(document, "pg_map"))


@commands.add("osd utilization", perm="r", help="show how evenly PGs lie on OSDs")
def utilization(service: OSDMapService, request: Request) -> Reply:
    """`ceph osd utilization`; nothing at all without an OSD that is up and in."""
    osdmap = service.osdmap
    osds = [osd for osd in all_osds(osdmap) if is_up(osdmap, osd) and is_in(osdmap, osd)]
    if not osds:
        return said()
    counts = count_up(osdmap)
    total = sum(pool.size * pool.pg_num for pool in osdmap.pools.values())
    mean = as_f32(total / len(osds))
    squares = sum((counts[osd] - mean) ** 2 for osd in osds)
    deviation = as_f32(math.sqrt(squares / len(osds)))
    expected = as_f32(math.sqrt(mean * (1.0 - 1.0 / len(osds))))
    least = min(osds, key=lambda osd: counts[osd])
    most = max(osds, key=lambda osd: counts[osd])
    if request.is_plain:
        shown = [
            f"avg {general(mean)}",
            f"stddev {general(deviation)} (expected baseline {general(expected)})",
        ]
        for word, osd in (("min", least), ("max", most)):
            share = general(as_f32(counts[osd] / mean)) if mean else "-nan"
            shown.append(f"{word} osd.{osd} with {counts[osd]} pgs ({share} * mean)")
        return said(data=lines("\n".join(shown)))
    document = {
        "avg_pgs": mean,
        "std_dev": deviation,
        "expected_baseline_std_dev": expected,
        "min_osd": least,
        "min_osd_pgs": counts[least],
        "max_osd": most,
        "max_osd_pgs": counts[most],
    }
    return said(data=request.render(document, "utilization"))
