"""What an OSD map remembers of each OSD: when it was up and clean, how it lags, what it can.

Formats: upstream `src/osd/OSDMap.h` (osd_info_t, osd_xinfo_t).
"""

from __future__ import annotations

from spirula.denc import Struct, since, struct, u32, u64
from spirula.denc.features import SERVER_OCTOPUS
from spirula.types.base import UTime


@struct(version=1, bare_version="B", name="osd_info_t")
class OsdInfo(Struct):
    """When an OSD was up: all epochs. [last_clean_begin, last_clean_end) is its last clean
    interval.
    """

    last_clean_begin: u32
    last_clean_end: u32
    up_from: u32
    up_thru: u32
    down_at: u32
    lost_at: u32


@struct(version=3, compat=1, by_feature=((SERVER_OCTOPUS, 4, 1),), name="osd_xinfo_t")
class OsdXInfo(Struct):
    """More about an OSD: when it went down, how it lags, what it can.

    `laggy_probability` is a fraction of 2**32 - 1; `laggy_interval` is seconds.
    """

    down_stamp: UTime
    laggy_probability: u32
    laggy_interval: u32
    features: u64 = since(2)
    old_weight: u32 = since(3)
    last_purged_snaps_scrub: UTime = since(4)
    dead_epoch: u32 = since(4)
