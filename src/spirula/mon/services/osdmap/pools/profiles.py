"""Erasure-code profiles: commands, and what a profile in the map says.

A profile is checked and completed with the defaults of its plugin before it is stored. Upstream:
`src/mon/OSDMonitor.cc` (parse_erasure_code_profile, normalize_profile, get_erasure_code).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from spirula.commands.arguments import flag, text
from spirula.commands.reply import Reply, Retry, said
from spirula.commands.table import Commands
from spirula.conf.values import BadValue, parse_size
from spirula.crush.lookup import type_id
from spirula.ec.profile import ErasureCode, Profile, show_profile
from spirula.ec.registry import erasure_code
from spirula.errors import Busy, InvalidArgument, NotFound, NotPermitted
from spirula.mon.services.osdmap.crush.checks import proposed
from spirula.mon.services.osdmap.initial import parse_profile
from spirula.printing import Items
from spirula.types.pool import PGPool

if TYPE_CHECKING:
    from spirula.mon.request import Request
    from spirula.mon.services.osdmap.service import OSDMapService

commands = Commands("osd")

_NAME = text(goodchars="[A-Za-z0-9-_.]")
_OLD_PREFIX = "ruleset-"
_PAGE = 4096
_UNSIGNED = 0xFFFFFFFF


# ------------------------------------------------------------------------------ what profiles say


def code_of_profile(service: OSDMapService, name: str) -> ErasureCode:
    """The code of a committed profile.

    Raises Retry while it is pending, and what `erasure_code` raises; InvalidArgument if there is
    no such profile.
    """
    if name in service.pending.new_erasure_code_profiles:
        raise Retry
    return erasure_code(service.osdmap.erasure_code_profiles.get(name, {}))


def default_profile(service: OSDMapService) -> Profile:
    """The profile that the configuration gives."""
    return parse_profile(service.monitor.config.get_str("osd_pool_default_erasure_code_profile"))


def add_default_profile(service: OSDMapService, *, normalise: bool) -> None:
    """Make the profile `default` pending, unless it is already."""
    pending = service.pending.new_erasure_code_profiles
    if "default" not in pending:
        profile = default_profile(service)
        pending["default"] = normalised(profile, force=True) if normalise else profile
        service.propose()


def stripe_unit(profile: Mapping[str, str], default: int) -> int:
    """Bytes of a stripe on each shard. InvalidArgument for what is no size."""
    given = profile.get("stripe_unit")
    if given is None:
        return default
    try:
        return parse_size(given) & _UNSIGNED
    except BadValue as error:
        text = f"could not parse stripe_unit '{given}': {error.message}"
        raise InvalidArgument(text) from None


def normalised(profile: Mapping[str, str], *, force: bool) -> Profile:
    """A profile with its plugin's defaults.

    Raises what `erasure_code` raises; InvalidArgument for a stripe unit that does not suit the
    code, or (without `force`) disks.
    """
    code = erasure_code(profile)
    if "stripe_unit" in profile:
        unit = stripe_unit(profile, 0)
        size = code.chunk_size(unit * code.data_chunks)
        if size != unit:
            raise InvalidArgument(
                f"stripe_unit {unit} does not match ec profile alignment. Would be padded to {size}"
            )
        if unit % _PAGE and not force:
            raise InvalidArgument(
                "stripe_unit should be a multiple of 4096 bytes for best performance."
                "use --force to override this check"
            )
    return dict(sorted(code.profile.items()))


def _parse(service: OSDMapService, words: Iterable[str]) -> Profile:
    """The words `key=value` of a command, over the default profile if it has the same plugin."""
    profile = default_profile(service)
    default_plugin = profile.get("plugin", "")
    given: Profile = {}
    for word in words:
        key, _, value = word.partition("=")
        if "=" in word and key.startswith(_OLD_PREFIX):
            raise InvalidArgument(
                f"property '{key}' is no longer supported; try"
                f" 'crush-{key.removeprefix(_OLD_PREFIX)}' instead"
            )
        given[key] = value
    other = given.get("plugin", default_plugin) != default_plugin
    return given if other else {**profile, **given}


# --------------------------------------------------------------------------------------- commands


@commands.add(
    "osd erasure-code-profile set",
    name=_NAME,
    profile=text(required=False, repeated=True),
    force=flag(),
    perm="rw",
    help="make an erasure-code profile of pairs key=value; --force replaces another (DANGEROUS)",
)
def set_profile(
    service: OSDMapService, request: Request, name: str, profile: list[str], force: bool = False
) -> Reply:
    """One that exists is replaced by force only, for pools may use it."""
    wanted = _parse(service, profile)
    domain = wanted.get("crush-failure-domain")
    if domain is not None and type_id(service.osdmap.crush, domain) is None:
        raise InvalidArgument(
            f"erasure-code-profile {show_profile(wanted)} contains an invalid failure-domain"
            f' "{domain}"'
        )
    if "plugin" not in wanted:
        text = f"erasure-code-profile {show_profile(wanted)} must contain a plugin entry"
        raise InvalidArgument(text)
    if name in service.pending.new_erasure_code_profiles:
        raise Retry
    wanted = normalised(wanted, force=force)
    known = service.osdmap.erasure_code_profiles.get(name)
    if known is not None:
        known = normalised(known, force=force)
        if known == wanted:
            return said()
        if not force:
            raise NotPermitted(
                f"will not override erasure code profile {name} because the existing profile"
                f" {show_profile(known)} is different from the proposed profile"
                f" {show_profile(wanted)}"
            )
    service.pending.new_erasure_code_profiles[name] = wanted
    return proposed(service)


@commands.add(
    "osd erasure-code-profile rm", name=_NAME, perm="rw", help="remove an erasure-code profile"
)
def remove_profile(service: OSDMapService, request: Request, name: str) -> Reply:
    """Not while a pool uses it."""
    osdmap, pending = service.osdmap, service.pending
    if _users(service, pending.new_pools, name):
        raise Retry
    users = _users(service, osdmap.pools, name)
    if users:
        pools = " ".join(users)
        raise Busy(f"{pools} pool(s) are using the erasure code profile '{name}'")
    if name in osdmap.erasure_code_profiles:
        pending.old_erasure_code_profiles.append(name)
    elif name in pending.new_erasure_code_profiles:
        del pending.new_erasure_code_profiles[name]
    else:
        return said(f"erasure-code-profile {name} does not exist")
    return proposed(service)


def _users(service: OSDMapService, pools: Mapping[int, PGPool], profile: str) -> list[str]:
    names = service.osdmap.pool_name
    return [
        names.get(number, "")
        for number, pool in sorted(pools.items())
        if pool.is_erasure and pool.erasure_code_profile == profile
    ]


@commands.add(
    "osd erasure-code-profile get", name=_NAME, perm="r", help="show an erasure-code profile"
)
def get_profile(service: OSDMapService, request: Request, name: str) -> Reply:
    """One pair a line."""
    profile = service.osdmap.erasure_code_profiles.get(name)
    if profile is None:
        raise NotFound(f"unknown erasure code profile '{name}'")
    profile = dict(sorted(profile.items()))
    if request.is_plain:
        return said(data="".join(f"{key}={value}\n" for key, value in profile.items()))
    return said(data=request.render(profile, "profile") + "\n")


@commands.add("osd erasure-code-profile ls", perm="r", help="list erasure-code profiles")
def list_profiles(service: OSDMapService, request: Request) -> Reply:
    """Their names."""
    names = Items("profile", sorted(service.osdmap.erasure_code_profiles))
    if request.is_plain:
        return said(data="".join(f"{name}\n" for name in names))
    return said(data=request.render(names, "erasure-code-profiles") + "\n")
