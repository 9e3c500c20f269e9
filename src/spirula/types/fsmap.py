"""The map of file systems, without any: there are no metadata servers yet.

Monitors keep it; clients and managers subscribe to it and wait until they have it. Formats:
upstream `src/mds/FSMap.cc`, `FSMapUser.h`.
"""

from __future__ import annotations

from spirula.denc import Struct, Vec, boolean, default, s32, s64, string, struct, u32
from spirula.types.mon import CompatSet

_NO_FILE_SYSTEM = -1
INCOMPAT = {
    1: "base v0.20",
    2: "client writeable ranges",
    3: "default file layouts on dirs",
    4: "dir inode in separate object",
    5: "mds uses versioned encoding",
    6: "dirfrag is stored in omap",
    8: "no anchor table",
    9: "file layout v2",
    10: "snaprealm v2",
}
"""What a metadata server of 16.2 must know of to join a file system."""


@struct(version=7, compat=6, name="EmptyFSMap")
class EmptyFSMap(Struct):
    """A map of no file systems and no metadata servers (upstream FSMap).

    The three counts are those of file systems, of roles and standbys, and of their epochs; more
    than 0 would be followed by as many elements.
    """

    epoch: u32
    next_filesystem_id: s64 = default(1)
    legacy_client_fscid: s32 = default(_NO_FILE_SYSTEM)
    compat: CompatSet
    enable_multiple: boolean = default(True)
    filesystems: u32
    mds_roles: u32
    standby_daemons: u32
    standby_epochs: u32
    ever_enabled_multiple: boolean = default(True)


@struct(version=1, compat=1, name="FSMapUser::fs_info_t")
class FSInfo(Struct):
    """Number and name of a file system."""

    cid: s32
    name: string


@struct(version=1, compat=1, name="FSMapUser")
class FSMapUser(Struct):
    """What clients need to know of file systems."""

    epoch: u32
    legacy_client_fscid: s32 = default(_NO_FILE_SYSTEM)
    filesystems: Vec[FSInfo]


def document(fsmap: EmptyFSMap) -> dict[str, object]:
    """What `ceph report` shows, and modules of the manager see."""
    compat = fsmap.compat
    sets = {
        "compat": compat.compat,
        "ro_compat": compat.ro_compat,
        "incompat": compat.incompat,
    }
    return {
        "epoch": fsmap.epoch,
        "default_fscid": fsmap.legacy_client_fscid,
        "compat": {
            kind: {f"feature_{n}": name for n, name in sorted(one.names.items())}
            for kind, one in sets.items()
        },
        "feature_flags": {
            "enable_multiple": fsmap.enable_multiple,
            "ever_enabled_multiple": fsmap.ever_enabled_multiple,
        },
        "standbys": [],
        "filesystems": [],
    }
