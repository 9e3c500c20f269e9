"""`pg ...`: statistics of PGs shown in many ways; scrubs and forced recovery of single PGs.

Behaviour and shapes: upstream `src/mon/PGMap.cc` (process_pg_map_command) and
`src/mgr/DaemonServer.cc`.
"""

from __future__ import annotations

from collections.abc import Iterable
from errno import EINVAL
from typing import TYPE_CHECKING, Any

from spirula.commands.arguments import choices, integer, osd_name, osd_number, pgid, text
from spirula.commands.reply import Reply
from spirula.commands.table import Commands
from spirula.errors import CephError, InvalidArgument, NotFound
from spirula.maps.query import find_pool
from spirula.maps.state import is_up
from spirula.mgr.commands import force, scrub
from spirula.pgmap import show, tables
from spirula.pgmap.digest import make_digest
from spirula.pgmap.record import PGMap
from spirula.pgmap.summary import one_line, one_line_document
from spirula.printing import Items
from spirula.types.base import UTime
from spirula.types.pg import PG_STATE_BITS, PGId, PGState, pg_state_of, pg_state_text
from spirula.types.pg_stats import ObjectStatCollection, PGStat, PoolStat
from spirula.types.pgmap import PGMap as EncodedPGMap

if TYPE_CHECKING:
    from spirula.mgr.commands.dispatch import Request
    from spirula.mgr.state import Manager

COMMANDS = Commands("pg")
_NOT_READY = "Warning: due to ceph-mgr restart, some PG states may not be up to date\n"
_ALL = -1

Pairs = list[tuple[PGId, PGStat]]


def order(pg: PGId) -> tuple[int, int]:
    """PGs in the order of pools and seeds."""
    return pg.pool, pg.seed


def in_order(pgmap: PGMap) -> Pairs:
    """All PGs."""
    return sorted(pgmap.pg_stat.items(), key=lambda pair: order(pair[0]))


def answer(
    manager: Manager,
    request: Request,
    plain: str,
    document: dict[str, Any],
    outs: str = "",
) -> Reply:
    """Text or document, with what keeps the statistics from being complete."""
    if request.is_plain:
        warning = "" if manager.pgmap_ready else _NOT_READY
        return Reply(warning + outs, plain.encode())
    shown = {"pg_ready": manager.pgmap_ready, **document}
    return Reply(("" if manager.pgmap_ready else _NOT_READY) + outs, request.show(shown, "pg_info"))


@COMMANDS.add("pg stat", perm="r", help="PGs by state in a line")
def stat(manager: Manager, request: Request) -> Reply:
    """How many PGs are in which state, and what goes on."""
    digest = make_digest(manager.pgmap, manager.osdmap)
    document = {"pg_summary": one_line_document(digest)}
    return answer(manager, request, one_line(digest), document)


@COMMANDS.add("pg getmap", perm="r", help="get the statistics of all PGs, encoded")
def getmap(manager: Manager, request: Request) -> Reply:
    """All statistics in upstream's encoding."""
    pgmap = manager.pgmap
    encoded = EncodedPGMap(
        version=pgmap.version,
        pg_stat=dict(pgmap.pg_stat),
        osd_stat=dict(pgmap.osd_stat),
        last_osdmap_epoch=pgmap.last_osdmap_epoch,
        stamp=UTime.at(pgmap.stamp),
        pool_statfs=dict(sorted(pgmap.pool_statfs.items())),
    ).encode()
    return Reply(f"got pgmap version {pgmap.version}", encoded)


# ------------------------------------------------------------------------------------------- dump


@COMMANDS.add(
    "pg dump",
    dumpcontents=choices(
        *("all", "summary", "sum", "delta", "pools", "osds", "pgs", "pgs_brief"),
        required=False,
        repeated=True,
    ),
    perm="r",
    help="show statistics of PGs, pools and OSDs",
)
def dump(manager: Manager, request: Request, dumpcontents: list[str]) -> Reply:
    """All statistics, or the parts that are asked for."""
    what = set(dumpcontents) or {"all"}
    outs = f"dumped {','.join(sorted(what))}"
    pgmap = manager.pgmap
    if request.is_plain:
        return answer(manager, request, _dump_text(pgmap, what), {}, outs)
    return answer(manager, request, "", dump_document(pgmap, what), outs)


