"""What OSDs tell of themselves when they boot: version, host, devices; kept beside the map.

Upstream: `src/mon/OSDMonitor.cc` (load_metadata, count_metadata, get_versions, print_nodes).
"""

from __future__ import annotations

from collections import Counter

from spirula.denc import Map, Struct, string, struct
from spirula.errors import InputOutput, NotFound, WireError
from spirula.maps.osdmap import OSDMap
from spirula.maps.query import up_osds
from spirula.store.keyvalue import KeyValueStore

PREFIX = "osd_metadata"


@struct
class Metadata(Struct):
    """An OSD's metadata as it is stored."""

    values: Map[string, string]


def load(store: KeyValueStore, osd: int) -> dict[str, str]:
    """An OSD's metadata. NotFound if it never booted, InputOutput if it cannot be read."""
    encoded = store.get(PREFIX, str(osd))
    if encoded is None:
        raise NotFound
    try:
        values: dict[str, str] = Metadata.decode(encoded).values
    except WireError:
        raise InputOutput(f"osd.{osd} metadata is corrupt") from None
    return dict(sorted(values.items()))


def known(store: KeyValueStore, osd: int) -> dict[str, str]:
    """An OSD's metadata, empty if there is none that can be read."""
    try:
        return load(store, osd)
    except (NotFound, InputOutput):
        return {}


def count(store: KeyValueStore, osdmap: OSDMap, name: str) -> dict[str, int]:
    """How many OSDs that are up have which value of a field; `unknown` for those without it."""
    found = Counter(known(store, osd).get(name, "unknown") for osd in up_osds(osdmap))
    return dict(sorted(found.items()))


def by_version(store: KeyValueStore, osdmap: OSDMap) -> dict[str, list[str]]:
    """The names of the OSDs that are up by their version (`16.2.15`)."""
    found: dict[str, list[str]] = {}
    for osd in up_osds(osdmap):
        version = known(store, osd).get("ceph_version_short")
        if version is not None:
            found.setdefault(version, []).append(f"osd.{osd}")
    return found


def by_host(store: KeyValueStore, osdmap: OSDMap) -> dict[str, list[int]]:
    """The OSDs by the host that they last ran on."""
    found: dict[str, list[int]] = {}
    for osd in range(osdmap.max_osd):
        host = known(store, osd).get("hostname")
        if host is not None:
            found.setdefault(host, []).append(osd)
    return dict(sorted(found.items()))
