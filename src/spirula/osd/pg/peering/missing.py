"""What an OSD lacks: objects whose newest version by the log it does not have.

Called wherever log entries come without the changes that belong to them. Upstream:
`src/osd/osd_types.h` (pg_missing_set).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.types.base import EVersion
from spirula.types.pg_log import (
    LogOp,
    ObjectCleanRegions,
    PGLogEntry,
    PGMissing,
    PGMissingItem,
)

if TYPE_CHECKING:
    from spirula.types.hobject import HObject

NOTHING = EVersion(0, 0)


def note_entry(missing: PGMissing, entry: PGLogEntry) -> bool:
    """An entry came whose change did not; True when that matters.

    A deleted object lacks nothing: the deletion itself is carried out when the entry is taken in.
    """
    soid = entry.soid
    known = missing.missing.get(soid)
    if entry.op == LogOp.ERROR:
        return False
    if entry.is_delete:
        return missing.missing.pop(soid, None) is not None
    if entry.prior_version == NOTHING or entry.op == LogOp.CLONE:
        regions = ObjectCleanRegions.all_dirty()
        missing.missing[soid] = PGMissingItem(entry.version, NOTHING, False, regions)
    elif known is not None:
        known.need = entry.version
        known.is_delete = False
        known.clean_regions.merge(entry.clean_regions)
    else:
        regions = ObjectCleanRegions.decode(entry.clean_regions.encode())
        missing.missing[soid] = PGMissingItem(entry.version, entry.prior_version, False, regions)
    return True


def need(missing: PGMissing, soid: HObject, version: EVersion, have: EVersion) -> None:
    """An object is lacked in this version, with that one there."""
    regions = ObjectCleanRegions.all_dirty()
    missing.missing[soid] = PGMissingItem(version, have, False, regions)