@COMMANDS.add(
    "pg dump_json",
    dumpcontents=choices(
        *("all", "summary", "sum", "pools", "osds", "pgs"), required=False, repeated=True
    ),
    perm="r",
    help="likewise, always as JSON",
)
def dump_json(manager: Manager, request: Request, dumpcontents: list[str]) -> Reply:
    """All statistics as JSON; what is asked for beside makes no difference, as upstream has it."""
    del dumpcontents
    request.given["format"] = "json"
    return dump(manager, request, ["all"])


@COMMANDS.add("pg dump_pools_json", perm="r", help="show statistics of pools as JSON")
def dump_pools_json(manager: Manager, request: Request) -> Reply:
    """Statistics of pools as JSON."""
    request.given["format"] = "json"
    return dump(manager, request, ["pools"])


def _dump_text(pgmap: PGMap, what: set[str]) -> str:
    pgs = in_order(pgmap)
    if "all" in what:
        return (
            tables.head(pgmap)
            + tables.pg_table(pgs)
            + tables.pool_table(pgmap, headings=False)
            + tables.sum_table(pgmap, headings=False)
            + tables.osd_table(pgmap)
            + tables.OMAP_NOTE
        )
    if what & {"summary", "sum"}:
        parts = tables.sum_table(pgmap, headings=True) + tables.osd_sum_table(pgmap)
        return tables.head(pgmap) + parts + tables.OMAP_NOTE
    shown = ""
    if "pgs_brief" in what:
        shown += tables.pg_brief_table(pgs)
    if "pgs" in what:
        shown += tables.pg_table(pgs)
    if "pools" in what:
        shown += tables.pool_table(pgmap, headings="pgs" not in what)
    if "osds" in what:
        shown += tables.osd_table(pgmap)
    return shown + (tables.OMAP_NOTE if what & {"pgs", "pools"} else "")


def dump_document(pgmap: PGMap, what: set[str]) -> dict[str, Any]:
    """`pg dump`, of these parts."""
    if "all" in what:
        parts = _pg_part(pgmap) | _pool_part(pgmap) | _osd_part(pgmap)
        return {"pg_map": _basic_part(pgmap) | parts}
    if what & {"summary", "sum"}:
        return {"pg_map": _basic_part(pgmap)}
    shown: dict[str, Any] = {}
    if "pools" in what:
        shown |= _pool_part(pgmap)
    if "osds" in what:
        shown |= _osd_part(pgmap)
    if "pgs" in what:
        shown |= _pg_part(pgmap)
    if "pgs_brief" in what:
        brief = [{"pgid": str(pg), **show.pg_brief(one)} for pg, one in in_order(pgmap)]
        shown["pg_stats"] = Items("pg_stat", brief)
    if "delta" in what:
        shown["delta"] = delta_document(pgmap)
    return shown


def _basic_part(pgmap: PGMap) -> dict[str, Any]:
    return {
        "version": pgmap.version,
        "stamp": str(UTime.at(pgmap.stamp)),
        "last_osdmap_epoch": pgmap.last_osdmap_epoch,
        "last_pg_scan": 0,
        "pg_stats_sum": show.pool_document(pgmap.pg_sum),
        "osd_stats_sum": show.osd_document(pgmap.osd_sum),
        **delta_document(pgmap),
    }


def delta_document(pgmap: PGMap) -> dict[str, Any]:
    """What has changed of late."""
    delta = PoolStat(stats=ObjectStatCollection(sum=pgmap.rate.total))
    stamp = UTime.at(pgmap.rate.seconds)
    return {"pg_stats_delta": {**show.pool_document(delta), "stamp_delta": str(stamp)}}


def _pg_part(pgmap: PGMap) -> dict[str, Any]:
    return {"pg_stats": pg_documents(in_order(pgmap))}


