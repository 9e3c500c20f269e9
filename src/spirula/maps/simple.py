"""New OSD maps: generic ones with a number of OSDs, or as configuration sections describe them.

For tests and tools, and the first map of a cluster. No OSD exists in them yet. Upstream:
`src/osd/OSDMap.cc`, build_simple_optioned and what it calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from spirula.crush.bucket_items import new_bucket
from spirula.crush.build import finalize
from spirula.crush.edit import insert_item
from spirula.crush.layers import new_map
from spirula.crush.rules import add_simple_rule
from spirula.crush.wire import CrushWrapper
from spirula.errors import InvalidArgument, TooLarge
from spirula.maps.apply import MAX_OSDS, resize
from spirula.maps.osdmap import OSDMap
from spirula.types.base import UTime
from spirula.types.pool import AutoscaleMode, PGPool, PoolType

TYPE_NAMES = (
    "osd",
    "host",
    "chassis",
    "rack",
    "row",
    "pdu",
    "pod",
    "room",
    "datacenter",
    "zone",
    "region",
    "root",
)
"""Types of buckets in a new CRUSH map; the index is the id."""

ROOT = "default"
RULE = "replicated_rule"
MAX_PG_BITS = 24
_RJENKINS = 2


@dataclass(slots=True)
class Defaults:
    """What the configuration says about new maps and pools (options of like names)."""

    chooseleaf_type: int = 1
    size: int = 3
    min_size: int = 0
    flags: int = 0
    autoscale_mode: str = "on"
    erasure_code_profile: Mapping[str, str] = field(
        default_factory=lambda: {
            "plugin": "jerasure",
            "technique": "reed_sol_van",
            "k": "2",
            "m": "2",
        }
    )
    rule: int = 0

    def min_size_of(self, size: int) -> int:
        """How many copies a pool of that size needs to work."""
        return min(self.min_size, size) if self.min_size else size - size // 2


def simple_crush(places: Mapping[int, Mapping[str, str]], defaults: Defaults) -> CrushWrapper:
    """A CRUSH map with these OSDs where they are said to be, and a rule for replicated pools.

    InvalidArgument for names and places that do not fit.
    """
    crush = new_map()
    crush.type_names = dict(enumerate(TYPE_NAMES))
    if defaults.chooseleaf_type not in crush.type_names:
        raise InvalidArgument(f"osd_crush_chooseleaf_type is {defaults.chooseleaf_type}, not 0-11")
    root = new_bucket(crush, len(TYPE_NAMES) - 1, [], [])
    crush.item_names[root.id] = ROOT
    for osd, location in places.items():
        insert_item(crush, osd, 1.0, f"osd.{osd}", location)
    domain = TYPE_NAMES[defaults.chooseleaf_type]
    add_simple_rule(crush, RULE, ROOT, domain, type=PoolType.REPLICATED, id=defaults.rule)
    finalize(crush)
    return crush


def build_simple(
    places: Mapping[int, Mapping[str, str]],
    now: UTime,
    *,
    fsid: bytes = bytes(16),
    defaults: Defaults | None = None,
) -> OSDMap:
    """A map of epoch 0 with room for these OSDs. Raises TooLarge beyond `apply.MAX_OSDS`."""
    defaults = defaults or Defaults()
    count = max(places, default=-1) + 1
    if count > MAX_OSDS:
        raise TooLarge(f"osd.{count - 1}: a map has room for {MAX_OSDS} OSDs")
    made = OSDMap(fsid=fsid, created=now, modified=now, pool_max=0)
    made.erasure_code_profiles = {"default": dict(defaults.erasure_code_profile)}
    made.crush = simple_crush(places, defaults)
    resize(made, count)
    return made


def everywhere_local(count: int) -> dict[int, dict[str, str]]:
    """Places for OSDs that are all on one host."""
    location = {"host": "localhost", "rack": "localrack", "root": ROOT}
    return dict.fromkeys(range(count), location)


def add_default_pool(
    osdmap: OSDMap, pg_bits: int, pgp_bits: int, defaults: Defaults | None = None
) -> None:
    """A pool `rbd` with `2 ** pg_bits` PGs for each OSD. TooLarge beyond `MAX_PG_BITS`."""
    defaults = defaults or Defaults()
    if not 0 <= pg_bits <= MAX_PG_BITS or pgp_bits < 0:
        raise TooLarge(f"2 ** {pg_bits} PGs for each OSD: at most 2 ** {MAX_PG_BITS}")
    each = osdmap.max_osd or 1
    pg_num, pgp_num = each << pg_bits, each << min(pgp_bits, pg_bits)
    if pg_num >= 1 << 31:
        raise TooLarge(f"{pg_num} PGs")
    mode = defaults.autoscale_mode.upper()
    osdmap.pool_max = max(osdmap.pool_max, 0) + 1
    osdmap.pools[osdmap.pool_max] = PGPool(
        type=PoolType.REPLICATED,
        size=defaults.size,
        min_size=defaults.min_size_of(defaults.size),
        crush_rule=defaults.rule,
        object_hash=_RJENKINS,
        pg_num=pg_num,
        pgp_num=pgp_num,
        pg_num_target=pg_num,
        pgp_num_target=pgp_num,
        pg_num_pending=pg_num,
        flags=defaults.flags,
        last_change=osdmap.epoch,
        pg_autoscale_mode=AutoscaleMode[mode] if mode in ("ON", "WARN") else AutoscaleMode.OFF,
        application_metadata={"rbd": {}},
    )
    osdmap.pool_name[osdmap.pool_max] = "rbd"
