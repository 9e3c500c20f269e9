"""Commands about scrubs: what is planned, which slots are taken, and having one come due.

`ceph pg scrub` and its kin go through the manager (MOSDScrub2, see `osd.osd`). Documents have
upstream's fields (`src/osd/OSD.cc`, dumps_scrub; `PrimaryLogPG.cc`, do_command).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.conf.admin_commands import Call, CommandTable, Reply, Section
from spirula.osd.commands.pg_commands import find_pg
from spirula.osd.scrub import purged, schedule
from spirula.osd.state import OSD
from spirula.printing import Items

if TYPE_CHECKING:
    from spirula.osd.pg.state import PG

_PGID = "name=pgid,type=CephPgid"
_TIME = "name=time,type=CephInt,req=false"


def register(table: CommandTable, osd: OSD) -> None:
    """Adds these commands."""
    table.register(
        "dump_scrubs",
        lambda _: Section("scrubs", Items("scrub", schedule.dump(osd.pgs.by_id.values()))),
        "when PGs are to be scrubbed",
    )
    table.register(
        "dump_scrub_reservations",
        lambda _: Section("scrub_reservations", _reservations(osd)),
        "how many scrubs this OSD takes part in",
    )
    table.register(
        "scrub_purged_snaps",
        lambda _: purged.whole(osd),
        "look for clones of snapshots that are purged, which are then trimmed",
    )
    for prefix, deep in (("scrub", False), ("deep_scrub", True)):
        text = "have a deep scrub come due" if deep else "have a scrub come due"

        def handler(call: Call, deep: bool = deep) -> Reply:
            return _come_due(find_pg(osd, call), call, deep=deep)

        table.register(f"pg {_PGID} name=cmd,type=CephChoices,strings={prefix} {_TIME}", handler)
        table.register(f"{prefix} {_PGID},req=false {_TIME}", handler, text)


def _reservations(osd: OSD) -> dict[str, object]:
    slots = osd.pgs.shared.scrubs
    return {
        "scrubs_local": slots.local,
        "scrubs_remote": slots.remote,
        "osd_max_scrubs": osd.config.get_int("osd_max_scrubs"),
    }


def _come_due(pg: PG, call: Call, *, deep: bool) -> Reply:
    stamp = schedule.pretend_old(pg, deep=deep, seconds=call.number("time", 0))
    return Section("result", {"deep": deep, "stamp": str(stamp)})