def pg_documents(pairs: Iterable[tuple[PGId, PGStat]]) -> Items:
    """PGs with all that is known of them."""
    return Items("pg_stat", [{"pgid": str(pg), **show.pg_document(one)} for pg, one in pairs])


def _pool_part(pgmap: PGMap) -> dict[str, Any]:
    pools = [
        {"poolid": pool, "num_pg": pgmap.num_pg_by_pool[pool], **show.pool_document(one)}
        for pool, one in sorted(pgmap.pool_sum.items())
    ]
    return {"pool_stats": Items("pool_stat", pools)}


def _osd_part(pgmap: PGMap) -> dict[str, Any]:
    osds = [{"osd": osd, **show.osd_document(one)} for osd, one in sorted(pgmap.osd_stat.items())]
    spaces = [
        {"poolid": pool, "osd": osd, **statfs.plain()}
        for (pool, osd), statfs in sorted(pgmap.pool_statfs.items())
    ]
    return {"osd_stats": Items("osd_stat", osds), "pool_statfs": Items("item", spaces)}


# --------------------------------------------------------------------------------------------- ls


_STATES = text(required=False, repeated=True)


@COMMANDS.add(
    "pg ls-by-pool", poolstr=text(), states=_STATES, perm="r", help="list the PGs of a pool"
)
def ls_by_pool(manager: Manager, request: Request, poolstr: str, states: list[str]) -> Reply:
    """PGs of a pool by its name."""
    pool = find_pool(manager.osdmap, poolstr)
    if pool is None:
        raise NotFound(f"pool {poolstr} does not exist")
    return _ls(manager, request, states, pool=pool)


@COMMANDS.add(
    "pg ls-by-primary",
    osd=osd_name(),
    pool=integer(required=False),
    states=_STATES,
    perm="r",
    help="list the PGs that an OSD leads",
)
def ls_by_primary(
    manager: Manager, request: Request, osd: str, states: list[str], pool: int = _ALL
) -> Reply:
    """PGs whose primary is this OSD."""
    return _ls(manager, request, states, pool=pool, osd=osd_number(osd), primary=True)


@COMMANDS.add(
    "pg ls-by-osd",
    osd=osd_name(),
    pool=integer(required=False),
    states=_STATES,
    perm="r",
    help="list the PGs of an OSD",
)
def ls_by_osd(
    manager: Manager, request: Request, osd: str, states: list[str], pool: int = _ALL
) -> Reply:
    """PGs whose acting set has this OSD."""
    return _ls(manager, request, states, pool=pool, osd=osd_number(osd))


@COMMANDS.add(
    "pg ls",
    pool=integer(required=False),
    states=_STATES,
    perm="r",
    help="list PGs by pool and state",
)
def ls(manager: Manager, request: Request, states: list[str], pool: int = _ALL) -> Reply:
    """PGs by pool and state."""
    return _ls(manager, request, states, pool=pool)


def _ls(
    manager: Manager,
    request: Request,
    states: list[str],
    *,
    pool: int = _ALL,
    osd: int = _ALL,
    primary: bool = False,
) -> Reply:
    if pool >= 0 and pool not in manager.osdmap.pools:
        raise NotFound(f"pool {pool} does not exist")
    if osd >= 0 and not is_up(manager.osdmap, osd):
        raise CephError.from_errno(11, f"osd {osd} is not up")
    wanted = _state_bits(states)
    found = [
        (pg, one)
        for pg, one in in_order(manager.pgmap)
        if (pool < 0 or pg.pool == pool)
        and (osd < 0 or (one.acting_primary == osd if primary else osd in one.acting))
        and (wanted is None or one.state & wanted or not (wanted or one.state))
    ]
    plain = ""
    if found and request.is_plain:
        plain = tables.pg_list(found, manager.ports.wall()) + tables.OMAP_NOTE
    return answer(manager, request, plain, {"pg_stats": pg_documents(found)} if found else {})


def _state_bits(names: list[str]) -> int | None:
    """The bits of states, any of which is wanted; None: all PGs."""
    bits = 0
    for name in reversed(names or ["all"]):
        if name == "all":
            return None
        if name not in PG_STATE_BITS and name != "unknown":
            everything = pg_state_text(0xFFFFFFFF)
            raise InvalidArgument(
                f"'{name}' is not a valid pg state, available choices: {everything}"
            )
        bits |= pg_state_of(name)
    return bits


