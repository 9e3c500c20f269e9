"""Where all PGs of a map are: one by one where there are few, with arrays where there are many.

Arrays (`mapping`) take more memory than all the rest that a manager of a small cluster needs, so
that they are imported when a map is large enough. Used by the balancers and by the manager.
"""

from __future__ import annotations

import importlib
from typing import Any, Protocol

from spirula.maps.osdmap import OSDMap
from spirula.maps.placement import PGMapping, Placement
from spirula.types.pg import PGId

FEW_PGS = 512
"""Up to so many PGs are mapped one by one, in a quarter of a millisecond each."""


class Located(Protocol):
    """Knows where each PG of a map is."""

    def get(self, pg: PGId) -> PGMapping:
        """Where a PG is; it is not to be changed."""
        ...


class OneByOne:
    """Maps each PG when it is asked for."""

    def __init__(self, osdmap: OSDMap) -> None:
        self._places = Placement(osdmap)

    def get(self, pg: PGId) -> PGMapping:
        """Where a PG is."""
        return self._places.pg_to_up_acting_osds(pg)


def locate_pgs(osdmap: OSDMap) -> Located:
    """Where all PGs of a map are."""
    if sum(pool.pg_num for pool in osdmap.pools.values()) <= FEW_PGS:
        return OneByOne(osdmap)
    mapping: Any = importlib.import_module("spirula.maps.mapping")
    found: Located = mapping.PGMappings(osdmap)
    return found
