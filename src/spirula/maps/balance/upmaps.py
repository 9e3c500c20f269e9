"""Evens out how many PGs each OSD has, by exceptions for single PGs (pg_upmap_items).

Called by the manager's balancer and by `osdmaptool --upmap`. Where all OSDs are near enough to
their targets it says so without the search, which works on arrays and is imported when needed.
Upstream: `src/osd/OSDMap.cc`, calc_pg_upmaps.
"""

from __future__ import annotations

import importlib
import random
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from spirula.maps.balance.shares import Shares, count_shares
from spirula.maps.osdmap import Incremental, OSDMap
from spirula.printing import as_f32

if TYPE_CHECKING:
    from spirula.maps.balance.search import Search

FALLBACK_RETRIES = 100
"""PGs that may be tried in vain before the search turns from overfull to underfull OSDs."""


def calc_pg_upmaps(
    osdmap: OSDMap,
    inc: Incremental,
    *,
    max_deviation: int = 5,
    max_changes: int = 10,
    pools: Collection[int] = (),
    rng: random.Random | None = None,
    retries: int = FALLBACK_RETRIES,
) -> int:
    """Adds to `inc` up to `max_changes` exceptions; gives how many there are.

    Until no OSD is more than `max_deviation` PGs from its target, in these pools (in all, if there
    are none). With `rng` PGs are tried in random order and the search goes on after a change that
    does not help (upstream's `aggressively`).
    """
    if max_changes <= 0:
        return 0
    shares = count_shares(osdmap, pools)
    allowed = max(max_deviation, 1)
    if not shares.total_weight or _is_even(shares, allowed):
        return 0
    search: Any = importlib.import_module("spirula.maps.balance.search")
    work: Search = search.Search(osdmap, shares, allowed, set(pools), rng, retries)
    changed = 0
    for pg, pairs in work.changes(max_changes):
        changed += 1
        if pairs:
            inc.new_pg_upmap_items[pg] = pairs
            inc.old_pg_upmap_items.discard(pg)
        else:
            inc.old_pg_upmap_items.add(pg)
            inc.new_pg_upmap_items.pop(pg, None)
    return changed


def _is_even(shares: Shares, max_deviation: int) -> bool:
    """Whether no OSD is further from its target than that."""
    return all(
        abs(as_f32(len(pgs) - shares.target(osd))) <= max_deviation
        for osd, pgs in shares.pgs.items()
    )
