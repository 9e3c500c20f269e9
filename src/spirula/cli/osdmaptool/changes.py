"""`spirula osdmaptool`: maps made anew, and changed before anything is asked about them.

Called by the command itself. Upstream: `src/tools/osdmaptool.cc`.
"""

from __future__ import annotations

import copy
import os
import re
import time
from pathlib import Path

from spirula.cli.osdmaptool.options import PROGRAM, Failure, Request, number
from spirula.conf.config import Config
from spirula.crush.lookup import item_weight
from spirula.crush.weights import adjust_item_weight, fixed
from spirula.crush.wire import CrushWrapper
from spirula.errors import CephError, NotFound, WireError
from spirula.maps.apply import apply_incremental, pending_incremental
from spirula.maps.osdmap import OSDMap
from spirula.maps.simple import (
    ROOT,
    Defaults,
    add_default_pool,
    build_simple,
    everywhere_local,
)
from spirula.maps.state import OSD_IN, OSDState
from spirula.printing import as_f32, general
from spirula.types.base import UTime
from spirula.types.pool import PoolFlag

_POOL_FLAGS = {
    "hashpspool": PoolFlag.HASHPSPOOL,
    "nodelete": PoolFlag.NODELETE,
    "nopgchange": PoolFlag.NOPGCHANGE,
    "nosizechange": PoolFlag.NOSIZECHANGE,
}


# ------------------------------------------------------------------------------------- making


def create(request: Request, config: Config) -> OSDMap:
    """A new map, of so many OSDs or of those that the configuration has sections for."""
    places = _places(request, config)
    defaults = _defaults(config)
    try:
        made = build_simple(places, UTime.at(time.time()), defaults=defaults)
        if request.with_pool:
            add_default_pool(made, request.pg_bits, request.pgp_bits, defaults)
    except CephError as error:
        raise Failure(f"{PROGRAM}: {error.message}") from error
    return made


def _places(request: Request, config: Config) -> dict[int, dict[str, str]]:
    if request.create_simple is not None:
        if request.create_simple < 1:
            raise Failure(f"{PROGRAM}: osd count must be > 0")
        most = 1 << 20
        if request.create_simple > most:
            raise Failure(f"{PROGRAM}: osd count must be <= {most}")
        return everywhere_local(request.create_simple)
    places = {}
    for section in config.file.section_names():
        if not re.fullmatch(r"osd\.\d{1,9}", section):
            continue
        found = {
            kind: config.file.lookup(["osd", section], kind) or ""
            for kind in ("host", "rack", "row", "room", "datacenter")
        }
        found["host"] = found["host"] or "unknownhost"
        found["rack"] = found["rack"] or "unknownrack"
        found["root"] = ROOT
        places[int(section[4:])] = {kind: name for kind, name in found.items() if name}
    return places


def _defaults(config: Config) -> Defaults:
    flags = config.get_int("osd_pool_default_flags")
    for name, flag in _POOL_FLAGS.items():
        if config.get_bool(f"osd_pool_default_flag_{name}"):
            flags |= flag
    words = config.get_str("osd_pool_default_erasure_code_profile").split()
    profile = dict(word.partition("=")[::2] for word in words)
    return Defaults(
        chooseleaf_type=config.get_int("osd_crush_chooseleaf_type"),
        size=config.get_int("osd_pool_default_size"),
        min_size=config.get_int("osd_pool_default_min_size"),
        flags=flags,
        autoscale_mode=config.get_str("osd_pool_default_pg_autoscale_mode"),
        erasure_code_profile=profile,
    )


# ----------------------------------------------------------------------------------- changing


