"""The OSD map service: the committed map, the pending change, and who deals with what.

Handlers of messages and commands are plain functions in the modules beside this one; they are given
the service, read `osdmap` and change `pending`. Called by `mon.monitor`. Follows upstream
`src/mon/OSDMonitor.{h,cc}`.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from spirula.crush.build import finalize
from spirula.crush.wire import CrushWrapper
from spirula.errors import NotFound
from spirula.maps.apply import apply_incremental, pending_incremental
from spirula.maps.osdmap import Incremental, OSDMap
from spirula.maps.query import find_pool
from spirula.mon.services.base import PaxosService
from spirula.types.pool import PGPool

if TYPE_CHECKING:
    from spirula.mon.monitor import Monitor


class OSDMapService(PaxosService):
    """The committed OSD map and the change that is pending.

    `osdmap` is never changed in place; `pending` is what the next epoch will change, and commands
    change it (through the helpers below where there is one).
    """

    NAME = "osdmap"

    def __init__(self, monitor: Monitor) -> None:
        super().__init__(monitor)
        self.osdmap = OSDMap()
        self.pending: Incremental = pending_incremental(self.osdmap)
        self.pending_metadata: dict[int, dict[str, str]] = {}
        self.pending_metadata_rm: set[int] = set()
        self.pending_pseudo_purged_snaps: dict[int, set[int]] = {}

    # --- what is committed

    @property
    def epoch(self) -> int:
        """The committed epoch."""
        return self.osdmap.epoch

    def get_pool_by_name(self, name: str) -> tuple[int, PGPool]:
        """Number and settings of a committed pool. NotFound, in upstream's words."""
        number = find_pool(self.osdmap, name)
        if number is None:
            raise NotFound(f"unrecognized pool '{name}'")
        return number, self.osdmap.pools[number]

    # --- what is pending

    def pending_pool(self, pool_id: int) -> PGPool:
        """The pending settings of a pool, to be changed in place. NotFound if there is none."""
        pool = self.pending.new_pools.get(pool_id)
        if pool is None:
            known = self.osdmap.pools.get(pool_id)
            if known is None:
                raise NotFound(f"there is no pool {pool_id}")
            pool = self.pending.new_pools[pool_id] = copy.deepcopy(known)
        return pool

    def pending_crush(self) -> CrushWrapper:
        """A private copy of the CRUSH map as it is pending; see `set_pending_crush`."""
        made = CrushWrapper.decode(self.pending.crush or self.osdmap.crush.encode())
        finalize(made)
        return made

    def set_pending_crush(self, crush: CrushWrapper) -> None:
        """Make an edited copy the pending CRUSH map."""
        self.pending.crush = crush.encode()

    def pending_map(self) -> OSDMap:
        """The map as it will be, by what is pending now."""
        return apply_incremental(self.osdmap, self.pending)
