"""`osd pool set`: every setting of a pool, each with its checks.

Settings that are options by key are in `options`. Upstream: `src/mon/OSDMonitor.cc`,
prepare_command_pool_set.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from spirula.commands.arguments import choices, flag, pool_name, text
from spirula.commands.reply import Reply
from spirula.commands.table import Commands
from spirula.crush.lookup import rule_id
from spirula.denc.features import OSD_CACHEPOOL
from spirula.errors import (
    Busy,
    InvalidArgument,
    NotFound,
    NotPermitted,
    NotSupported,
    OutOfRange,
    PermissionDenied,
)
from spirula.mon.services.osdmap.crush.checks import (
    check_cluster_features,
    error_text,
    proposed,
)
from spirula.mon.services.osdmap.pools.checks import (
    FLAG_BY_NAME,
    check_all_bluestore,
    check_max_pg_num,
    check_pg_num,
    check_rule,
    default_min_size,
    find_committed,
    is_tier,
)
from spirula.mon.services.osdmap.pools.create import AUTOSCALE_MODES
from spirula.mon.services.osdmap.pools.options import OPTIONS, set_option
from spirula.mon.services.osdmap.pools.profiles import code_of_profile
from spirula.mon.services.osdmap.pools.values import Setting
from spirula.types.hit_set import BloomParams, HitSetParams, HitSetType
from spirula.types.pool import CacheMode, PoolFlag, PoolOpt

if TYPE_CHECKING:
    from spirula.mon.request import Request
    from spirula.mon.services.osdmap.service import OSDMapService

commands = Commands("osd")

_MOST_COPIES = 10
_MILLION = 1_000_000
_U32, _U64 = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF

# In the order in which clients are told them. `pg_num_actual` is the manager's secret.
_TOLD = (
    "size|min_size|pg_num|pgp_num|pgp_num_actual|crush_rule|hashpspool|nodelete|nopgchange|"
    "nosizechange|write_fadvise_dontneed|noscrub|nodeep-scrub|hit_set_type|hit_set_period|"
    "hit_set_count|hit_set_fpp|use_gmt_hitset|target_max_bytes|target_max_objects|"
    "cache_target_dirty_ratio|cache_target_dirty_high_ratio|cache_target_full_ratio|"
    "cache_min_flush_age|cache_min_evict_age|min_read_recency_for_promote|"
    "min_write_recency_for_promote|fast_read|hit_set_grade_decay_rate|hit_set_search_last_n|"
    "scrub_min_interval|scrub_max_interval|deep_scrub_interval|recovery_priority|"
    "recovery_op_priority|scrub_priority|compression_mode|compression_algorithm|"
    "compression_required_ratio|compression_max_blob_size|compression_min_blob_size|csum_type|"
    "csum_min_block|csum_max_block|allow_ec_overwrites|fingerprint_algorithm|pg_autoscale_mode|"
    "pg_autoscale_bias|pg_num_min|pg_num_max|target_size_bytes|target_size_ratio|dedup_tier|"
    "dedup_chunk_algorithm|dedup_cdc_chunk_size|bulk"
)
_VAR = replace(choices(*_TOLD.split("|")), check=text().check)

# What only cache tiers have; not all of it is hidden by `get`.
_TIER_ONLY = (
    "hit_set_type",
    "hit_set_period",
    "hit_set_count",
    "hit_set_fpp",
    "target_max_objects",
    "target_max_bytes",
    "cache_target_full_ratio",
    "cache_target_dirty_ratio",
    "cache_target_dirty_high_ratio",
    "use_gmt_hitset",
    "cache_min_flush_age",
    "cache_min_evict_age",
    "hit_set_grade_decay_rate",
    "hit_set_search_last_n",
    "min_read_recency_for_promote",
    "min_write_recency_for_promote",
)


@commands.add(
    "osd pool set",
    pool=pool_name(),
    var=_VAR,
    val=text(),
    yes_i_really_mean_it=flag(),
    perm="rw",
    help="change a pool's setting",
)
def set_value(
    service: OSDMapService,
    request: Request,
    pool: str,
    var: str,
    val: str,
    yes_i_really_mean_it: bool = False,
) -> Reply:
    """On top of what is pending for the pool."""
    number, settings = find_committed(service, pool)
    settings = copy.deepcopy(service.pending.new_pools.get(number, settings))
    if var in _TIER_ONLY and not is_tier(settings):
        raise PermissionDenied(error_text(PermissionDenied.code))
    setting = Setting(service, pool, number, settings, var, val, yes_i_really_mean_it)
    setter = _SETTERS.get(var) or (set_option if var in OPTIONS else None)
    if setter is None:
        raise InvalidArgument(f"unrecognized variable '{var}'")
    if setter(setting) is False:
        return proposed(service)
    settings.last_change = service.pending.epoch
    service.pending.new_pools[number] = settings
    if val == "unset":
        return proposed(service, f"unset pool {number} {var}")
    return proposed(service, f"set pool {number} {var} to {val}")


# ----------------------------------------------------------------------------------------- copies


def _set_size(s: Setting) -> None:
    if s.pool.has_flag(PoolFlag.NOSIZECHANGE):
        raise NotPermitted(
            "pool size change is disabled; you must unset nosizechange flag for the pool first"
        )
    if s.pool.is_erasure:
        raise NotSupported("can not change the size of an erasure-coded pool")
    size = s.integer()
    if not 1 <= size <= _MOST_COPIES:
        raise InvalidArgument(f"pool size must be between 1 and {_MOST_COPIES}")
    if size == 1:
        if not s.service.monitor.config.get_bool("mon_allow_pool_size_one"):
            raise NotPermitted("configuring pool size as 1 is disabled by default.")
        if not s.sure:
            raise NotPermitted(
                "WARNING: setting pool size 1 could lead to data loss without recovery. If you"
                " are *ABSOLUTELY CERTAIN* that is what you want, pass the flag"
                " --yes-i-really-mean-it."
            )
    check_rule(s.service.osdmap.crush, s.pool.crush_rule, s.pool.type, size)
    check_pg_num(s.service, s.number, s.pool.pg_num, size)
    s.pool.size = size
    s.pool.min_size = default_min_size(s.service, size)


def _set_min_size(s: Setting) -> None:
    if s.pool.has_flag(PoolFlag.NOSIZECHANGE):
        raise NotPermitted(
            "pool min size change is disabled; you must unset nosizechange flag for the pool first"
        )
    size, least = s.integer(), 1
    if s.pool.is_erasure:
        try:
            least = code_of_profile(s.service, s.pool.erasure_code_profile).data_chunks
        except InvalidArgument as error:
            text = f"prepare_command_pool_set get_erasure_code failed: {error.message}"
            raise InvalidArgument(text) from None
    if not least <= size <= s.pool.size:
        raise InvalidArgument(
            f"pool min_size must be between {least} and size, which is set to {s.pool.size}"
        )
    s.pool.min_size = size


def _set_rule(s: Setting) -> None:
    number = rule_id(s.service.osdmap.crush, s.text)
    if number is None:
        raise NotFound(f"crush rule {s.text} does not exist")
    check_rule(s.service.osdmap.crush, number, s.pool.type, s.pool.size)
    s.pool.crush_rule = number


# -------------------------------------------------------------------------------------------- PGs


def _check_pg_change(s: Setting, what: str) -> None:
    if s.pool.has_flag(PoolFlag.NOPGCHANGE):
        raise NotPermitted(
            f"pool {what} change is disabled; you must unset nopgchange flag for the pool first"
        )


def _set_pg_num(s: Setting) -> bool:
    """The number to be reached; the manager takes the steps."""
    _check_pg_change(s, "pg_num")
    wanted, pool = s.integer(), s.pool
    if wanted == pool.pg_num_target:
        return False
    check_max_pg_num(s.service, wanted)
    if wanted > pool.pg_num_target:
        check_pg_num(s.service, s.number, wanted, pool.size)
        if pool.cache_mode != CacheMode.NONE and not s.sure:
            raise NotPermitted(
                "splits in cache pools must be followed by scrubs and leave sufficient free space"
                " to avoid overfilling.  use --yes-i-really-mean-it to force."
            )
    least = pool.opts.opts.get(PoolOpt.PG_NUM_MIN)
    most = pool.opts.opts.get(PoolOpt.PG_NUM_MAX)
    if isinstance(least, int) and wanted < least:
        raise InvalidArgument(f"specified pg_num {wanted} < pg_num_min {least}")
    if isinstance(most, int) and most and wanted > most:
        # upstream has the sign the wrong way round
        raise InvalidArgument(f"specified pg_num {wanted} < pg_num_max {most}")
    if pool.pg_num_target == pool.pgp_num_target:
        pool.pgp_num_target = wanted
    pool.pg_num_target = wanted
    return True


def _set_pg_num_actual(s: Setting) -> bool:
    """A step: up at once, down by one PG after it has been prepared (`pg_num_pending`)."""
    wanted, pool, epoch = s.integer(), s.pool, s.service.pending.epoch
    if wanted == pool.pg_num:
        return False
    if wanted < 0 or wanted > s.service.monitor.config.get_int("mon_max_pool_pg_num"):
        check_max_pg_num(s.service, wanted)
    if pool.has_flag(PoolFlag.CREATING):
        raise Busy("cannot adjust pg_num while initial PGs are being created")
    if wanted > pool.pg_num:
        if pool.pg_num != pool.pg_num_pending:
            pool.last_force_op_resend_prenautilus = epoch
        pool.pg_num = pool.pg_num_pending = wanted
    else:
        if wanted < pool.pgp_num:
            raise InvalidArgument(f"specified pg_num {wanted} < pgp_num {pool.pgp_num}")
        if wanted < pool.pg_num - 1:
            raise InvalidArgument(
                f"specified pg_num {wanted} < pg_num ({pool.pg_num}) - 1; only single pg decrease"
                " is currently supported"
            )
        pool.pg_num_pending = wanted
        pool.last_force_op_resend_prenautilus = epoch
    pool.last_force_op_resend_preluminous = epoch
    return True


def _set_pgp_num(s: Setting) -> None:
    _check_pg_change(s, "pgp_num")
    wanted = s.integer()
    _check_pgp_num(wanted, s.pool.pg_num_target)
    s.pool.pgp_num_target = wanted


def _set_pgp_num_actual(s: Setting) -> None:
    _check_pg_change(s, "pgp_num")
    wanted = s.integer()
    _check_pgp_num(wanted, s.pool.pg_num)
    if wanted > s.pool.pg_num_pending:
        raise InvalidArgument(
            f"specified pgp_num {wanted} > pg_num_pending {s.pool.pg_num_pending}"
        )
    s.pool.pgp_num = wanted


def _check_pgp_num(wanted: int, pg_num: int) -> None:
    if wanted <= 0:
        raise InvalidArgument(f"specified pgp_num must > 0, but you set to {wanted}")
    if wanted > pg_num:
        raise InvalidArgument(f"specified pgp_num {wanted} > pg_num {pg_num}")


def _set_autoscale_mode(s: Setting) -> None:
    if s.text not in AUTOSCALE_MODES:
        raise InvalidArgument(f"specified invalid mode {s.text}")
    s.pool.pg_autoscale_mode = AUTOSCALE_MODES[s.text]


# ------------------------------------------------------------------------------------------ flags


def _set_flag(s: Setting) -> None:
    bit = FLAG_BY_NAME[s.var]
    if s.yes_or_no():
        s.pool.flags = int(s.pool.flags | bit)
    else:
        s.pool.flags = int(s.pool.flags & ~bit)


def _set_hashpspool(s: Setting) -> None:
    if not s.sure:
        raise NotPermitted(
            "are you SURE?  this will remap all placement groups in this pool, this triggers large"
            " data movement, pass --yes-i-really-mean-it if you really do."
        )
    _set_flag(s)


def _set_ec_overwrites(s: Setting) -> None:
    if not s.pool.is_erasure:
        raise InvalidArgument("ec overwrites can only be enabled for an erasure coded pool")
    config = s.service.monitor.config
    if not config.get_bool("mon_debug_no_require_bluestore_for_ec_overwrites"):
        check_all_bluestore(s.service, s.number, s.pool)
    if not s.yes_or_no():
        raise InvalidArgument("ec overwrites cannot be disabled once enabled")
    s.pool.flags = int(s.pool.flags | PoolFlag.EC_OVERWRITES)


def _set_fast_read(s: Setting) -> None:
    if not s.pool.is_erasure:
        raise InvalidArgument("fast read is not supported in replication pool")
    s.pool.fast_read = int(s.yes_or_no())


def _set_gmt_hitset(s: Setting) -> None:
    if not s.says(1, "true"):
        raise InvalidArgument("expecting value 'true' or '1'")
    s.pool.use_gmt_hitset = 1


# ------------------------------------------------------------------------------------ cache tiers


def hit_set_params(service: OSDMapService, kind: str) -> HitSetParams | None:
    """Parameters of hit sets of that kind, or None for an unknown one."""
    if kind == "bloom":
        share = service.monitor.config.get_float("osd_pool_default_hit_set_bloom_fpp")
        return HitSetParams(HitSetType.BLOOM, BloomParams(fpp_micro=round(share * _MILLION)))
    found = {
        "explicit_hash": HitSetType.EXPLICIT_HASH,
        "explicit_object": HitSetType.EXPLICIT_OBJECT,
    }.get(kind)
    return HitSetParams(found) if found else None


def _set_hit_set_type(s: Setting) -> None:
    if s.text == "none":
        s.pool.hit_set_params = HitSetParams()
        return
    check_cluster_features(s.service, OSD_CACHEPOOL)
    params = hit_set_params(s.service, s.text)
    if params is None:
        raise InvalidArgument(f"unrecognized hit_set type '{s.text}'")
    s.pool.hit_set_params = params


def _set_hit_set_number(s: Setting) -> None:
    """A period, or how many are kept."""
    value = s.integer()
    if value < 0:
        raise InvalidArgument(f"{s.var} should be non-negative")
    setattr(s.pool, s.var, value & _U32)


def _set_hit_set_fpp(s: Setting) -> None:
    share = s.floating("floating point value")
    if not 0 <= share <= 1:
        raise InvalidArgument("hit_set_fpp should be in the range 0..1")
    if s.pool.hit_set_params.type != HitSetType.BLOOM:
        raise InvalidArgument("hit set is not of type Bloom; invalid to set a false positive rate!")
    s.pool.hit_set_params.bloom.fpp_micro = round(share * _MILLION)


def _set_decay_rate(s: Setting) -> None:
    value = s.integer()
    if not 0 <= value <= 100:
        raise InvalidArgument("value out of range,valid range is 0 - 100")
    s.pool.hit_set_grade_decay_rate = value


def _set_search_last_n(s: Setting) -> None:
    value = s.integer()
    if not 0 <= value <= s.pool.hit_set_count:
        raise InvalidArgument("value out of range,valid range is 0 - hit_set_count")
    s.pool.hit_set_search_last_n = value


def _set_target(s: Setting) -> None:
    setattr(s.pool, s.var, s.integer("int") & _U64)


def _set_age(s: Setting) -> None:
    setattr(s.pool, s.var, s.integer("int") & _U32)


def _set_recency(s: Setting) -> None:
    setattr(s.pool, s.var, s.integer() & _U32)


def _set_share(s: Setting) -> None:
    share = s.floating("float")
    if not 0 <= share <= 1:
        raise OutOfRange("value must be in the range 0..1")
    setattr(s.pool, f"{s.var}_micro", round(share * _MILLION))


_SETTERS: dict[str, Callable[[Setting], bool | None]] = {
    "size": _set_size,
    "min_size": _set_min_size,
    "crush_rule": _set_rule,
    "pg_num": _set_pg_num,
    "pg_num_actual": _set_pg_num_actual,
    "pgp_num": _set_pgp_num,
    "pgp_num_actual": _set_pgp_num_actual,
    "pg_autoscale_mode": _set_autoscale_mode,
    **dict.fromkeys(FLAG_BY_NAME, _set_flag),
    "hashpspool": _set_hashpspool,
    "allow_ec_overwrites": _set_ec_overwrites,
    "fast_read": _set_fast_read,
    "use_gmt_hitset": _set_gmt_hitset,
    "hit_set_type": _set_hit_set_type,
    "hit_set_period": _set_hit_set_number,
    "hit_set_count": _set_hit_set_number,
    "hit_set_fpp": _set_hit_set_fpp,
    "hit_set_grade_decay_rate": _set_decay_rate,
    "hit_set_search_last_n": _set_search_last_n,
    "target_max_objects": _set_target,
    "target_max_bytes": _set_target,
    "cache_min_flush_age": _set_age,
    "cache_min_evict_age": _set_age,
    "min_read_recency_for_promote": _set_recency,
    "min_write_recency_for_promote": _set_recency,
    "cache_target_dirty_ratio": _set_share,
    "cache_target_dirty_high_ratio": _set_share,
    "cache_target_full_ratio": _set_share,
}
"""What sets each setting; False where nothing is to be changed."""
