"""What checks of PGs, pools and OSDs look at."""

from __future__ import annotations

from dataclasses import dataclass

from spirula.conf.config import Config
from spirula.maps.osdmap import OSDMap
from spirula.pgmap.record import PGMap


@dataclass(slots=True, frozen=True)
class View:
    """The cluster at the time `now` (seconds since 1970)."""

    pgmap: PGMap
    osdmap: OSDMap
    config: Config
    now: float

    @property
    def most_details(self) -> int:
        """How many lines of detail a check may have."""
        return self.config.get_int("mon_health_max_detail")

    def pool_name(self, pool: int) -> str:
        """The pool's name."""
        return self.osdmap.pool_name.get(pool, "")
