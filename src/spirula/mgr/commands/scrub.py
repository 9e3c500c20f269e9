"""Has OSDs scrub or repair PGs: one, those of a pool, those that an OSD leads."""

from __future__ import annotations

from collections import defaultdict
from errno import EAGAIN
from typing import TYPE_CHECKING

from spirula.commands.reply import Reply
from spirula.errors import CephError, NotFound
from spirula.maps.placement import NO_PRIMARY
from spirula.maps.query import find_pool
from spirula.messages.osd_scrub import MOSDScrub2
from spirula.mgr.daemons.sessions import send_to_osd
from spirula.types.hobject import NO_SHARD
from spirula.types.pg import PGId, SPGId

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spirula.mgr.state import Manager


def primary_of(manager: Manager, pg: PGId) -> tuple[int, SPGId]:
    """The OSD that leads a PG, and the shard that it has; NO_PRIMARY where nobody does."""
    found = manager.session.objecter.maps.places(pg)
    pool = manager.osdmap.pools[pg.pool]
    if pool.is_erasure and found.acting_primary != NO_PRIMARY:
        return found.acting_primary, SPGId(pg, found.acting.index(found.acting_primary))
    return found.acting_primary, SPGId(pg, NO_SHARD)


def _message(manager: Manager, pgs: list[SPGId], what: str) -> MOSDScrub2:
    return MOSDScrub2(
        fsid=manager.session.monitors.fsid,
        epoch=manager.osdmap.epoch,
        scrub_pgs=pgs,
        repair=what == "repair",
        deep=what == "deep-scrub",
    )


def one_pg(manager: Manager, pg: PGId, what: str) -> Reply:
    """`pg scrub`, `pg deep-scrub`, `pg repair`."""
    pool = manager.osdmap.pools.get(pg.pool)
    if pool is None or pg.seed >= pool.pg_num:
        raise NotFound(f"pg {pg} does not exist")
    osd, spg = primary_of(manager, pg)
    if osd == NO_PRIMARY:
        raise CephError.from_errno(EAGAIN, f"pg {pg} has no primary osd")
    if not send_to_osd(manager, osd, _message(manager, [spg], what)):
        text = f"pg {pg} primary osd.{osd} is not currently connected"
        raise CephError.from_errno(EAGAIN, text)
    return Reply(f"instructing pg {spg} on osd.{osd} to {what}")


def osds(manager: Manager, numbers: list[int], what: str) -> Reply:
    """`osd scrub` and its kin, for OSDs that are up."""
    sent: list[int] = []
    failed: list[int] = []
    for osd in numbers:
        pgs = []
        for pg in sorted(manager.pgmap.pgs_of.get(osd, ()), key=lambda pg: (pg.pool, pg.seed)):
            if pg.pool in manager.osdmap.pools:
                primary, spg = primary_of(manager, pg)
                if primary == osd:
                    pgs.append(spg)
        done = send_to_osd(manager, osd, _message(manager, pgs, what))
        (sent if done else failed).append(osd)
    if not sent:
        return Reply(f"failed to instruct osd(s) {_list(numbers)} to {what} (not connected)")
    text = f"instructed osd(s) {_list(sent)} to {what}"
    if failed:
        text += f"; osd(s) {_list(failed)} were not connected"
    return Reply(text)


def _list(numbers: Iterable[int]) -> str:
    return ",".join(map(str, numbers))


def pools(manager: Manager, names: list[str], what: str) -> Reply:
    """`osd pool scrub` and its kin."""
    by_primary: dict[int, list[SPGId]] = defaultdict(list)
    for name in names:
        number = find_pool(manager.osdmap, name)
        if number is None:
            raise NotFound(f"unrecognized pool '{name}'")
        for seed in range(manager.osdmap.pools[number].pg_num):
            osd, spg = primary_of(manager, PGId(number, seed))
            if osd != NO_PRIMARY:
                by_primary[osd].append(spg)
    for osd, pgs in by_primary.items():
        if not send_to_osd(manager, osd, _message(manager, pgs, what)):
            raise CephError.from_errno(EAGAIN, f"osd.{osd} is not currently connected")
    return Reply()
