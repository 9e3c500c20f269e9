"""What the CRUSH commands share: is a map fit for this cluster, storing it, and upstream's texts.

Called by the other `crush` modules, by profiles, pools and tiers. Upstream:
`src/mon/OSDMonitor.cc` (check_cluster_features, validate_crush_against_features).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from spirula.commands.reply import Reply, Retry, committed
from spirula.crush.check import check_map
from spirula.crush.map import CrushMap
from spirula.crush.wire import CrushWrapper
from spirula.denc.features import has
from spirula.errors import CephError, InvalidArgument, NotSupported
from spirula.maps.apply import apply_incremental
from spirula.maps.features import map_features, min_compat_client
from spirula.maps.query import up_osds
from spirula.maps.state import Release
from spirula.mon.services.osdmap.arrays import map_some
from spirula.types.entity import EntityType

if TYPE_CHECKING:
    from spirula.mon.services.osdmap.service import OSDMapService

_TEST_INPUTS = 51


def error_text(errno: int) -> str:
    """An errno as upstream's cpp_strerror has it: `(22) Invalid argument`."""
    return f"({errno}) {os.strerror(errno)}"


@contextmanager
def unexplained() -> Iterator[None]:
    """For commands that upstream lets fail without a reason: only the errno's own text remains."""
    try:
        yield
    except CephError as error:
        raise CephError.from_errno(error.errno, error_text(error.errno)) from error


def osd_id(word: str) -> int:
    """The number in `osd.3` or `3`. InvalidArgument in upstream's words (parse_osd_id)."""
    digits = word.removeprefix("osd.")
    if not (digits.isascii() and digits.isdecimal()):
        raise InvalidArgument(f"Expected option value to be integer, got '{digits}'")
    if len(digits) > 9 or int(digits) > 0xFFFF:
        raise InvalidArgument(f"osd id {digits[:30]} is too large")
    return int(digits)


def location_of(words: Iterable[str]) -> dict[str, str]:
    """`root=default host=a` as a location. Upstream takes what stands before the first word that
    is no such pair, and nothing behind it.
    """
    location = {}
    for word in words:
        key, _, value = word.partition("=")
        if not value:
            break
        location[key] = value
    return location


def has_pending_crush(service: OSDMapService) -> bool:
    """Whether an edit of the CRUSH map is waiting to be committed."""
    return bool(service.pending.crush)


def store_crush(service: OSDMapService, crush: CrushWrapper, outs: str = "") -> Reply:
    """Make the edited map the pending one; the command is answered when that is committed."""
    service.set_pending_crush(crush)
    return proposed(service, outs)


def proposed(service: OSDMapService, outs: str = "") -> Reply:
    """What is pending shall be committed, and then this be answered."""
    service.propose()
    return committed(outs)


# --------------------------------------------------------------------------------------- features


def check_cluster_features(service: OSDMapService, features: int) -> None:
    """Raise NotSupported unless all monitors and all OSDs that are up have these features.

    Raises Retry where an OSD that is just booting lacks one.
    """
    joined = service.monitor.joined
    lacking = []
    if not has(joined.quorum_features if joined else 0, features):
        lacking.append("the monitor cluster")
    lacking += [
        f"osd.{osd}"
        for osd in up_osds(service.osdmap)
        if not has(service.osdmap.osd_xinfo[osd].features, features)
    ]
    if lacking:
        raise NotSupported(f"features {features} unsupported by: {', '.join(lacking)}")
    if not all(has(info.features, features) for info in service.pending.new_xinfo.values()):
        raise Retry


def validate_crush(service: OSDMapService, crush: CrushWrapper) -> None:
    """Raise InvalidArgument where clients, monitors or OSDs would not understand this map."""
    pending = service.pending
    before = pending.crush
    pending.crush = crush.encode()
    try:
        after = apply_incremental(service.osdmap, pending)
    finally:
        pending.crush = before
    required = after.require_min_compat_client
    needed = min_compat_client(after)
    if required != Release.UNKNOWN and needed > required:
        raise InvalidArgument(
            f"new crush map requires client version {Release.name_of(needed)} but"
            f" require_min_compat_client is {Release.name_of(required)}"
        )
    features = (
        map_features(after, EntityType.MON).features | map_features(after, EntityType.OSD).features
    )
    try:
        check_cluster_features(service, features)
    except NotSupported as error:
        raise InvalidArgument(f"Could not change CRUSH: {error.message}") from None


def smoke_test(crush: CrushMap) -> None:
    """Map some inputs by each rule, so that a map that cannot be used is not committed.

    Raises what `check_map` raises.
    """
    check_map(crush)
    map_some(crush, _TEST_INPUTS)
