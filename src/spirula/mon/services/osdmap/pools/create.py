"""`osd pool create`: which rule, how many copies and PGs, which flags a new pool gets.

Also called for pools that clients create by a message. Upstream: `src/mon/OSDMonitor.cc`,
prepare_new_pool and the command that leads to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spirula.commands.arguments import choices, flag, integer, number, pool_name, text
from spirula.commands.reply import Reply, Retry, said
from spirula.commands.table import Commands
from spirula.conf.values import BadValue, parse_integer
from spirula.crush.lookup import rule_id
from spirula.crush.rules import find_first_rule, has_ruleset
from spirula.errors import Exists, InvalidArgument, NotFound, OutOfRange
from spirula.maps.dump.pools import pool_type_name
from spirula.maps.query import find_pool
from spirula.maps.strhash import StringHash
from spirula.mon.services.osdmap.crush.checks import error_text, proposed
from spirula.mon.services.osdmap.crush.rules import create_erasure_rule
from spirula.mon.services.osdmap.finish import stamp
from spirula.mon.services.osdmap.pools.checks import (
    check_max_pg_num,
    check_pg_num,
    check_rule,
    default_min_size,
    rule_by_name,
)
from spirula.mon.services.osdmap.pools.profiles import (
    add_default_profile,
    code_of_profile,
    stripe_unit,
)
from spirula.printing import as_f32
from spirula.types.pool import (
    AutoscaleMode,
    PeeringCrushData,
    PGPool,
    PoolFlag,
    PoolOpt,
    PoolType,
)

if TYPE_CHECKING:
    from spirula.mon.request import Request
    from spirula.mon.services.osdmap.service import OSDMapService

commands = Commands("osd")

AUTOSCALE_MODES = {"off": AutoscaleMode.OFF, "warn": AutoscaleMode.WARN, "on": AutoscaleMode.ON}
_MILLION = 1_000_000
_LIMIT_U8, _LIMIT_U32 = 0xFF, 0xFFFFFFFF


@dataclass(slots=True)
class Wanted:
    """A pool that somebody wants. Zeros and empty texts stand for the defaults.

    `rule` is the number of a CRUSH rule, or -1: then `rule_name` counts. `fast_read` is True,
    False, or None for the default.
    """

    name: str
    type: PoolType = PoolType.REPLICATED
    rule: int = -1
    rule_name: str = ""
    profile: str = ""
    pg_num: int = 0
    pgp_num: int = 0
    pg_num_min: int = 0
    pg_num_max: int = 0
    size: int = 0
    target_size_bytes: int = 0
    target_size_ratio: float = 0.0
    expected_num_objects: int = 0
    autoscale_mode: str = ""
    bulk: bool = False
    fast_read: bool | None = None


# ------------------------------------------------------------------------------------- the command


@commands.add(
    "osd pool create",
    pool=pool_name(),
    pg_num=integer(0, required=False),
    pgp_num=integer(0, required=False),
    pool_type=choices("replicated", "erasure", required=False),
    erasure_code_profile=text(required=False, goodchars="[A-Za-z0-9-_.]"),
    rule=text(required=False),
    expected_num_objects=integer(0, required=False),
    size=integer(0, required=False),
    pg_num_min=integer(0, required=False),
    pg_num_max=integer(0, required=False),
    autoscale_mode=choices("on", "off", "warn", required=False),
    bulk=flag(),
    target_size_bytes=integer(0, required=False),
    target_size_ratio=number(0.0, required=False),
    perm="rw",
    help="make a pool",
)
def create(
    service: OSDMapService,
    request: Request,
    pool: str,
    pg_num: int = 0,
    pgp_num: int | None = None,
    pool_type: str = "",
    erasure_code_profile: str = "",
    rule: str = "",
    expected_num_objects: int = 0,
    size: int = 0,
    pg_num_min: int = 0,
    pg_num_max: int = 0,
    autoscale_mode: str = "",
    bulk: bool = False,
    target_size_bytes: int = 0,
    target_size_ratio: float = 0.0,
) -> Reply:
    """The command line has one place for a profile or a rule: in a replicated pool it is a rule."""
    kind = pool_type or service.monitor.config.get_str("osd_pool_default_type")
    there = find_pool(service.osdmap, pool)
    if there is not None:
        if pool_type_name(service.osdmap.pools[there].type) != kind:
            raise InvalidArgument(f"pool '{pool}' cannot change to type {kind}")
        return said(f"pool '{pool}' already exists")
    if kind not in ("replicated", "erasure"):
        raise InvalidArgument(f"unknown pool type '{kind}'")
    wanted = Wanted(
        pool,
        PoolType.ERASURE if kind == "erasure" else PoolType.REPLICATED,
        rule_name=rule,
        profile=erasure_code_profile,
        pg_num=pg_num,
        pgp_num=pg_num if pgp_num is None else pgp_num,
        pg_num_min=pg_num_min,
        pg_num_max=pg_num_max,
        size=size,
        target_size_bytes=target_size_bytes,
        target_size_ratio=target_size_ratio,
        expected_num_objects=expected_num_objects,
        autoscale_mode=autoscale_mode,
        bulk=bulk,
    )
    if wanted.type == PoolType.ERASURE:
        _settle_erasure(service, wanted)
    else:
        _settle_replicated(wanted)
        if wanted.rule_name:
            rule_by_name(service, wanted.rule_name)
    if wanted.expected_num_objects < 0:
        raise InvalidArgument("'expected_num_objects' must be non-negative")
    new_pool(service, wanted)
    return proposed(service, f"pool '{pool}' created")


def _settle_erasure(service: OSDMapService, wanted: Wanted) -> None:
    """Which profile, and which rule: without one, a rule of the pool's name is made."""
    wanted.profile = wanted.profile or "default"
    if wanted.profile == "default" and "default" not in service.osdmap.erasure_code_profiles:
        add_default_profile(service, normalise=False)
        raise Retry
    if wanted.rule_name:
        rule_by_name(service, wanted.rule_name)
    else:
        wanted.rule_name = "erasure-code" if wanted.profile == "default" else wanted.name


