"""The feature bits that maps are encoded for: those that a map's release allows, or fewer.

Two peers whose features agree in `SIGNIFICANT` get the same bytes, which is why encodings are kept
by them. Upstream: `src/osd/OSDMap.{h,cc}` (SIGNIFICANT_FEATURES, get_encoding_features).
"""

from __future__ import annotations

from spirula.crush.wire import CrushWrapper
from spirula.denc.features import (
    CRUSH_CHOOSE_ARGS,
    CRUSH_TUNABLES5,
    MSG_ADDR2,
    NEW_OSDOP_ENCODING,
    OSD_POOLRESEND,
    OSDENC,
    OSDMAP_ENC,
    PGID64,
    PGPOOL3,
    SERVER_JEWEL,
    SERVER_KRAKEN,
    SERVER_LUMINOUS,
    SERVER_MIMIC,
    SERVER_NAUTILUS,
    SERVER_OCTOPUS,
)
from spirula.maps.osdmap import Incremental, OSDMap
from spirula.maps.state import Release

RESERVED = 1 << 62
"""A bit that upstream sets beside the features that a map is encoded for."""
SIGNIFICANT = (
    PGID64
    | PGPOOL3
    | OSDENC
    | OSDMAP_ENC
    | OSD_POOLRESEND
    | NEW_OSDOP_ENCODING
    | MSG_ADDR2
    | CRUSH_TUNABLES5
    | CRUSH_CHOOSE_ARGS
    | SERVER_LUMINOUS
    | SERVER_MIMIC
    | SERVER_NAUTILUS
    | SERVER_OCTOPUS
)
"""The features on which the bytes of a map depend."""

# From which release on OSDs can be expected to have these.
_BY_RELEASE = (
    (Release.OCTOPUS, SERVER_OCTOPUS & ~SERVER_MIMIC),
    (Release.NAUTILUS, SERVER_NAUTILUS & ~SERVER_MIMIC),
    (Release.MIMIC, SERVER_MIMIC & ~SERVER_JEWEL),
    (Release.LUMINOUS, SERVER_LUMINOUS & ~SERVER_JEWEL),
    (Release.KRAKEN, (SERVER_KRAKEN & ~SERVER_JEWEL) | MSG_ADDR2),
    (Release.JEWEL, SERVER_JEWEL | NEW_OSDOP_ENCODING | CRUSH_TUNABLES5),
)


def encoding_features(osdmap: OSDMap) -> int:
    """The features that the map and the incremental that leads to it are encoded for."""
    features = SIGNIFICANT
    for release, bits in _BY_RELEASE:
        if osdmap.require_osd_release < release:
            features &= ~bits
    return features


def reencode_incremental(encoded: bytes, features: int) -> bytes:
    """An incremental as a peer with fewer features wants it. Raises WireError."""
    inc = Incremental.decode(encoded)
    features &= inc.encode_features
    inc.encode_features = features
    if inc.fullmap:
        inc.fullmap = OSDMap.decode(inc.fullmap).encode(features | RESERVED)
    if inc.crush:
        inc.crush = CrushWrapper.decode(inc.crush).encode(features)
    return inc.encode(features | RESERVED)


def reencode_full(encoded: bytes, features: int) -> bytes:
    """A full map as a peer with fewer features wants it. Raises WireError."""
    osdmap = OSDMap.decode(encoded)
    return osdmap.encode(features & encoding_features(osdmap) | RESERVED)
