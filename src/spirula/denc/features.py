"""Feature bits that peers announce, and the sets that belong to each release.

A peer's features decide how values are encoded for it. Some bits were retired and given out again,
so a feature is a *mask*: the bit itself and the bits of the incarnation that tells the second or
third owner from the first. `has(features, MASK)` is the only right question to ask. Bits and their
incarnations follow upstream `src/include/ceph_features.h`.
"""

from __future__ import annotations

_SECOND = 1 << 57  # set by every release from Jewel on: bits that came after it
_THIRD = _SECOND | 1 << 28  # likewise from Mimic on


def has(features: int, mask: int) -> bool:
    """True when every bit of the feature's mask is set in `features`."""
    return features & mask == mask


UID = 1 << 0
NOSRCADDR = 1 << 1
SERVER_NAUTILUS = 1 << 2 | _THIRD
FLOCK = 1 << 3
SUBSCRIBE2 = 1 << 4
MONNAMES = 1 << 5
RECONNECT_SEQ = 1 << 6
DIRLAYOUTHASH = 1 << 7
OBJECTLOCATOR = 1 << 8
PGID64 = 1 << 9
INCSUBOSDMAP = 1 << 10
PGPOOL3 = 1 << 11
OSDREPLYMUX = 1 << 12
OSDENC = 1 << 13
SERVER_KRAKEN = 1 << 14 | _SECOND
MONENC = 1 << 15
SERVER_OCTOPUS = 1 << 16 | _THIRD
OSD_REPOP_MLCOD = SERVER_OCTOPUS
OS_PERF_STAT_NS = 1 << 17 | _THIRD
CRUSH_TUNABLES = 1 << 18
OSD_PGLOG_HARDLIMIT = 1 << 19 | _SECOND
SERVER_PACIFIC = 1 << 20 | _THIRD
SERVER_LUMINOUS = 1 << 21 | _SECOND
RESEND_ON_SPLIT = SERVER_LUMINOUS
RADOS_BACKOFF = SERVER_LUMINOUS
OSDMAP_PG_UPMAP = SERVER_LUMINOUS
CRUSH_CHOOSE_ARGS = SERVER_LUMINOUS
OSD_FIXED_COLLECTION_LIST = 1 << 22 | _SECOND
MSG_AUTH = 1 << 23
RECOVERY_RESERVATION_2 = 1 << 24 | _SECOND
CRUSH_TUNABLES2 = 1 << 25
CREATEPOOLID = 1 << 26
REPLY_CREATE_INODE = 1 << 27
SERVER_MIMIC = 1 << 28 | _SECOND
MDSENC = 1 << 29
OSDHASHPSPOOL = 1 << 30
STRETCH_MODE = 1 << 32 | _THIRD
SERVER_QUINCY = 1 << 33 | _THIRD
RANGE_BLOCKLIST = 1 << 34 | _THIRD
OSD_CACHEPOOL = 1 << 35
CRUSH_V2 = 1 << 36
EXPORT_PEER = 1 << 37
CRUSH_MSR = 1 << 38 | _SECOND
OSDMAP_ENC = 1 << 39
MDS_INLINE_DATA = 1 << 40
CRUSH_TUNABLES3 = 1 << 41
OSD_PRIMARY_AFFINITY = CRUSH_TUNABLES3
MSGR_KEEPALIVE2 = 1 << 42
OSD_POOLRESEND = 1 << 43
OSD_FADVISE_FLAGS = 1 << 46
MDS_QUOTA = 1 << 47
CRUSH_V4 = 1 << 48
NEW_OSDOP_ENCODING = 1 << 56
SERVER_JEWEL = 1 << 57
MON_STATEFUL_SUB = SERVER_JEWEL
CRUSH_TUNABLES5 = 1 << 58
NEW_OSDOPREPLY_ENCODING = CRUSH_TUNABLES5
FS_FILE_LAYOUT_V2 = CRUSH_TUNABLES5
MSG_ADDR2 = 1 << 59
FS_BTIME = MSG_ADDR2
FS_CHANGE_ATTR = MSG_ADDR2
OSD_RECOVERY_DELETES = 1 << 60
CEPHX_V2 = 1 << 61

PACIFIC = 0x3F01CFBDFFFDFFFF
"""All that a 16.2 daemon or client announces (as `ceph features` prints it)."""

QUINCY = PACIFIC | SERVER_QUINCY

# What the features of each release first had, as far as releases can be told apart by them.
_RELEASES = (
    ("argonaut", CRUSH_TUNABLES),
    ("dumpling", CRUSH_TUNABLES2 | OSDHASHPSPOOL),
    ("firefly", CRUSH_TUNABLES3 | OSD_CACHEPOOL),
    ("hammer", CRUSH_V4),
    ("jewel", CRUSH_TUNABLES5),
    ("kraken", MSG_ADDR2),
    ("luminous", CRUSH_CHOOSE_ARGS),
)


def release_of(features: int) -> str:
    """The first release that has all these features; newer ones than luminous look the same.

    Follows upstream `src/common/ceph_strings.cc` (ceph_release_from_features).
    """
    found = "unknown"
    for name, mask in _RELEASES:
        if not has(features, mask):
            break
        found = name
    return found
