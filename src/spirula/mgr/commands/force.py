"""Has PGs recovered or backfilled before others, or in turn again."""

from __future__ import annotations

from collections import defaultdict
from enum import IntFlag
from errno import EAGAIN, EINVAL, ENOENT
from typing import TYPE_CHECKING

from spirula.commands.reply import Reply
from spirula.maps.placement import NO_PRIMARY
from spirula.maps.state import is_up
from spirula.messages.osd_recovery import MOSDForceRecovery
from spirula.mgr.commands.scrub import primary_of
from spirula.mgr.daemons.sessions import send_to_osd
from spirula.types.pg import PGId, PGState, SPGId

if TYPE_CHECKING:
    from spirula.mgr.state import Manager


class Force(IntFlag):
    """What MOSDForceRecovery asks for (upstream OFR_*)."""

    RECOVERY = 1
    BACKFILL = 2
    CANCEL = 4


_DUE_RECOVERY = PGState.DEGRADED | PGState.RECOVERY_WAIT | PGState.RECOVERING
_DUE_BACKFILL = PGState.DEGRADED | PGState.BACKFILL_WAIT | PGState.BACKFILLING
_WORDS = {
    "force-recovery": Force.RECOVERY,
    "force-backfill": Force.BACKFILL,
    "cancel-force-recovery": Force.RECOVERY | Force.CANCEL,
    "cancel-force-backfill": Force.BACKFILL | Force.CANCEL,
}


def force(manager: Manager, what: str, pgs: list[PGId], head: str = "", rc: int = 0) -> Reply:
    """Tells the PGs' primaries; `head` and `rc` are what has been said of others already."""
    told, chosen = [head] if head else [], []
    for pg in sorted(set(pgs), key=lambda pg: (pg.pool, pg.seed)):
        stat = manager.pgmap.pg_stat.get(pg)
        if stat is None:
            told.append(f"pg {pg} does not exist; ")
            rc = -ENOENT
            continue
        why, errno = _why_not(_WORDS[what], stat.state)
        if why:
            told.append(f"pg {pg} {why}; ")
            rc = errno or rc
        else:
            chosen.append(pg)
    if chosen:
        rc = 0
    by_osd: dict[int, list[SPGId]] = defaultdict(list)
    for pg in chosen:
        osd, spg = primary_of(manager, pg)
        if osd != NO_PRIMARY and is_up(manager.osdmap, osd):
            by_osd[osd].append(spg)
    for osd, spgs in sorted(by_osd.items()):
        message = MOSDForceRecovery(
            fsid=manager.session.monitors.fsid, forced_pgs=spgs, options=int(_WORDS[what])
        )
        if send_to_osd(manager, osd, message):
            names = ",".join(map(str, spgs))
            told.append(f"instructing pg(s) [{names}] on osd.{osd} to {what}; ")
        else:
            told.append(f"osd.{osd} is not currently connected")
            rc = -EAGAIN
    return Reply("".join(told) + "\n", rc=rc)


def _why_not(what: Force, state: int) -> tuple[str, int]:
    """Why a PG need not be told, and the errno if it is a mistake to ask."""
    if what == Force.RECOVERY:
        if not state & _DUE_RECOVERY:
            return "doesn't require recovery", 0
        if state & PGState.FORCED_RECOVERY:
            return "recovery already forced", -EINVAL
    elif what == Force.BACKFILL:
        if not state & _DUE_BACKFILL:
            return "doesn't require backfilling", 0
        if state & PGState.FORCED_BACKFILL:
            return "backfill already forced", -EINVAL
    elif what & Force.BACKFILL:
        if not state & PGState.FORCED_BACKFILL:
            return "backfill not forced", 0
    elif not state & PGState.FORCED_RECOVERY:
        return "recovery not forced", 0
    return "", 0
