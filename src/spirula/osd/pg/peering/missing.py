"""What an OSD lacks: objects whose newest version by the log it does not have.

Called wherever log entries come without the changes that belong to them. Upstream:
`src/osd/osd_types.h` (pg_missing_set).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.maps.state import OSDMapFlag
from spirula.types.base import EVersion
from spirula.types.pg_log import (
    LogOp,
    ObjectCleanRegions,
    PGLogEntry,
    PGMissing,
    PGMissingItem,
)

if TYPE_CHECKING:
    from spirula.maps.osdmap import OSDMap
    from spirula.types.hobject import HObject

NOTHING = EVersion(0, 0)


def deletes_are_recovered(osdmap: OSDMap) -> bool:
    """Whether who missed a deletion is told of it later, like of any other change."""
    return bool(osdmap.flags & OSDMapFlag.RECOVERY_DELETES)


def note_entry(missing: PGMissing, entry: PGLogEntry) -> bool:
    """An entry came whose change did not.

    True if the object is to be deleted at once: where deletions are not recovered, nobody lacks
    what is deleted.
    """
    soid = entry.soid
    if entry.op == LogOp.ERROR:
        return False
    if entry.is_delete and not missing.may_include_deletes:
        missing.missing.pop(soid, None)
        return True
    known = missing.missing.get(soid)
    regions = ObjectCleanRegions.all_dirty()
    if entry.prior_version == NOTHING or entry.op == LogOp.CLONE:
        item = PGMissingItem(entry.version, NOTHING, entry.is_delete, regions)
        missing.missing[soid] = item
        return False
    if entry.op != LogOp.LOST_REVERT:
        regions = ObjectCleanRegions.decode(entry.clean_regions.encode())
    if known is not None:
        known.need = entry.version
        known.is_delete = entry.is_delete
        known.clean_regions.merge(regions)
        known.clean_regions.new_object |= regions.new_object
    else:
        missing.missing[soid] = PGMissingItem(
            entry.version, entry.prior_version, entry.is_delete, regions
        )
    return False


def need(
    missing: PGMissing,
    soid: HObject,
    version: EVersion,
    have: EVersion,
    *,
    is_delete: bool = False,
) -> None:
    """An object is lacked in this version, with that one there."""
    regions = ObjectCleanRegions.all_dirty()
    missing.missing[soid] = PGMissingItem(version, have, is_delete, regions)
