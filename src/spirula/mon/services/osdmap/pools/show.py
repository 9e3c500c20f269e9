"""Commands that list pools and show what is set: ls, get, quotas, applications.

Upstream: `src/mon/OSDMonitor.cc`, preprocess_command.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from spirula.commands.arguments import choices, pool_name, text
from spirula.commands.reply import Reply, said
from spirula.commands.table import CommandFlag, Commands
from spirula.errors import InvalidArgument, NotFound, PermissionDenied
from spirula.maps.dump.document import UNKNOWN_POOL
from spirula.maps.dump.plain import pool_lines
from spirula.maps.dump.pools import autoscale_mode_name, pool_document
from spirula.mon.commands.kept import kept
from spirula.mon.services.osdmap.pools.checks import FLAG_BY_NAME, is_tier, usage
from spirula.mon.services.osdmap.pools.options import CSUM_TYPES, OPTION_TYPES, OPTIONS
from spirula.printing import Items, as_f32, count_text, general, size_text
from spirula.types.hit_set import HitSetType
from spirula.types.pool import PGPool, PoolFlag

if TYPE_CHECKING:
    from collections.abc import Callable

    from spirula.crush.map import CrushMap
    from spirula.mon.request import Request
    from spirula.mon.services.osdmap.service import OSDMapService

commands = Commands("osd")

_MILLION = 1_000_000


@commands.add("osd lspools", perm="r", flags=CommandFlag.DEPRECATED, help="list pools")
@kept
def list_numbers(service: OSDMapService, request: Request) -> Reply:
    """Number and name."""
    osdmap = service.osdmap
    names = [(number, osdmap.pool_name.get(number, "")) for number in sorted(osdmap.pools)]
    if request.is_plain:
        return said(data="".join(f"{number} {name}\n" for number, name in names))
    rows = Items("pool", ({"poolnum": number, "poolname": name} for number, name in names))
    printed = request.render(rows, "pools")
    return said(data=printed if printed.endswith("\n") else printed + "\n")


@commands.add("osd pool ls", detail=choices("detail", required=False), perm="r", help="list pools")
@kept
def list_pools(service: OSDMapService, request: Request, detail: str = "") -> Reply:
    """Names, or with `detail` all settings."""
    osdmap = service.osdmap
    names = {number: osdmap.pool_name.get(number, UNKNOWN_POOL) for number in sorted(osdmap.pools)}
    if request.is_plain:
        if detail:
            return said(data="".join(f"{line}\n" for line in pool_lines(osdmap)) + "\n")
        return said(data="".join(f"{name}\n" for name in names.values()))
    if not detail:
        return said(data=request.render(Items("pool_name", names.values()), "pools"))
    rows = (
        {"pool_id": number, "pool_name": name, **pool_document(osdmap.pools[number])}
        for number, name in names.items()
    )
    return said(data=request.render(Items("pool", rows), "pools"))


# -------------------------------------------------------------------------------------------- get

_TIER_ONLY = (
    "hit_set_type",
    "hit_set_period",
    "hit_set_count",
    "hit_set_fpp",
    "target_max_objects",
    "target_max_bytes",
    "cache_target_dirty_ratio",
    "cache_target_dirty_high_ratio",
    "cache_target_full_ratio",
    "cache_min_flush_age",
    "cache_min_evict_age",
    "min_read_recency_for_promote",
    "min_write_recency_for_promote",
    "hit_set_grade_decay_rate",
    "hit_set_search_last_n",
)
_ERASURE_ONLY = ("allow_ec_overwrites", "erasure_code_profile")
# In the order in which `all` shows them.
_ORDER = (
    "size",
    "min_size",
    "pg_num",
    "pgp_num",
    "crush_rule",
    "hashpspool",
    "allow_ec_overwrites",
    "nodelete",
    "nopgchange",
    "nosizechange",
    "write_fadvise_dontneed",
    "noscrub",
    "nodeep-scrub",
    "hit_set_type",
    "hit_set_period",
    "hit_set_count",
    "hit_set_fpp",
    "use_gmt_hitset",
    "target_max_objects",
    "target_max_bytes",
    "cache_target_dirty_ratio",
    "cache_target_dirty_high_ratio",
    "cache_target_full_ratio",
    "cache_min_flush_age",
    "cache_min_evict_age",
    "erasure_code_profile",
    "min_read_recency_for_promote",
    "min_write_recency_for_promote",
    "fast_read",
    "hit_set_grade_decay_rate",
    "hit_set_search_last_n",
    "scrub_min_interval",
    "scrub_max_interval",
    "deep_scrub_interval",
    "recovery_priority",
    "recovery_op_priority",
    "scrub_priority",
    "compression_mode",
    "compression_algorithm",
    "compression_required_ratio",
    "compression_max_blob_size",
    "compression_min_blob_size",
    "csum_type",
    "csum_max_block",
    "csum_min_block",
    "fingerprint_algorithm",
    "pg_autoscale_mode",
    "pg_num_min",
    "target_size_bytes",
    "target_size_ratio",
    "pg_autoscale_bias",
    "dedup_tier",
    "dedup_chunk_algorithm",
    "dedup_cdc_chunk_size",
    "pg_num_max",
    "bulk",
)
# In the order in which clients are told them.
_TOLD = (
    "size|min_size|pg_num|pgp_num|crush_rule|hashpspool|nodelete|nopgchange|nosizechange|"
    "write_fadvise_dontneed|noscrub|nodeep-scrub|hit_set_type|hit_set_period|hit_set_count|"
    "hit_set_fpp|use_gmt_hitset|target_max_objects|target_max_bytes|cache_target_dirty_ratio|"
    "cache_target_dirty_high_ratio|cache_target_full_ratio|cache_min_flush_age|"
    "cache_min_evict_age|erasure_code_profile|min_read_recency_for_promote|all|"
    "min_write_recency_for_promote|fast_read|hit_set_grade_decay_rate|hit_set_search_last_n|"
    "scrub_min_interval|scrub_max_interval|deep_scrub_interval|recovery_priority|"
    "recovery_op_priority|scrub_priority|compression_mode|compression_algorithm|"
    "compression_required_ratio|compression_max_blob_size|compression_min_blob_size|csum_type|"
    "csum_min_block|csum_max_block|allow_ec_overwrites|fingerprint_algorithm|pg_autoscale_mode|"
    "pg_autoscale_bias|pg_num_min|pg_num_max|target_size_bytes|target_size_ratio|dedup_tier|"
    "dedup_chunk_algorithm|dedup_cdc_chunk_size|bulk"
)


def _rule_name(crush: CrushMap, pool: PGPool) -> str:
    known = pool.crush_rule < len(crush.rules) and crush.rules[pool.crush_rule]
    return crush.rule_names.get(pool.crush_rule, "") if known else str(pool.crush_rule)


def _share(micro: int) -> float:
    return as_f32(micro / _MILLION)


_VALUES: dict[str, Callable[[PGPool], object]] = {
    "allow_ec_overwrites": lambda pool: pool.has_flag(PoolFlag.EC_OVERWRITES),
    "pg_autoscale_mode": lambda pool: autoscale_mode_name(pool.pg_autoscale_mode),
    "hit_set_type": lambda pool: HitSetType(pool.hit_set_params.type).name.lower(),
    "use_gmt_hitset": lambda pool: bool(pool.use_gmt_hitset),
    "fast_read": lambda pool: int(bool(pool.fast_read)),
    "cache_target_dirty_ratio": lambda pool: _share(pool.cache_target_dirty_ratio_micro),
    "cache_target_dirty_high_ratio": lambda pool: _share(pool.cache_target_dirty_high_ratio_micro),
    "cache_target_full_ratio": lambda pool: _share(pool.cache_target_full_ratio_micro),
}
"""Values that are not the field of the same name."""


@commands.add(
    "osd pool get",
    pool=pool_name(),
    var=choices(*_TOLD.split("|")),
    perm="r",
    help="show a pool's setting",
)
def get(service: OSDMapService, request: Request, pool: str, var: str) -> Reply:
    """One setting, or `all` that apply to this kind of pool."""
    number, settings = service.get_pool_by_name(pool)
    selected = _selected(pool, settings, var)
    found: dict[str, object] = {}
    for name in selected:
        value = _value(service, settings, name)
        if value is None:
            if var != "all":
                raise InvalidArgument(
                    "hit set is not of type Bloom; invalid to get a false positive rate!"
                )
            continue
        if name.startswith("cache_target") and not request.is_plain:
            found[f"{name}_micro"] = getattr(settings, f"{name}_micro")
        found[name] = value
    if not request.is_plain:
        document = {"pool": pool, "pool_id": number, **found}
        return said(data=request.render(document, "pool"))
    return said(data="".join(f"{name}: {_plain(name, value)}\n" for name, value in found.items()))


def _selected(pool: str, settings: PGPool, var: str) -> list[str]:
    """The settings to show. Raises PermissionDenied, NotFound for what this pool does not have."""
    hidden: tuple[str, ...] = () if is_tier(settings) else _TIER_ONLY
    if not settings.is_erasure:
        hidden += _ERASURE_ONLY
    if var == "all":
        there = {name for name in OPTIONS if OPTIONS[name] in settings.opts.opts}
        return [
            name
            for name in _ORDER
            if name not in hidden and (name not in OPTION_TYPES or name in there)
        ]
    if var in hidden:
        kind = "tier" if var in _TIER_ONLY else "erasure"
        raise PermissionDenied(f"pool '{pool}' is not a {kind} pool: variable not applicable")
    if var in OPTION_TYPES and OPTIONS[var] not in settings.opts.opts:
        raise NotFound(f"option '{var}' is not set on pool '{pool}'")
    return [var]


def _value(service: OSDMapService, pool: PGPool, name: str) -> object:
    """None for the one setting that a pool may lack."""
    if name in OPTION_TYPES:
        value = pool.opts.opts[OPTIONS[name]]
        if name == "csum_type":
            return {number: word for word, number in CSUM_TYPES.items()}.get(int(value), "???")
        return value
    if name == "crush_rule":
        return _rule_name(service.osdmap.crush, pool)
    if name == "hit_set_fpp":
        is_bloom = pool.hit_set_params.type == HitSetType.BLOOM
        return pool.hit_set_params.bloom.fpp_micro / _MILLION if is_bloom else None
    if name in FLAG_BY_NAME:
        return pool.has_flag(FLAG_BY_NAME[name])
    return _VALUES[name](pool) if name in _VALUES else getattr(pool, name)


def _plain(name: str, value: object) -> object:
    if isinstance(value, bool):
        # upstream prints a field of the pool here, but words for its flags
        return int(value) if name == "use_gmt_hitset" else str(value).lower()
    return general(value) if isinstance(value, float) else value


# ----------------------------------------------------------------------------------------- quotas


@commands.add("osd pool get-quota", pool=pool_name(), perm="r", help="show a pool's quotas")
def get_quota(service: OSDMapService, request: Request, pool: str) -> Reply:
    """Bounds of objects and bytes, and what is there."""
    number, settings = service.get_pool_by_name(pool)
    digest = service.digest
    if digest is None or number not in digest.pg_pool_sum:
        raise NotFound(f"no stats for pool '{pool}'")
    there = usage(service, number)
    if not request.is_plain:
        document = {
            "pool_name": pool,
            "pool_id": number,
            "quota_max_objects": settings.quota_max_objects,
            "current_num_objects": there.num_objects,
            "quota_max_bytes": settings.quota_max_bytes,
            "current_num_bytes": there.num_bytes,
        }
        return said(data=request.render(document, "pool_quotas") + "\n")
    objects = size = "N/A"
    if settings.quota_max_objects:
        most = count_text(settings.quota_max_objects)
        objects = f"{most} objects  (current num objects: {there.num_objects} objects)"
    if settings.quota_max_bytes:
        most = size_text(settings.quota_max_bytes)
        size = f"{most}  (current num bytes: {there.num_bytes} bytes)"
    return said(
        data=f"quotas for pool '{pool}':\n  max objects: {objects}\n  max bytes  : {size}\n"
    )


# ----------------------------------------------------------------------------------- applications

_ANY_POOL = replace(pool_name(required=False), details=(("req", "fasle"),))
"""Described as 16.2 does, slip of the pen included: clients take the pool to be required."""


@commands.add(
    "osd pool application get",
    pool=_ANY_POOL,
    app=text(required=False),
    key=text(required=False),
    perm="r",
    help="show what is kept for the applications of a pool, or one value",
)
def get_application(
    service: OSDMapService, request: Request, pool: str = "", app: str = "", key: str = ""
) -> Reply:
    """All pools, one pool, one application, or the value of one key as it is."""
    osdmap = service.osdmap
    if not pool:
        everything = {
            osdmap.pool_name.get(number, UNKNOWN_POOL): _applications(osdmap.pools[number])
            for number in sorted(osdmap.pools)
        }
        return said(data=request.render(everything, "pools"))
    _, settings = service.get_pool_by_name(pool)
    if not app:
        return said(data=request.render(_applications(settings), pool))
    values = settings.application_metadata.get(app)
    if values is None:
        raise NotFound(f"pool '{pool}' has no application '{app}'")
    if not key:
        return said(data=request.render(dict(sorted(values.items())), app))
    if key not in values:
        raise NotFound(f"application '{app}' on pool '{pool}' does not have key '{key}'")
    return said(data=f"{values[key]}\n")


def _applications(pool: PGPool) -> dict[str, object]:
    return {
        app: dict(sorted(values.items()))
        for app, values in sorted(pool.application_metadata.items())
    }
