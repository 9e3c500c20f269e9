"""Commands that make exceptions for single PGs: pg-temp, primary-temp, upmaps, repeer, re-creation.

Texts: upstream `src/mon/OSDMonitor.cc`, prepare_command_impl.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.commands.arguments import flag, osd_name, osd_number, pgid
from spirula.commands.reply import Reply, Retry, committed, said
from spirula.commands.table import Commands
from spirula.denc.features import OSDMAP_PG_UPMAP
from spirula.errors import InvalidArgument, NotFound, NotPermitted, TryAgain
from spirula.maps.dump.values import osd_list
from spirula.maps.osdmap import OSDMap
from spirula.maps.placement import Placement
from spirula.maps.query import up_osds
from spirula.maps.state import Release, exists
from spirula.mon.services.osdmap.crush.checks import check_cluster_features
from spirula.mon.services.osdmap.pgs.creating import pg_exists
from spirula.mon.services.osdmap.show import parse_pgid
from spirula.types.base import UTime
from spirula.types.creating_pgs import PGCreateInfo
from spirula.types.pg import NO_OSD, PGId
from spirula.types.pool import PoolFlag

if TYPE_CHECKING:
    from spirula.mon.request import Request
    from spirula.mon.services.osdmap.service import OSDMapService

commands = Commands("osd")
_SURE_TO_RECREATE = (
    "This command will recreate a lost (as in data lost) PG with data in it, such that the cluster"
    " will give up ever trying to recover the lost data.  Do this only if you are certain that all"
    " copies of the PG are in fact lost and you are willing to accept that the data is permanently"
    " destroyed.  Pass --yes-i-really-mean-it to proceed."
)


def _existing_pg(osdmap: OSDMap, word: str) -> PGId:
    pg = parse_pgid(word)
    if not pg_exists(osdmap, pg):
        raise NotFound(f"pg {pg} does not exist")
    return pg


def _check_osd(osdmap: OSDMap, osd: int, *, hole: bool = False) -> None:
    if not exists(osdmap, osd) and not (hole and osd == NO_OSD):
        raise NotFound(f"osd.{osd} does not exist")


def _check_count(osdmap: OSDMap, pg: PGId, count: int) -> None:
    pool = osdmap.pools[pg.pool]
    if count < pool.min_size:
        raise InvalidArgument(f"num of osds ({count}) < pool min size ({pool.min_size})")
    if count > pool.size:
        raise InvalidArgument(f"num of osds ({count}) > pool size ({pool.size})")


# ------------------------------------------------------------------------------- for the time being


@commands.add(
    "osd pg-temp",
    pgid=pgid(),
    id=osd_name(required=False, repeated=True),
    perm="rw",
    help="let OSDs serve a PG for the time being; none: no longer (for developers)",
)
def pg_temp(service: OSDMapService, request: Request, pgid: str, id: list[str]) -> Reply:
    """`ceph osd pg-temp`."""
    osdmap, table = service.osdmap, service.pending.new_pg_temp
    pg = _existing_pg(osdmap, pgid)
    if pg in table:
        raise Retry
    osds = [osd_number(word) for word in id]
    if not osds:
        table[pg] = []
        service.propose()
        return committed(f"done cleaning up pg_temp of {pg}")
    for osd in osds:
        _check_osd(osdmap, osd)
    _check_count(osdmap, pg, len(osds))
    table[pg] = osds
    service.propose()
    return committed(f"set {pg} pg_temp mapping to {osd_list(osds)}")


@commands.add(
    "osd primary-temp",
    pgid=pgid(),
    id=osd_name(),
    perm="rw",
    help="let an OSD lead a PG for the time being; -1: no longer (for developers)",
)
def primary_temp(service: OSDMapService, request: Request, pgid: str, id: str) -> Reply:
    """`ceph osd primary-temp`."""
    osdmap = service.osdmap
    pg = _existing_pg(osdmap, pgid)
    osd = -1 if id == "-1" else osd_number(id)
    if osd != -1:
        _check_osd(osdmap, osd)
    least = osdmap.require_min_compat_client
    if Release.UNKNOWN < least < Release.FIREFLY:
        raise NotPermitted(
            f"require_min_compat_client {Release.name_of(least)} < firefly,"
            " which is required for primary-temp"
        )
    service.pending.new_primary_temp[pg] = osd
    service.propose()
    return committed(f"set {pg} primary_temp mapping to {osd}")


@commands.add("pg repeer", pgid=pgid(), perm="rw", help="let a PG peer once more")
def repeer(service: OSDMapService, request: Request, pgid: str) -> Reply:
    """`ceph pg repeer`: another acting set for a moment."""
    osdmap, pg = service.osdmap, parse_pgid(pgid)
    if not pg_exists(osdmap, pg):
        raise NotFound(f"pg '{pgid}' does not exist")
    found = Placement(osdmap).pg_to_up_acting_osds(pg)
    primary = found.acting_primary
    if primary < 0:
        raise TryAgain("pg currently has no primary")
    if len(found.acting) > 1:
        chosen = [primary]
    else:
        other = next((osd for osd in up_osds(osdmap) if osd != primary), None)
        if other is None:
            raise TryAgain("not enough up OSDs in the cluster to force repeer")
        chosen = [primary, other]
    service.pending.new_pg_temp[pg] = chosen
    service.propose()
    return committed()


@commands.add(
    "osd force-create-pg",
    pgid=pgid(),
    yes_i_really_mean_it=flag(),
    perm="rw",
    help="make a PG anew, empty, whose data is lost",
)
def force_create_pg(
    service: OSDMapService, request: Request, pgid: str, *, yes_i_really_mean_it: bool = False
) -> Reply:
    """`ceph osd force-create-pg`."""
    osdmap, pg = service.osdmap, parse_pgid(pgid)
    if not pg_exists(osdmap, pg):
        raise NotFound(f"pg {pg} should not exist")
    if not yes_i_really_mean_it:
        raise NotPermitted(_SURE_TO_RECREATE)
    if pg in service.creating.pgs:
        return said(f"pg {pg} already creating")
    now = UTime.at(service.monitor.wall())
    service.creating.pgs[pg] = PGCreateInfo(osdmap.epoch, now)
    pool = service.pending_pool(pg.pool)
    pool.flags = int(pool.flags | PoolFlag.CREATING)
    service.propose()
    return committed(f"pg {pgid} now creating, ok")


# ------------------------------------------------------------------------------------------ upmaps


def _upmap_pg(service: OSDMapService, word: str) -> PGId:
    """The PG, when everybody knows what upmaps are."""
    osdmap = service.osdmap
    least = osdmap.require_min_compat_client
    if least < Release.LUMINOUS:
        raise NotPermitted(
            f"min_compat_client {Release.name_of(least)} < luminous, which is required for"
            " pg-upmap. Try 'ceph osd set-require-min-compat-client luminous' before using the"
            " new interface"
        )
    check_cluster_features(service, OSDMAP_PG_UPMAP)
    pg = _existing_pg(osdmap, word)
    if pg.pool in service.pending.old_pools:
        raise NotFound(f"pool of {pg} is pending removal")
    return pg


@commands.add(
    "osd pg-upmap",
    pgid=pgid(),
    id=osd_name(repeated=True),
    perm="rw",
    help="let a PG be on these OSDs, whatever CRUSH says (for developers)",
)
def pg_upmap(service: OSDMapService, request: Request, pgid: str, id: list[str]) -> Reply:
    """`ceph osd pg-upmap`."""
    pg, inc = _upmap_pg(service, pgid), service.pending
    if pg in inc.new_pg_upmap or pg in inc.old_pg_upmap:
        raise Retry
    _check_count(service.osdmap, pg, len(id))
    answer = ""
    osds: list[int] = []
    for word in id:
        osd = _osd_or_hole(word)
        _check_osd(service.osdmap, osd, hole=True)
        if osd in osds:
            answer += f"osd.{osd} already exists, "
        else:
            osds.append(osd)
    if not osds:
        raise InvalidArgument("no valid upmap items(pairs) is specified")
    inc.new_pg_upmap[pg] = osds
    service.propose()
    return committed(f"{answer}set {pg} pg_upmap mapping to {osd_list(osds)}")


def _osd_or_hole(word: str) -> int:
    return NO_OSD if word == str(NO_OSD) else osd_number(word)


@commands.add(
    "osd rm-pg-upmap", pgid=pgid(), perm="rw", help="let a PG be where CRUSH says (for developers)"
)
def rm_pg_upmap(service: OSDMapService, request: Request, pgid: str) -> Reply:
    """`ceph osd rm-pg-upmap`."""
    pg, inc = _upmap_pg(service, pgid), service.pending
    if pg in inc.new_pg_upmap or pg in inc.old_pg_upmap:
        raise Retry
    inc.old_pg_upmap.add(pg)
    service.propose()
    return committed(f"clear {pg} pg_upmap mapping")


@commands.add(
    "osd pg-upmap-items",
    pgid=pgid(),
    id=osd_name(repeated=True),
    perm="rw",
    help="put an OSD in place of another for a PG, by pairs FROM TO (for developers)",
)
def pg_upmap_items(service: OSDMapService, request: Request, pgid: str, id: list[str]) -> Reply:
    """`ceph osd pg-upmap-items`."""
    pg, inc, osdmap = _upmap_pg(service, pgid), service.pending, service.osdmap
    if pg in inc.new_pg_upmap_items or pg in inc.old_pg_upmap_items:
        raise Retry
    if len(id) % 2:
        raise InvalidArgument("you must specify pairs of osd ids to be remapped")
    size = osdmap.pools[pg.pool].size
    if len(id) // 2 > size:
        raise InvalidArgument(f"num of osd pairs ({len(id) // 2}) > pool size ({size})")
    answer = ""
    pairs: list[tuple[int, int]] = []
    osds = [_osd_or_hole(word) for word in id]
    for source, target in zip(osds[::2], osds[1::2], strict=True):
        if source == target:
            answer += f"from osd.{source} == to osd.{target}, "
            continue
        _check_osd(osdmap, source)
        _check_osd(osdmap, target, hole=True)
        if (source, target) in pairs:
            answer += f"osd.{source} -> osd.{target} already exists, "
        else:
            pairs.append((source, target))
    if not pairs:
        raise InvalidArgument(f"{answer}no valid upmap items(pairs) is specified")
    inc.new_pg_upmap_items[pg] = pairs
    service.propose()
    shown = ",".join(f"{source}->{target}" for source, target in pairs)
    return committed(f"{answer}set {pg} pg_upmap_items mapping to [{shown}]")


@commands.add(
    "osd rm-pg-upmap-items",
    pgid=pgid(),
    perm="rw",
    help="end all replacements of OSDs for a PG (for developers)",
)
def rm_pg_upmap_items(service: OSDMapService, request: Request, pgid: str) -> Reply:
    """`ceph osd rm-pg-upmap-items`."""
    pg, inc = _upmap_pg(service, pgid), service.pending
    if pg in inc.new_pg_upmap_items or pg in inc.old_pg_upmap_items:
        raise Retry
    inc.old_pg_upmap_items.add(pg)
    service.propose()
    return committed(f"clear {pg} pg_upmap_items mapping")