def _settle_replicated(wanted: Wanted) -> None:
    """`create POOL PG_NUM PGP_NUM replicated RULE OBJECTS`, as the command line has it."""
    if not wanted.profile:
        return
    if wanted.rule_name:
        try:
            wanted.expected_num_objects = parse_integer(wanted.rule_name)
        except BadValue as error:
            text = f"error parsing integer value '{wanted.rule_name}': {error.message}"
            raise InvalidArgument(text) from None
    wanted.rule_name, wanted.profile = wanted.profile, ""


# ---------------------------------------------------------------------------------------- the pool


def new_pool(service: OSDMapService, wanted: Wanted) -> None:
    """Make a pool pending; one of that name may be pending already.

    Raises Retry where something that it needs has to be committed first, and InvalidArgument,
    OutOfRange, NotFound with upstream's texts.
    """
    if not wanted.name:
        raise InvalidArgument(error_text(InvalidArgument.code))
    config = service.monitor.config
    pg_num = wanted.pg_num or config.get_int("osd_pool_default_pg_num")
    pgp_num = wanted.pgp_num or config.get_int("osd_pool_default_pgp_num") or pg_num
    check_max_pg_num(service, pg_num)
    if pgp_num > pg_num:
        raise OutOfRange(
            "'pgp_num' must be greater than 0 and lower or equal than 'pg_num', which in this case"
            f" is {pg_num}"
        )
    if wanted.type == PoolType.REPLICATED and wanted.fast_read:
        raise InvalidArgument("'fast_read' can only apply to erasure coding pool")
    rule = _choose_rule(service, wanted)
    size, min_size = _sizes(service, wanted)
    check_pg_num(service, -1, pg_num, size)
    check_rule(service.osdmap.crush, rule, wanted.type, size)
    width = _stripe_width(service, wanted)
    if wanted.name in service.pending.new_pool_names.values():
        return
    pool = _make(service, wanted, rule)
    pool.size, pool.min_size = size, min_size
    pool.stripe_width = width
    _set_pg_nums(service, pool, pg_num, pgp_num)
    if service.osdmap.stretch_mode_enabled:
        _stretch(service, pool)
    pending = service.pending
    if pending.new_pool_max == -1:
        pending.new_pool_max = service.osdmap.pool_max
    pending.new_pool_max += 1
    pending.new_pools[pending.new_pool_max] = pool
    pending.new_pool_names[pending.new_pool_max] = wanted.name


def _choose_rule(service: OSDMapService, wanted: Wanted) -> int:
    crush = service.osdmap.crush
    if wanted.rule >= 0:
        if not has_ruleset(crush, wanted.rule):
            raise NotFound(f"CRUSH rule {wanted.rule} not found")
        return wanted.rule
    if wanted.type == PoolType.ERASURE:
        known = rule_id(crush, wanted.rule_name)
        if known is not None:
            rule = crush.rules[known]
            return rule.ruleset if rule else known
        try:
            if create_erasure_rule(service, wanted.rule_name, wanted.profile) is not None:
                service.propose()
        except Exists:
            pass
        raise Retry
    if wanted.rule_name:
        return rule_by_name(service, wanted.rule_name)
    configured = service.monitor.config.get_int("osd_pool_default_crush_rule")
    found: int | None = configured if has_ruleset(crush, configured) else None
    if configured < 0:
        found = find_first_rule(crush, PoolType.REPLICATED)
    if found is None:
        raise NotFound(
            "No suitable CRUSH rule exists, check 'osd pool default crush *' config options"
        )
    return found


