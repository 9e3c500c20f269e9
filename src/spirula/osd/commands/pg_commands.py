"""Commands about one placement group: `ceph tell 1.2f query`, in the old form `ceph pg 1.2f query`.

Clients send them to the PG's primary. Documents have upstream's fields (`src/osd/PrimaryLogPG.cc`,
do_command; `PeeringState.cc`, dump_peering_state).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.conf.admin_commands import Call, CommandTable, Reply, Section
from spirula.errors import InvalidArgument, NotFound, TryAgain
from spirula.osd.scrub.describe import describe as describe_scrub
from spirula.osd.state import OSD
from spirula.printing import Items
from spirula.types.base import UTime
from spirula.types.pg import PGId, pg_state_text

if TYPE_CHECKING:
    from spirula.osd.pg.state import PG

_PGID = "name=pgid,type=CephPgid"


def register(table: CommandTable, osd: OSD) -> None:
    """Adds these commands; `query` without a PG says what is missing, as upstream's does."""

    def query(call: Call) -> Reply:
        return Section("pg", _query(osd, find_pg(osd, call)))

    def list_unfound(call: Call) -> Reply:
        return _unfound(find_pg(osd, call))

    table.register(f"pg {_PGID} name=cmd,type=CephChoices,strings=query", query)
    table.register("query", query, "what a PG is, and how it agrees with other OSDs")
    table.register(
        f"pg {_PGID} name=cmd,type=CephChoices,strings=list_unfound "
        "name=offset,type=CephString,req=false",
        list_unfound,
    )
    table.register(
        f"list_unfound {_PGID},req=false name=offset,type=CephString,req=false",
        list_unfound,
        "objects of a PG that no OSD that is up has",
    )


def find_pg(osd: OSD, call: Call) -> PG:
    """The PG that a command names, which must be led by this OSD. Raises CephError."""
    text = call.text("pgid")
    if not text:
        raise InvalidArgument("no pgid specified")
    try:
        pgid = PGId.parse(text)
    except ValueError:
        raise InvalidArgument(f"couldn't parse pgid '{text}'") from None
    pg = next((one for spgid, one in osd.pgs.by_id.items() if spgid.pgid == pgid), None)
    if pg is None:
        raise NotFound(f"i don't have pgid {pgid}")
    if not pg.is_primary:
        # Who asked will get newer maps, and ask again.
        raise TryAgain(f"not primary for pgid {pgid}")
    return pg


def _query(osd: OSD, pg: PG) -> dict[str, object]:
    peering = pg.peering
    return {
        "snap_trimq": str(pg.trimmer.queue),
        "snap_trimq_len": pg.trimmer.queue.size,
        "state": pg_state_text(pg.state),
        "epoch": pg.epoch,
        "up": Items("osd", pg.up),
        "acting": Items("osd", pg.acting),
        "acting_recovery_backfill": Items("shard", map(str, pg.acting_recovery_backfill)),
        "info": pg.info.plain(),
        "peer_info": Items(
            "info",
            [{"peer": str(shard), **info.plain()} for shard, info in peering.peer_info.items()],
        ),
        "recovery_state": Items(
            "state",
            [
                {"name": str(state), "enter_time": str(UTime.at(since))}
                for state, since in reversed(peering.entered.items())
            ],
        ),
        **({"scrubber": describe_scrub(pg)} if pg.is_primary and pg.is_active() else {}),
        "agent_state": {},
    }


def _unfound(pg: PG) -> dict[str, object]:
    missing = sorted(pg.missing.missing)
    known = list(pg.peering.peer_missing.values())
    lost = [hoid for hoid in missing if all(hoid in theirs.missing for theirs in known)]
    return {
        "num_missing": len(missing),
        "num_unfound": len(lost),
        "objects": Items("object", [{"oid": hoid.plain()} for hoid in lost]),
        "more": False,
    }