def change(request: Request, osdmap: OSDMap) -> tuple[OSDMap, bool]:
    """The map with what was asked for changed, and whether it is to be written."""
    osdmap = copy.copy(osdmap)
    osdmap.osd_state = list(osdmap.osd_state)
    osdmap.osd_weight = list(osdmap.osd_weight)
    if request.mark_up_in:
        print("marking all OSDs up and in")
        for osd in range(osdmap.max_osd):
            osdmap.osd_state[osd] |= OSDState.UP
            _set_weight(osdmap, osd, OSD_IN)
            if not crush_weight(osdmap.crush, osd):
                adjust_item_weight(osdmap.crush, osd, OSD_IN)
    if 0 <= request.mark_out < osdmap.max_osd:
        print(f"marking OSD@{request.mark_out} as out")
        osdmap.osd_state[request.mark_out] |= OSDState.UP
        _set_weight(osdmap, request.mark_out, 0)
    if 0 <= request.mark_up < osdmap.max_osd:
        print(f"marking OSD@{request.mark_up} as up")
        osdmap.osd_state[request.mark_up] |= OSDState.UP
    if 0 <= request.mark_in < osdmap.max_osd:
        print(f"marking OSD@{request.mark_in} as in")
        _set_weight(osdmap, request.mark_in, OSD_IN)
    osdmap, modified = _adjust_crush_weights(request, osdmap)
    if request.clear_temp:
        print("clearing pg/primary temp")
        osdmap.pg_temp, osdmap.primary_temp = {}, {}
    if request.clean_temps:
        # as upstream: what would be cleaned belongs to the next epoch, not to this map
        print("cleaning pg temps")
    return osdmap, modified


def _set_weight(osdmap: OSDMap, osd: int, weight: int) -> None:
    """An OSD that has weight exists."""
    osdmap.osd_weight[osd] = weight
    if weight:
        osdmap.osd_state[osd] |= OSDState.EXISTS


def crush_weight(crush: CrushWrapper, osd: int) -> int:
    """The weight of an OSD in the hierarchy (16.16), -2 where it is not in it."""
    try:
        return item_weight(crush, osd)
    except NotFound:
        return -2


def _adjust_crush_weights(request: Request, osdmap: OSDMap) -> tuple[OSDMap, bool]:
    modified = False
    for word in filter(None, request.adjust_crush_weight.split(",")):
        osd, colon, text = word.partition(":")
        if not colon:
            raise Failure(f"{PROGRAM}: use ':' as separator of osd id and its weight", usage=True)
        try:
            weight = as_f32(float(text))
        except (ValueError, OverflowError) as error:
            raise Failure(f"{PROGRAM}: '{text}' is not a weight") from error
        try:
            adjust_item_weight(osdmap.crush, number(osd), fixed(weight))
        except NotFound:
            pass  # upstream does not look whether there was something to adjust
        except CephError as error:
            raise Failure(f"{PROGRAM}: {error.message}") from error
        print(f"Adjusted osd.{number(osd)} CRUSH weight to {general(weight)}")
        if request.save:
            osdmap = apply_incremental(osdmap, pending_incremental(osdmap))
            modified = True
    return osdmap, modified


# -------------------------------------------------------------------------------- CRUSH in, out


def import_crush(path: str, osdmap: OSDMap) -> OSDMap:
    """The map of the next epoch, with the CRUSH map in a file."""
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        reason = f"can't open {path}: ({error.errno}) {os.strerror(error.errno or 5)}"
        raise Failure(f"{PROGRAM}: error reading crush map from {path}: {reason}") from error
    try:
        crush = CrushWrapper.decode(raw)
    except WireError as error:
        raise Failure(f"{PROGRAM}: error decoding crush map from {path}: {error}") from error
    if crush.max_devices > osdmap.max_osd:
        raise Failure(
            f"{PROGRAM}: crushmap max_devices {crush.max_devices} > osdmap max_osd {osdmap.max_osd}"
        )
    inc = pending_incremental(osdmap)
    inc.crush = raw
    made = apply_incremental(osdmap, inc)
    print(f"{PROGRAM}: imported {len(raw)} byte crush map from {path}")
    return made


def export_crush(path: str, osdmap: OSDMap) -> None:
    """Writes the CRUSH map to a file."""
    try:
        Path(path).write_bytes(osdmap.crush.encode())
    except OSError as error:
        raise Failure(f"{PROGRAM}: error writing crush map to {path}") from error
    print(f"{PROGRAM}: exported crush map to {path}")