def _sizes(service: OSDMapService, wanted: Wanted) -> tuple[int, int]:
    """How many copies or chunks, and how many of them must be there to serve."""
    stretched, config = service.osdmap.stretch_mode_enabled, service.monitor.config
    if wanted.type == PoolType.ERASURE:
        if stretched:
            raise InvalidArgument(
                "prepare_pool_size: we are in stretch mode; cannot create EC pools!"
            )
        code = code_of_profile(service, wanted.profile)
        return code.chunks, code.data_chunks + min(1, code.coding_chunks - 1)
    size = wanted.size & _LIMIT_U8
    if stretched:
        only = config.get_int("mon_stretch_pool_size")
        if (size or only) != only:
            raise InvalidArgument(
                f"prepare_pool_size: we are in stretch mode but size {size} does not match!"
            )
        return only, config.get_int("mon_stretch_pool_min_size")
    size = size or config.get_int("osd_pool_default_size")
    return size, default_min_size(service, size)


def _stripe_width(service: OSDMapService, wanted: Wanted) -> int:
    if wanted.type != PoolType.ERASURE:
        return 0
    code = code_of_profile(service, wanted.profile)
    profile = service.osdmap.erasure_code_profiles.get(wanted.profile, {})
    default = service.monitor.config.get_int("osd_pool_erasure_code_stripe_unit")
    unit = stripe_unit(profile, default)
    width: int = code.data_chunks * code.chunk_size(unit * code.data_chunks)
    return width & _LIMIT_U32


def _make(service: OSDMapService, wanted: Wanted, rule: int) -> PGPool:
    """The pool with everything that does not depend on other pools."""
    config = service.monitor.config
    flags = config.get_int("osd_pool_default_flags") | PoolFlag.CREATING
    for name, bit in (
        ("hashpspool", PoolFlag.HASHPSPOOL),
        ("nodelete", PoolFlag.NODELETE),
        ("nopgchange", PoolFlag.NOPGCHANGE),
        ("nosizechange", PoolFlag.NOSIZECHANGE),
        ("bulk", PoolFlag.BULK),
    ):
        if config.get_bool(f"osd_pool_default_flag_{name}"):
            flags |= bit
    if wanted.bulk:
        flags |= PoolFlag.BULK
    fast_read = False
    if wanted.type == PoolType.ERASURE:
        default = config.get_bool("osd_pool_default_ec_fast_read")
        fast_read = default if wanted.fast_read is None else wanted.fast_read
    pool = PGPool(
        type=wanted.type,
        crush_rule=rule,
        object_hash=StringHash.RJENKINS,
        flags=int(flags),
        fast_read=int(fast_read),
        create_time=stamp(service),
        last_change=service.pending.epoch,
        use_gmt_hitset=int(config.get_bool("osd_pool_use_gmt_hitset")),
        expected_num_objects=wanted.expected_num_objects,
        erasure_code_profile=wanted.profile if wanted.type == PoolType.ERASURE else "",
        cache_min_flush_age=config.get_int("osd_pool_default_cache_min_flush_age"),
        cache_min_evict_age=config.get_int("osd_pool_default_cache_min_evict_age"),
    )
    for name in ("dirty", "dirty_high", "full"):
        share = config.get_float(f"osd_pool_default_cache_target_{name}_ratio")
        setattr(pool, f"cache_target_{name}_ratio_micro", int(share * _MILLION))
    default_mode = config.get_str("osd_pool_default_pg_autoscale_mode")
    mode = AUTOSCALE_MODES.get(default_mode, AutoscaleMode.OFF)
    pool.pg_autoscale_mode = AUTOSCALE_MODES.get(wanted.autoscale_mode, mode)
    options: dict[int, str | int | float] = {
        PoolOpt.PG_NUM_MIN: wanted.pg_num_min,
        PoolOpt.PG_NUM_MAX: wanted.pg_num_max,
        PoolOpt.TARGET_SIZE_BYTES: wanted.target_size_bytes,
        PoolOpt.TARGET_SIZE_RATIO: as_f32(wanted.target_size_ratio),
    }
    pool.opts.opts = {int(option): value for option, value in options.items() if value}
    return pool


def _set_pg_nums(service: OSDMapService, pool: PGPool, pg_num: int, pgp_num: int) -> None:
    """Large pools begin with few PGs, and the manager has them split."""
    most = service.monitor.config.get_int("mon_osd_max_initial_pgs")
    pool.pg_num = min(pg_num, most) if most > 0 else pg_num
    pool.pg_num_pending = pool.pgp_num = pool.pg_num
    pool.pg_num_target, pool.pgp_num_target = pg_num, pgp_num


def _stretch(service: OSDMapService, pool: PGPool) -> None:
    """In stretch mode copies must be in all sites; while one is down, in the others."""
    osdmap = service.osdmap
    count = osdmap.degraded_stretch_mode or osdmap.stretch_bucket_count
    pool.peering_crush_data = PeeringCrushData(
        bucket_count=count, bucket_target=count, bucket_barrier=osdmap.stretch_mode_bucket
    )
    if osdmap.degraded_stretch_mode:
        pool.size //= 2
        pool.min_size //= 2
