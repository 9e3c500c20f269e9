"""Commands that rename and remove pools, bound what is in them, and say what applications use them.

Upstream: `src/mon/OSDMonitor.cc` (osd pool rename, rm, set-quota, application ...).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.commands.arguments import choices, flag, pool_name, text
from spirula.commands.reply import Reply, Retry, said
from spirula.commands.table import CommandFlag, Commands
from spirula.conf.values import BadValue, parse_si, parse_size
from spirula.crush.weights import rm_choose_args
from spirula.errors import Busy, Exists, InvalidArgument, NotFound, NotPermitted
from spirula.maps.query import find_pool
from spirula.mon.services.osdmap.crush.checks import error_text, proposed
from spirula.mon.services.osdmap.pools.checks import find_committed, is_tier
from spirula.types.pool import PGPool, PoolFlag

if TYPE_CHECKING:
    from spirula.mon.request import Request
    from spirula.mon.services.osdmap.service import OSDMapService

commands = Commands("osd")

MAX_APPLICATIONS = 4
"""Applications of a pool (upstream's number)."""
MAX_APPLICATION_KEYS = 64
"""Keys of an application of a pool (upstream's number)."""
MAX_APPLICATION_LENGTH = 128
"""Bytes of the name of an application, of a key and of a value (upstream's number)."""


# --------------------------------------------------------------------------------- rename, remove


@commands.add(
    "osd pool rename",
    srcpool=pool_name(),
    destpool=pool_name(),
    perm="rw",
    help="give a pool another name",
)
def rename(service: OSDMapService, request: Request, srcpool: str, destpool: str) -> Reply:
    """Done already where only the new name exists."""
    source, there = find_pool(service.osdmap, srcpool), find_pool(service.osdmap, destpool)
    if source is None:
        if there is None:
            raise NotFound(f"unrecognized pool '{srcpool}'")
        return said(
            f"pool '{srcpool}' does not exist; pool '{destpool}' does -- assuming successful rename"
        )
    if there is not None:
        raise Exists(f"pool '{destpool}' already exists")
    failed = f"failed to rename pool '{srcpool}' to '{destpool}': "
    pending = service.pending
    if source in pending.old_pools:
        raise NotFound(failed + error_text(NotFound.code))
    names = pending.new_pool_names
    if any(name == destpool and number != source for number, name in names.items()):
        raise Exists(failed + error_text(Exists.code))
    names[source] = destpool
    return proposed(service, f"pool '{srcpool}' renamed to '{destpool}'")


_SECOND = pool_name(required=False)


@commands.add(
    "osd pool rm",
    pool=pool_name(),
    pool2=_SECOND,
    yes_i_really_really_mean_it=flag(),
    yes_i_really_really_mean_it_not_faking=flag(),
    perm="rw",
    help="remove a pool and all that is in it",
)
@commands.add(
    "osd pool delete",
    pool=pool_name(),
    pool2=_SECOND,
    yes_i_really_really_mean_it=flag(),
    yes_i_really_really_mean_it_not_faking=flag(),
    perm="rw",
    flags=CommandFlag.DEPRECATED,
    help="remove a pool and all that is in it",
)
def remove(
    service: OSDMapService,
    request: Request,
    pool: str,
    pool2: str = "",
    yes_i_really_really_mean_it: bool = False,
    yes_i_really_really_mean_it_not_faking: bool = False,
) -> Reply:
    """The name must be said twice, and the configuration allow it."""
    number = find_pool(service.osdmap, pool)
    if number is None:
        return said(f"pool '{pool}' does not exist")
    sure = yes_i_really_really_mean_it or yes_i_really_really_mean_it_not_faking
    if pool2 != pool or not sure:
        raise NotPermitted(
            f"WARNING: this will *PERMANENTLY DESTROY* all data stored in pool {pool}.  If you are"
            " *ABSOLUTELY CERTAIN* that is what you want, pass the pool name *twice*, followed by"
            " --yes-i-really-really-mean-it."
        )
    outs = remove_pool(service, number, fake=not yes_i_really_really_mean_it)
    return proposed(service, outs)


def remove_pool(service: OSDMapService, number: int, *, fake: bool) -> str:
    """Make the removal of a pool pending, with all that the map says of its PGs.

    `fake`: where the configuration wishes so, the pool is only renamed. Gives what to say. Raises
    Busy, NotPermitted; Retry where what is pending for the pool forbids it.
    """
    osdmap, pending = service.osdmap, service.pending
    outs = _check_removable(service, number, osdmap.pools[number])
    changing = pending.new_pools.get(number)
    if changing is not None:
        try:
            outs += _check_removable(service, number, changing)
        except (Busy, NotPermitted):
            raise Retry from None
    if number in pending.old_pools:
        return outs
    if fake and service.monitor.config.get_bool("mon_fake_pool_delete"):
        name = osdmap.pool_name.get(number, "")
        pending.new_pool_names[number] = f"{name}.{number}.DELETED"
        return outs
    pending.old_pools.add(number)
    for pg in osdmap.pg_temp:
        if pg.pool == number:
            pending.new_pg_temp[pg] = []
    for pg in osdmap.primary_temp:
        if pg.pool == number:
            pending.new_primary_temp[pg] = -1
    pending.old_pg_upmap.update(pg for pg in osdmap.pg_upmap if pg.pool == number)
    pending.old_pg_upmap_items.update(pg for pg in osdmap.pg_upmap_items if pg.pool == number)
    for pg in [pg for pg in pending.new_pg_upmap if pg.pool == number]:
        del pending.new_pg_upmap[pg]
    for pg in [pg for pg in pending.new_pg_upmap_items if pg.pool == number]:
        del pending.new_pg_upmap_items[pg]
    crush = service.pending_crush()
    if number in crush.choose_args:
        rm_choose_args(crush, number)
        service.set_pending_crush(crush)
    return outs


def _check_removable(service: OSDMapService, number: int, pool: PGPool) -> str:
    names = service.osdmap.pool_name
    name = names.get(number, "")
    if is_tier(pool):
        raise Busy(f"pool '{name}' is a tier of '{names.get(pool.tier_of, '')}'")
    if pool.tiers:
        tiers = " ".join(names.get(tier, "") for tier in sorted(pool.tiers))
        raise Busy(f"pool '{name}' has tiers {tiers}")
    if not service.monitor.config.get_bool("mon_allow_pool_delete"):
        raise NotPermitted(
            "pool deletion is disabled; you must first set the mon_allow_pool_delete config option"
            " to true before you can destroy a pool"
        )
    if pool.has_flag(PoolFlag.NODELETE):
        raise NotPermitted(
            "pool deletion is disabled; you must unset nodelete flag for the pool first"
        )
    return f"pool '{name}' removed"


# ----------------------------------------------------------------------------------------- quotas


@commands.add(
    "osd pool set-quota",
    pool=pool_name(),
    field=choices("max_objects", "max_bytes"),
    val=text(),
    perm="rw",
    help="bound a pool's objects or bytes; 0 takes the bound away",
)
def set_quota(service: OSDMapService, request: Request, pool: str, field: str, val: str) -> Reply:
    """Objects with decimal units, bytes with binary ones."""
    number, _ = find_committed(service, pool)
    try:
        value = parse_si(val, signed=False) if field == "max_objects" else parse_size(val)
    except BadValue as error:
        raise InvalidArgument(f"error parsing value '{val}': {error.message}") from None
    settings = service.pending_pool(number)
    if field == "max_objects":
        settings.quota_max_objects = value
    else:
        settings.quota_max_bytes = value
    # upstream prints it as a signed number
    shown = value - (1 << 64) if value >= 1 << 63 else value
    return proposed(service, f"set-quota {field} = {shown} for pool {pool}")


# ----------------------------------------------------------------------------------- applications

_ALL = "all"


def _application(service: OSDMapService, pool: str, *texts: tuple[str, str]) -> tuple[int, PGPool]:
    """The pool as it is pending; `all` is a word that keys and values must not be."""
    number, settings = find_committed(service, pool)
    for what, value in texts:
        if value == _ALL:
            raise InvalidArgument(f"{what} cannot be 'all'")
    return number, service.pending.new_pools.get(number, settings)


@commands.add(
    "osd pool application enable",
    pool=pool_name(),
    app=text(goodchars="[A-Za-z0-9-_.]"),
    yes_i_really_mean_it=flag(),
    perm="rw",
    help="say that an application uses a pool: cephfs, rbd, rgw or another",
)
def enable_application(
    service: OSDMapService,
    request: Request,
    pool: str,
    app: str,
    yes_i_really_mean_it: bool = False,
) -> Reply:
    """A second application is asked about."""
    number, settings = _application(service, pool)
    known = settings.application_metadata
    if not app:
        raise InvalidArgument("application name must be provided")
    if is_tier(settings):
        raise InvalidArgument("application must be enabled on base tier")
    if app not in known and known and not yes_i_really_mean_it:
        raise NotPermitted(
            f"Are you SURE? Pool '{pool}' already has an enabled application; pass"
            " --yes-i-really-mean-it to proceed anyway"
        )
    if app not in known and len(known) >= MAX_APPLICATIONS:
        raise InvalidArgument(
            f"too many enabled applications on pool '{pool}'; max {MAX_APPLICATIONS}"
        )
    if _length(app) > MAX_APPLICATION_LENGTH:
        raise InvalidArgument(
            f"application name '{app}' too long; max length {MAX_APPLICATION_LENGTH}"
        )
    service.pending_pool(number).application_metadata.setdefault(app, {})
    return proposed(service, f"enabled application '{app}' on pool '{pool}'")


def _length(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))


