"""A change of an OSD map as a document, as far as balancers make changes.

Called by what shows a balancer's plan. Keys: upstream `src/osd/OSDMap.cc`, Incremental::dump.
"""

from __future__ import annotations

from spirula.maps.dump.values import share
from spirula.maps.osdmap import Incremental


def balance_document(inc: Incremental) -> dict[str, object]:
    """Exceptions for PGs and weights of OSDs that the change makes or takes back."""
    return {
        "epoch": inc.epoch,
        "new_pg_upmap": [
            {"pgid": str(pg), "osds": list(osds)} for pg, osds in inc.new_pg_upmap.items()
        ],
        "old_pg_upmap": [str(pg) for pg in inc.old_pg_upmap],
        "new_pg_upmap_items": [
            {
                "pgid": str(pg),
                "mappings": [{"from": origin, "to": to} for origin, to in pairs],
            }
            for pg, pairs in inc.new_pg_upmap_items.items()
        ],
        "old_pg_upmap_items": [str(pg) for pg in inc.old_pg_upmap_items],
        "new_weight": [
            {"osd": osd, "weight": share(weight)} for osd, weight in inc.new_weight.items()
        ],
    }
