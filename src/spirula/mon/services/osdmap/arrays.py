"""What maps many PGs at once, imported only when it is needed.

Arrays take more memory and time to import than all the rest of an idle monitor's modules together.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from spirula.crush.map import CrushMap
from spirula.maps.osdmap import OSDMap
from spirula.maps.state import OSD_IN

if TYPE_CHECKING:
    from spirula.maps.mapping import PGMappings


def _imported(module: str) -> Any:
    return importlib.import_module(f"spirula.{module}")


def map_pgs(osdmap: OSDMap, known: PGMappings | None = None) -> PGMappings:
    """The places of all PGs; what did not move since those of another map is taken from there."""
    if known is not None:
        return known.advance(osdmap)
    made: PGMappings = _imported("maps.mapping").PGMappings(osdmap)
    return made


def count_up(osdmap: OSDMap) -> list[int]:
    """In how many up sets each OSD is."""
    counts = _imported("maps.by_osd").count_by_osd(map_pgs(osdmap))
    found: list[int] = counts.up.tolist()
    return found


def map_some(crush: CrushMap, inputs: int) -> None:
    """Map so many inputs by each rule, whatever comes of it."""
    mapper = _imported("crush.vector.mapper").VectorMapper(crush)
    weights = [OSD_IN] * crush.max_devices
    for number, rule in enumerate(crush.rules):
        if rule:
            count = max(rule.min_size, min(rule.max_size, 10))
            mapper.map_many(number, list(range(inputs)), count, weights)