@commands.add(
    "osd pool application disable",
    pool=pool_name(),
    app=text(),
    yes_i_really_mean_it=flag(),
    perm="rw",
    help="say that an application uses a pool no longer",
)
def disable_application(
    service: OSDMapService,
    request: Request,
    pool: str,
    app: str,
    yes_i_really_mean_it: bool = False,
) -> Reply:
    """What was kept for it is lost."""
    number, settings = _application(service, pool)
    if not yes_i_really_mean_it:
        raise NotPermitted(
            "Are you SURE? Disabling an application within a pool might result in loss of"
            " application functionality; pass --yes-i-really-mean-it to proceed anyway"
        )
    if app not in settings.application_metadata:
        return said(f"application '{app}' is not enabled on pool '{pool}'")
    del service.pending_pool(number).application_metadata[app]
    return proposed(service, f"disable application '{app}' on pool '{pool}'")


@commands.add(
    "osd pool application set",
    pool=pool_name(),
    app=text(),
    key=text(goodchars="[A-Za-z0-9-_.]"),
    value=text(goodchars="[A-Za-z0-9-_.=]"),
    perm="rw",
    help="keep a value for an application of a pool",
)
def set_application(
    service: OSDMapService, request: Request, pool: str, app: str, key: str, value: str
) -> Reply:
    """The application must be enabled."""
    number, settings = _application(service, pool, ("key", key), ("value", value))
    if is_tier(settings):
        raise InvalidArgument("application metadata must be set on base tier")
    known = _keys(settings, pool, app)
    if not key:
        raise InvalidArgument("key must be provided")
    if key not in known and len(known) >= MAX_APPLICATION_KEYS:
        raise InvalidArgument(
            f"too many keys set for application '{app}' on pool '{pool}';"
            f" max {MAX_APPLICATION_KEYS}"
        )
    if _length(key) > MAX_APPLICATION_LENGTH:
        raise InvalidArgument(f"key '{app}' too long; max length {MAX_APPLICATION_LENGTH}")
    if _length(value) > MAX_APPLICATION_LENGTH:
        raise InvalidArgument(f"value '{value}' too long; max length {MAX_APPLICATION_LENGTH}")
    service.pending_pool(number).application_metadata[app][key] = value
    return proposed(service, f"set application '{app}' key '{key}' to '{value}' on pool '{pool}'")


def _keys(settings: PGPool, pool: str, app: str) -> dict[str, str]:
    found = settings.application_metadata.get(app)
    if found is None:
        raise NotFound(f"application '{app}' is not enabled on pool '{pool}'")
    return found


@commands.add(
    "osd pool application rm",
    pool=pool_name(),
    app=text(),
    key=text(),
    perm="rw",
    help="remove a value that is kept for an application of a pool",
)
def rm_application(
    service: OSDMapService, request: Request, pool: str, app: str, key: str
) -> Reply:
    """Whether there is one or not."""
    number, settings = _application(service, pool, ("key", key))
    if key not in _keys(settings, pool, app):
        return said(f"application '{app}' on pool '{pool}' does not have key '{key}'")
    del service.pending_pool(number).application_metadata[app][key]
    return proposed(service, f"removed application '{app}' key '{key}' on pool '{pool}'")
