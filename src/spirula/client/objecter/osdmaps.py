"""Follows the OSD map: takes full maps and incrementals as they come, says what is missing.

Pure: who owns it subscribes and asks. Used by the objecter. Behaviour follows upstream
`Objecter::handle_osd_map` (`src/osdc/Objecter.cc`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from spirula.crush.lookup import common_ancestor_distance
from spirula.errors import NotFound
from spirula.maps.apply import apply_incremental
from spirula.maps.osdmap import Incremental, OSDMap
from spirula.maps.placement import PGMapping, Placement
from spirula.messages.osd_map import MOSDMap
from spirula.types.pg import PGId


class OSDMaps:
    """The newest map that was seen, and where its PGs are.

    `location` is where this client is in the CRUSH hierarchy: (type, name) of buckets around it.
    `skipped` tells whether epochs were left out before this one: a PG may have moved away and back
    meanwhile, so whatever is under way has to be sent again.
    """

    def __init__(self) -> None:
        self.osdmap = OSDMap()
        self.placement = Placement(self.osdmap)
        self.skipped = False
        self.location: list[tuple[str, str]] = []
        self._places: dict[PGId, PGMapping] = {}
        self._distances: dict[int, int | None] = {}

    @property
    def epoch(self) -> int:
        """The epoch of the map; 0 before the first."""
        return self.osdmap.epoch

    def take(self, message: MOSDMap, each: Callable[[], None]) -> int | None:
        """Go on as far as the maps in a message reach; the epoch that is missing then, or None.

        `each` is called after each map: of two, a PG may have moved with one and back with the
        other, and its OSDs forget by then what watches it and what was sent to it.
        """
        self.skipped = False
        newest = max([*message.maps, *message.incremental_maps], default=0)
        if newest <= self.epoch:
            return None
        if not self.epoch:
            if not message.maps:
                return 1
            self.use(OSDMap.decode(message.maps[max(message.maps)]))
            each()
        while self.epoch < newest:
            wanted = self.epoch + 1
            self.skipped = False
            if wanted in message.incremental_maps:
                change = Incremental.decode(message.incremental_maps[wanted])
                self.use(apply_incremental(self.osdmap, change))
            elif wanted in message.maps:
                self.use(OSDMap.decode(message.maps[wanted]))
            elif wanted < message.oldest_map:
                # The monitors have trimmed it: go on where they begin.
                later = [epoch for epoch in message.maps if epoch > wanted]
                if not later:
                    return message.oldest_map
                self.skipped = True
                self.use(OSDMap.decode(message.maps[min(later)]))
            else:
                return wanted
            each()
        return None

    def use(self, osdmap: OSDMap) -> None:
        """Go over to another map, which must not be changed afterwards."""
        if osdmap is not self.osdmap:
            self.osdmap = osdmap
            self.placement = Placement(osdmap)
            self._places = {}
            self._distances = {}

    def distance(self, osd: int) -> int | None:
        """The lowest type of bucket that an OSD shares with `location`; None: nothing at all."""
        if osd not in self._distances:
            try:
                distance = common_ancestor_distance(self.osdmap.crush, osd, self.location)
            except NotFound:  # it stands nowhere
                distance = None
            self._distances[osd] = distance
        return self._distances[osd]

    def nearest(self, acting: Sequence[int]) -> int:
        """Which of them is nearest to `location`: the first of those that are equally near."""
        best, best_distance = acting[0], self.distance(acting[0])
        for osd in acting[1:]:
            distance = self.distance(osd)
            if distance is not None and (best_distance is None or distance < best_distance):
                best, best_distance = osd, distance
        return best

    def places(self, pg: PGId) -> PGMapping:
        """Where a PG is; `pg` is one of the pool's, not a hash in full."""
        found = self._places.get(pg)
        if found is None:
            found = self._places[pg] = self.placement.pg_to_up_acting_osds(pg)
        return found
