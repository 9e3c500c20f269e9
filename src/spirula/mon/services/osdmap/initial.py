"""The first OSD map of a cluster: no OSDs, no pools, one root and one rule to place data by.

Called by the service at the first leader ever. Upstream: `OSDMonitor::create_initial`,
`OSDMap::build_simple`.
"""

from __future__ import annotations

import json

from spirula.conf.config import Config
from spirula.errors import InvalidArgument
from spirula.maps.osdmap import OSDMap
from spirula.maps.simple import Defaults, build_simple
from spirula.maps.state import OSDMapFlag, Release
from spirula.types.base import UTime

_FLAGS = OSDMapFlag.RECOVERY_DELETES | OSDMapFlag.PURGED_SNAPDIRS | OSDMapFlag.PGLOG_HARDLIMIT


def initial_map(config: Config, fsid: bytes, now: UTime, given: bytes | None) -> OSDMap:
    """The map of epoch 1, with the release, the ratios and the flags of new clusters.

    `given` is an encoded map that the store was made with; without it the map is an empty one.
    Raises WireError for one that cannot be read, InvalidArgument for options without sense.
    """
    osdmap = OSDMap.decode(given) if given else _empty(config, now)
    osdmap.fsid = fsid
    osdmap.epoch = 1
    osdmap.created = osdmap.modified = now
    osdmap.flags = int(osdmap.flags | _FLAGS | OSDMapFlag.SORTBITWISE)
    osdmap.full_ratio = ratio(config, "mon_osd_full_ratio")
    osdmap.backfillfull_ratio = ratio(config, "mon_osd_backfillfull_ratio")
    osdmap.nearfull_ratio = ratio(config, "mon_osd_nearfull_ratio")
    osdmap.require_osd_release = _first_release(config)
    if osdmap.require_osd_release >= Release.OCTOPUS:
        osdmap.require_min_compat_client = release_number(
            config.get_str("mon_osd_initial_require_min_compat_client")
        )
    return osdmap


def ratio(config: Config, name: str) -> float:
    """A share of space; what is more than 1 is meant as per cent."""
    value = config.get_float(name)
    return value / 100 if value > 1.0 else value


def release_number(name: str) -> Release:
    """The release with that name. Raises InvalidArgument."""
    found = Release.__members__.get(name.upper())
    if not found:
        raise InvalidArgument(f"{name} is not the name of a release")
    return found


def _first_release(config: Config) -> Release:
    if not config.get_bool("mon_debug_no_require_pacific"):
        return Release.PACIFIC
    if not config.get_bool("mon_debug_no_require_octopus"):
        return Release.OCTOPUS
    return Release.NAUTILUS


def _empty(config: Config, now: UTime) -> OSDMap:
    """No OSDs and no pools; a root, and the rule that puts replicas on several hosts."""
    defaults = Defaults(
        chooseleaf_type=config.get_int("osd_crush_chooseleaf_type"),
        erasure_code_profile=parse_profile(config.get_str("osd_pool_default_erasure_code_profile")),
    )
    made = build_simple({}, now, defaults=defaults)
    made.crush_version = 1
    return made


def parse_profile(text: str) -> dict[str, str]:
    """A profile as an option gives it: a JSON object, or words `key=value`."""
    if text.lstrip().startswith("{"):
        try:
            given = json.loads(text)
        except ValueError as error:
            raise InvalidArgument(f"failed to parse json: '{text}': {error}") from None
        return {str(key): str(value) for key, value in given.items()}
    pairs = (word.partition("=") for word in text.split())
    return {key: value for key, _, value in pairs}