# ------------------------------------------------------------------------------------------ stuck


_STUCK = {
    "inactive": (PGState.ACTIVE, False, "last_active"),
    "unclean": (PGState.CLEAN, False, "last_clean"),
    "degraded": (PGState.DEGRADED, True, "last_undegraded"),
    "undersized": (PGState.UNDERSIZED, True, "last_fullsized"),
    "stale": (PGState.STALE, True, "last_unstale"),
}
"""A state, whether it is its presence that is bad, and when the PG was last well."""


@COMMANDS.add(
    "pg dump_stuck",
    stuckops=choices(
        *("inactive", "unclean", "stale", "undersized", "degraded"), required=False, repeated=True
    ),
    threshold=integer(required=False),
    perm="r",
    help="show PGs that have been in a bad state for long",
)
def dump_stuck(
    manager: Manager, request: Request, stuckops: list[str], threshold: int | None = None
) -> Reply:
    """PGs that have been in one of these states for so many seconds."""
    if threshold is None:
        threshold = manager.config.get_int("mon_pg_stuck_threshold")
    cutoff = manager.ports.wall() - threshold
    kinds = [_STUCK[name] for name in stuckops or ["unclean"]]
    found = [
        (pg, one)
        for pg, one in in_order(manager.pgmap)
        if any(
            bool(one.state & state) == present and float(getattr(one, since)) < cutoff
            for state, present, since in kinds
        )
    ]
    plain = tables.pg_brief_table(found) if found and request.is_plain else ""
    return answer(manager, request, plain, {"stuck_pg_stats": pg_documents(found)}, "ok")


@COMMANDS.add(
    "pg debug",
    debugop=choices("unfound_objects_exist", "degraded_pgs_exist"),
    perm="r",
    help="answer a question about all PGs",
)
def debug(manager: Manager, request: Request, debugop: str) -> Reply:
    """TRUE or FALSE."""
    name = "num_objects_unfound"
    if debugop == "degraded_pgs_exist":
        name = "num_objects_degraded"
    there = any(getattr(one.stats.sum, name) > 0 for one in manager.pgmap.pg_stat.values())
    plain = "TRUE" if there else "FALSE"
    if request.is_plain:
        return answer(manager, request, plain, {})
    return Reply(data=plain.encode() + request.show({"pg_ready": manager.pgmap_ready}, "pg_info"))


# --------------------------------------------------------------------------------- scrubs, force


def _parse(word: str) -> PGId:
    try:
        return PGId.parse(word)
    except ValueError:
        raise InvalidArgument(f"invalid pgid '{word}'") from None


def _add_scrub(what: str, help_text: str) -> None:
    @COMMANDS.add(f"pg {what}", pgid=pgid(), perm="rw", help=help_text)
    def scrub_pg(manager: Manager, request: Request, pgid: str) -> Reply:
        return scrub.one_pg(manager, _parse(pgid), what)


_add_scrub("scrub", "compare a PG's copies")
_add_scrub("deep-scrub", "compare a PG's copies and all their data")
_add_scrub("repair", "compare a PG's copies and mend what is damaged")


def _add_force(what: str, help_text: str) -> None:
    @COMMANDS.add(f"pg {what}", pgid=pgid(repeated=True), perm="rw", help=help_text)
    def force_pgs(manager: Manager, request: Request, pgid: list[str]) -> Reply:
        pgs, bad = [], []
        for word in pgid:
            try:
                pgs.append(PGId.parse(word))
            except ValueError:
                bad.append(word)
        head = "".join(f"invlaid pgid '{word}'; " for word in bad)  # as upstream spells it
        return force.force(manager, what, pgs, head, -EINVAL if bad else 0)


_add_force("force-recovery", "recover a PG before others")
_add_force("force-backfill", "backfill a PG before others")
_add_force("cancel-force-recovery", "recover a PG in turn again")
_add_force("cancel-force-backfill", "backfill a PG in turn again")
