"""Where OSDs are in the CRUSH hierarchy, for texts; nowhere is a place as well."""

from __future__ import annotations

from spirula.crush.lookup import full_location
from spirula.crush.map import CrushMap
from spirula.errors import NotFound


def location(crush: CrushMap, item: int) -> dict[str, str]:
    """The names of the buckets around an item by their types, the smallest first; empty where the
    map does not have it.
    """
    try:
        return dict(full_location(crush, item))
    except NotFound:
        return {}


def location_text(crush: CrushMap, item: int) -> str:
    """`root=default,host=a`, the largest bucket first."""
    return ",".join(f"{kind}={name}" for kind, name in reversed(location(crush, item).items()))
