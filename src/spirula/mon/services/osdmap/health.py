"""Health checks of the OSD map: what is down, full, flagged or out of order in it.

Called when a change is encoded, for the map that it makes. Codes, summaries and details: upstream
`OSDMap::check_health` of `src/osd/OSDMap.cc`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from spirula.conf.config import Config
from spirula.crush.dump import minimum_version
from spirula.crush.lookup import find_bucket, immediate_parent
from spirula.denc.features import SERVER_NAUTILUS, SERVER_OCTOPUS, SERVER_PACIFIC, has
from spirula.maps.dump.pools import cache_mode_name
from spirula.maps.features import up_osd_features
from spirula.maps.osdmap import OSDMap
from spirula.maps.query import full_osds
from spirula.maps.state import (
    OSDMapFlag,
    OSDState,
    Release,
    exists,
    flag_string,
    is_down,
    is_out,
    is_up,
    state_names,
)
from spirula.mon.services.osdmap.initial import ratio
from spirula.mon.services.osdmap.places import location_text
from spirula.printing import as_f32, general
from spirula.types.hit_set import HitSetType
from spirula.types.pool import CacheMode, PoolFlag
from spirula.types.service import HealthCheck, HealthStatus

Checks = dict[str, HealthCheck]

_TUNABLES = "see http://docs.ceph.com/en/latest/rados/operations/crush-map/#tunables"
_WARN_FLAGS = (
    OSDMapFlag.PAUSERD
    | OSDMapFlag.PAUSEWR
    | OSDMapFlag.PAUSEREC
    | OSDMapFlag.NOUP
    | OSDMapFlag.NODOWN
    | OSDMapFlag.NOIN
    | OSDMapFlag.NOOUT
    | OSDMapFlag.NOBACKFILL
    | OSDMapFlag.NORECOVER
    | OSDMapFlag.NOSCRUB
    | OSDMapFlag.NODEEP_SCRUB
    | OSDMapFlag.NOTIERAGENT
    | OSDMapFlag.NOSNAPTRIM
    | OSDMapFlag.NOREBALANCE
)
_WISHES = int(OSDState.NOUP | OSDState.NOIN | OSDState.NODOWN | OSDState.NOOUT)
_NEW = int(OSDState.NEW)
_HIT_SET_MODES = (CacheMode.WRITEBACK, CacheMode.READFORWARD, CacheMode.READPROXY)
_RELEASES = (
    (SERVER_PACIFIC, Release.PACIFIC),
    (SERVER_OCTOPUS, Release.OCTOPUS),
    (SERVER_NAUTILUS, Release.NAUTILUS),
)


def check_map(osdmap: OSDMap, config: Config) -> Checks:
    """The checks that fail for a map, by their codes."""
    checks: Checks = {}
    _check_down(osdmap, checks)
    _check_scrub_flags(osdmap, checks)
    _check_ratios(osdmap, config, checks)
    _check_full_osds(osdmap, checks)
    _check_flags(osdmap, checks)
    _check_crush(osdmap, config, checks)
    _check_pools(osdmap, config, checks)
    _check_release(osdmap, checks)
    _check_stretch(osdmap, config, checks)
    return checks


def _add(
    checks: Checks,
    code: str,
    summary: str,
    detail: list[str] | None = None,
    *,
    count: int = 0,
    severity: HealthStatus = HealthStatus.WARN,
) -> None:
    checks[code] = HealthCheck(severity, summary, detail or [], count)


# --------------------------------------------------------------------------------------------- down


def _is_spare(osdmap: OSDMap, osd: int) -> bool:
    """Whether nobody minds that the OSD is down: it is out, or has never been up."""
    return is_out(osdmap, osd) or bool(osdmap.osd_state[osd] & _NEW)


@dataclass(slots=True)
class _Down:
    """OSDs that are in and down, and the subtrees in which nothing is up, by type."""

    osdmap: OSDMap
    osds: set[int] = field(default_factory=set)
    up: set[int] = field(default_factory=set)
    subtrees: dict[int, set[int]] = field(default_factory=dict)
    partly_up: set[int] = field(default_factory=set)

    def is_down(self, id: int) -> bool:
        """Whether nothing at or below the item is up; remembers what it finds on the way."""
        if id >= 0:
            down = is_down(self.osdmap, id)
            if not _is_spare(self.osdmap, id):
                (self.osds if down else self.up).add(id)
            return down
        bucket = find_bucket(self.osdmap.crush, id)
        if bucket is None:
            return True
        known = self.subtrees.setdefault(bucket.type, set())
        if id in known:
            return True
        for item in bucket.items:
            if not self.is_down(item):
                self.partly_up.add(id)
                return False
        known.add(id)
        return True

    def climb(self, osd: int) -> None:
        """Look at the subtrees around an OSD, from the smallest on, as far as they are down."""
        self.osds.add(osd)
        parent = immediate_parent(self.osdmap.crush, osd)
        seen: set[int] = set()
        while parent is not None and parent.id not in seen and parent.id not in self.partly_up:
            seen.add(parent.id)
            if not self.is_down(parent.id):
                break
            parent = immediate_parent(self.osdmap.crush, parent.id)


def _check_down(osdmap: OSDMap, checks: Checks) -> None:
    found = _Down(osdmap)
    orphans = []
    names = osdmap.crush.item_names
    for osd in range(osdmap.max_osd):
        if is_up(osdmap, osd):
            continue
        if not exists(osdmap, osd):
            if osd in names:
                orphans.append(osd)
        elif not (_is_spare(osdmap, osd) or osd in found.osds):
            found.climb(osd)
    if found.osds:
        _describe_down(osdmap, found, checks)
    if orphans:
        _add(
            checks,
            "OSD_ORPHAN",
            f"{len(orphans)} osds exist in the crush map but not in the osdmap",
            [f"osd.{osd} exists in crush map but not in osdmap" for osd in orphans],
            count=len(orphans),
        )


def _describe_down(osdmap: OSDMap, found: _Down, checks: Checks) -> None:
    crush = osdmap.crush
    top = max(crush.type_names, default=0)
    counts: dict[int, int] = {}
    for type in sorted(found.subtrees):
        for id in found.subtrees[type]:
            bucket = find_bucket(crush, id)
            items = bucket.items if bucket else []
            counts[id] = sum(1 if item >= 0 else counts.get(item, 0) for item in items)
    for type in sorted(found.subtrees, reverse=True):
        ids = sorted(found.subtrees[type], reverse=True)
        if not ids or type not in crush.type_names:
            continue
        name = crush.type_names[type]
        several = "s" if len(ids) > 1 else ""
        detail = []
        for id in ids:
            where = "" if type == top else f" ({location_text(crush, id)})"
            item = crush.item_names.get(id, "")
            detail.append(f"{name} {item}{where} ({counts[id]} osds) is down")
        total = sum(counts[id] for id in ids)
        summary = f"{len(ids)} {name}{several} ({total} osds) down"
        _add(checks, f"OSD_{name.upper()}_DOWN", summary, detail, count=len(ids))
    _add(
        checks,
        "OSD_DOWN",
        f"{len(found.osds)} osds down",
        [f"osd.{osd} ({location_text(crush, osd)}) is down" for osd in sorted(found.osds)],
        count=len(found.osds),
    )


# ------------------------------------------------------------------------------ flags and fullness


def _check_scrub_flags(osdmap: OSDMap, checks: Checks) -> None:
    detail, kinds = [], []
    for flag, name in ((PoolFlag.NOSCRUB, "noscrub"), (PoolFlag.NODEEP_SCRUB, "nodeep-scrub")):
        if any(pool.has_flag(flag) for pool in osdmap.pools.values()):
            kinds.append(name)
    for number, pool in sorted(osdmap.pools.items()):
        name = osdmap.pool_name.get(number, "")
        if pool.has_flag(PoolFlag.NOSCRUB):
            detail.append(f"Pool {name} has noscrub flag")
        if pool.has_flag(PoolFlag.NODEEP_SCRUB):
            detail.append(f"Pool {name} has nodeep-scrub flag")
    if kinds:
        _add(
            checks,
            "POOL_SCRUB_FLAGS",
            f"Some pool(s) have the {', '.join(kinds)} flag(s) set",
            detail,
            severity=HealthStatus.OK,
        )


def _check_ratios(osdmap: OSDMap, config: Config, checks: Checks) -> None:
    failsafe = as_f32(ratio(config, "osd_failsafe_full_ratio"))
    near, backfill, full = (
        as_f32(value)
        for value in (osdmap.nearfull_ratio, osdmap.backfillfull_ratio, osdmap.full_ratio)
    )
    detail = []

    def compare(name: str, value: float, other_name: str, other: float) -> float:
        if value < other:
            detail.append(f"{name} ({general(value)}) < {other_name} ({general(other)}), increased")
        return max(value, other)

    backfill = compare("backfillfull_ratio", backfill, "nearfull_ratio", near)
    full = compare("full_ratio", full, "backfillfull_ratio", backfill)
    compare("osd_failsafe_full_ratio", failsafe, "full_ratio", full)
    if detail:
        _add(
            checks,
            "OSD_OUT_OF_ORDER_FULL",
            "full ratio(s) out of order",
            detail,
            severity=HealthStatus.ERR,
        )


def _check_full_osds(osdmap: OSDMap, checks: Checks) -> None:
    found = full_osds(osdmap)
    for code, osds, what, state, severity in (
        ("OSD_FULL", found.full, "full", "full", HealthStatus.ERR),
        (
            "OSD_BACKFILLFULL",
            found.backfillfull,
            "backfillfull",
            "backfill full",
            HealthStatus.WARN,
        ),
        ("OSD_NEARFULL", found.nearfull, "nearfull", "near full", HealthStatus.WARN),
    ):
        if osds:
            _add(
                checks,
                code,
                f"{len(osds)} {what} osd(s)",
                [f"osd.{osd} is {state}" for osd in osds],
                count=len(osds),
                severity=severity,
            )


def _check_flags(osdmap: OSDMap, checks: Checks) -> None:
    shown = flag_string(osdmap.flags & _WARN_FLAGS)
    if shown:
        # Upstream counts the letters.
        _add(checks, "OSDMAP_FLAGS", f"{shown} flag(s) set", count=len(shown))
    detail = list(_flagged(osdmap))
    if detail:
        _add(
            checks,
            "OSD_FLAGS",
            f"{len(detail)} OSDs or CRUSH {{nodes, device-classes}} have"
            " {NOUP,NODOWN,NOIN,NOOUT} flags set",
            detail,
            count=len(detail),
        )
    if not osdmap.flags & OSDMapFlag.SORTBITWISE:
        _add(checks, "OSD_NO_SORTBITWISE", "'sortbitwise' flag is not set")


def _flagged(osdmap: OSDMap) -> Iterator[str]:
    """Everything below the whole cluster that has a flag."""
    crush = osdmap.crush
    for osd, state in enumerate(osdmap.osd_state):
        if state & _WISHES:
            yield f"osd.{osd} has flags {','.join(state_names(state & _WISHES))}"
    for id, bits in sorted(osdmap.crush_node_flags.items()):
        if bits and id in crush.item_names:
            bucket = find_bucket(crush, id)
            kind = crush.type_names.get(bucket.type if bucket else 0, "node")
            yield f"{kind} {crush.item_names[id]} has flags {','.join(state_names(bits))}"
    for number, bits in sorted(osdmap.device_class_flags.items()):
        if bits and number in crush.class_names:
            name = crush.class_names[number]
            yield f"device class '{name}' has flags {','.join(state_names(bits))}"


# ---------------------------------------------------------------------------------- CRUSH and pools


def _check_crush(osdmap: OSDMap, config: Config, checks: Checks) -> None:
    if config.get_bool("mon_warn_on_legacy_crush_tunables"):
        needed = minimum_version(osdmap.crush)
        least = config.get_str("mon_crush_min_required_version")
        if needed < least:
            summary = f"crush map has legacy tunables (require {needed}, min is {least})"
            _add(checks, "OLD_CRUSH_TUNABLES", summary, [_TUNABLES])
    if (
        config.get_bool("mon_warn_on_crush_straw_calc_version_zero")
        and not osdmap.crush.tunables.straw_calc_version
    ):
        summary = "crush map has straw_calc_version=0"
        _add(checks, "OLD_CRUSH_STRAW_CALC_VERSION", summary, [_TUNABLES])


def _check_pools(osdmap: OSDMap, config: Config, checks: Checks) -> None:
    no_hit_set: list[str] = []
    odd, single = [], []
    full: dict[str, list[str]] = {"FULL": [], "BACKFILLFULL": [], "NEARFULL": []}
    for number, pool in sorted(osdmap.pools.items()):
        name = osdmap.pool_name.get(number, "")
        if pool.cache_mode in _HIT_SET_MODES and pool.hit_set_params.type == HitSetType.NONE:
            mode = cache_mode_name(pool.cache_mode)
            no_hit_set.append(
                f"pool '{name}' with cache_mode {mode} needs hit_set_type to be set but it is not"
            )
        if pool.has_flag(PoolFlag.FULL):
            quota = pool.has_flag(PoolFlag.FULL_QUOTA)
            why = "running out of quota" if quota else "no space"
            full["FULL"].append(f"pool '{name}' is full ({why})")
        elif pool.has_flag(PoolFlag.BACKFILLFULL):
            full["BACKFILLFULL"].append(f"pool '{name}' is backfillfull")
        elif pool.has_flag(PoolFlag.NEARFULL):
            full["NEARFULL"].append(f"pool '{name}' is nearfull")
        wanted = pool.pg_num_target
        if wanted & (wanted - 1):
            odd.append(f"pool '{name}' pg_num {wanted} is not a power of two")
        if pool.size == 1:
            single.append(f"pool '{name}' has no replicas configured")

    def warn(code: str, summary: str, detail: list[str], option: str = "") -> None:
        if detail and (not option or config.get_bool(option)):
            _add(checks, code, f"{len(detail)} {summary}", detail, count=len(detail))

    warn(
        "CACHE_POOL_NO_HIT_SET",
        "cache pools are missing hit_sets",
        no_hit_set,
        "mon_warn_on_cache_pools_without_hit_sets",
    )
    for state, detail in full.items():
        warn(f"POOL_{state}", f"pool(s) {state.lower()}", detail)
    warn(
        "POOL_PG_NUM_NOT_POWER_OF_TWO",
        "pool(s) have non-power-of-two pg_num",
        odd,
        "mon_warn_on_pool_pg_num_not_power_of_two",
    )
    warn(
        "POOL_NO_REDUNDANCY",
        "pool(s) have no replicas configured",
        single,
        "mon_warn_on_pool_no_redundancy",
    )


def _check_release(osdmap: OSDMap, checks: Checks) -> None:
    """All OSDs can do what the map does not require of them yet."""
    features = up_osd_features(osdmap)
    for mask, release in _RELEASES:
        if has(features, mask):
            if osdmap.require_osd_release < release:
                name = release.name.lower()
                _add(
                    checks,
                    "OSD_UPGRADE_FINISHED",
                    f"all OSDs are running {name} or later but require_osd_release < {name}",
                )
            return


def _check_stretch(osdmap: OSDMap, config: Config, checks: Checks) -> None:
    if not config.get_bool("mon_warn_on_degraded_stretch_mode"):
        return
    rest = (
        f"stretch mode buckets, only requiring {osdmap.degraded_stretch_mode}"
        f" of {osdmap.stretch_bucket_count} buckets to peer"
    )
    if osdmap.recovering_stretch_mode:
        _add(checks, "RECOVERING_STRETCH_MODE", f"We are recovering {rest}")
    elif osdmap.degraded_stretch_mode:
        _add(checks, "DEGRADED_STRETCH_MODE", f"We are missing {rest}")
