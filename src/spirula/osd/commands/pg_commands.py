"""Commands about one placement group: `ceph tell 1.2f query`, in the old form `ceph pg 1.2f query`.

Clients send them to the PG's primary. Documents have upstream's fields (`src/osd/PrimaryLogPG.cc`,
do_command; `PeeringState.cc`, dump_peering_state).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from spirula.conf.admin_commands import Call, CommandTable, Outcome, Reply, Section
from spirula.errors import InvalidArgument, NotFound, TryAgain
from spirula.osd.pg import describe, lost, unfound
from spirula.osd.scrub.describe import describe as describe_scrub
from spirula.osd.state import OSD
from spirula.types.hobject import HObject
from spirula.types.pg import PGId
from spirula.types.pg_log import LogOp

if TYPE_CHECKING:
    from asyncio import Future

    from spirula.osd.pg.state import PG

_PGID = "name=pgid,type=CephPgid"


def register(table: CommandTable, osd: OSD) -> None:
    """Adds these commands; `query` without a PG says what is missing, as upstream's does."""

    def query(call: Call) -> Reply:
        return Section("pg", _query(find_pg(osd, call)))

    def list_unfound(call: Call) -> Reply:
        most = osd.config.get_int("osd_command_max_records")
        found = describe.list_unfound(find_pg(osd, call), _offset(call.text("offset")), most)
        return Section("missing", found)

    async def mark_unfound_lost(call: Call) -> Reply:
        return await _mark_unfound_lost(osd, find_pg(osd, call), call.text("mulcmd"))

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
    mulcmd = "name=mulcmd,type=CephChoices,strings=revert|delete"
    table.register(
        f"pg {_PGID} name=cmd,type=CephChoices,strings=mark_unfound_lost {mulcmd}",
        mark_unfound_lost,
    )
    table.register(
        f"mark_unfound_lost {_PGID},req=false {mulcmd}",
        mark_unfound_lost,
        "give up what no OSD has: go back to an older version where there is one, or delete",
    )


_MODES = {"revert": LogOp.LOST_REVERT, "delete": LogOp.LOST_DELETE}


async def _mark_unfound_lost(osd: OSD, pg: PG, wanted: str) -> Reply:
    """Raises InvalidArgument while somebody may still have what is unfound."""
    op = _MODES.get(wanted)
    if op is None:
        raise InvalidArgument("mode must be 'revert' or 'delete'; mark not yet implemented")
    if op == LogOp.LOST_REVERT and pg.pool.is_erasure:
        raise InvalidArgument("mode must be 'delete' for ec pool")
    count = len(pg.recovery.unfound)
    if not count:
        return Outcome(0, "pg has no unfound objects")
    if not unfound.are_all_queried(pg):
        raise InvalidArgument(
            f"pg has {count} unfound objects but we haven't probed all sources, not marking lost"
        )
    done: Future[str] = osd.ports.loop.create_future()

    def then(text: str) -> None:
        if not done.done():
            done.set_result(text)

    lost.mark(pg, op, then)
    return Outcome(0, await done)


def _offset(text: str) -> HObject | None:
    """Where a listing goes on, as the last one named its objects. Raises InvalidArgument."""
    if not text:
        return None
    try:
        told = json.loads(text)
        return HObject(
            key=str(told["key"]),
            oid=str(told["oid"]),
            snap=int(told["snapid"]) & (1 << 64) - 1,
            hash=int(told["hash"]),
            max=bool(told["max"]),
            nspace=str(told["namespace"]),
            pool=int(told["pool"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidArgument(f"error parsing offset: {error}") from None


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


def _query(pg: PG) -> dict[str, object]:
    found = describe.query(pg)
    if pg.is_primary and pg.is_active():
        found["scrubber"] = describe_scrub(pg)
    return {**found, "agent_state": {}}
