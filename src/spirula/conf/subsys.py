"""The log subsystems and their default levels (upstream src/common/subsys.h, 16.2).

Each has an option `debug_<name>` whose value `N/M` says: write entries of level N and lower to the
log, keep those of level M and lower in memory for a crash. `none` is the one without a name.
"""

from __future__ import annotations

import re

from spirula.conf.values import INT32_MAX, BadValue

SUBSYSTEMS: dict[str, tuple[int, int]] = {
    "none": (0, 5),
    "lockdep": (0, 1),
    "context": (0, 1),
    "crush": (1, 1),
    "mds": (1, 5),
    "mds_balancer": (1, 5),
    "mds_locker": (1, 5),
    "mds_log": (1, 5),
    "mds_log_expire": (1, 5),
    "mds_migrator": (1, 5),
    "buffer": (0, 1),
    "timer": (0, 1),
    "filer": (0, 1),
    "striper": (0, 1),
    "objecter": (0, 1),
    "rados": (0, 5),
    "rbd": (0, 5),
    "rbd_mirror": (0, 5),
    "rbd_replay": (0, 5),
    "rbd_pwl": (0, 5),
    "journaler": (0, 5),
    "objectcacher": (0, 5),
    "immutable_obj_cache": (0, 5),
    "client": (0, 5),
    "osd": (1, 5),
    "optracker": (0, 5),
    "objclass": (0, 5),
    "filestore": (1, 3),
    "journal": (1, 3),
    "ms": (0, 0),
    "mon": (1, 5),
    "monc": (0, 10),
    "paxos": (1, 5),
    "tp": (0, 5),
    "auth": (1, 5),
    "crypto": (1, 5),
    "finisher": (1, 1),
    "reserver": (1, 1),
    "heartbeatmap": (1, 5),
    "perfcounter": (1, 5),
    "rgw": (1, 5),
    "rgw_sync": (1, 5),
    "civetweb": (1, 10),
    "javaclient": (1, 5),
    "asok": (1, 5),
    "throttle": (1, 1),
    "refs": (0, 0),
    "compressor": (1, 5),
    "bluestore": (1, 5),
    "bluefs": (1, 5),
    "bdev": (1, 3),
    "kstore": (1, 5),
    "rocksdb": (4, 5),
    "leveldb": (4, 5),
    "memdb": (4, 5),
    "fuse": (1, 5),
    "mgr": (2, 5),
    "mgrc": (1, 5),
    "dpdk": (1, 5),
    "eventtrace": (1, 5),
    "prioritycache": (1, 5),
    "test": (0, 5),
    "cephfs_mirror": (0, 5),
    "cephsqlite": (0, 5),
}
MAX_LEVEL = 99

_LEVELS = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+)(?:/[ \t\n\v\f\r]*([+-]?[0-9]+))?")


def parse_levels(text: str) -> tuple[int, int]:
    """The log and gather levels of `N` or `N/M`; what follows is ignored, as upstream does.

    Raises BadValue.
    """
    found = _LEVELS.match(text)
    if found is None:
        raise BadValue("value must take the form N or N/M, where N and M are integers")
    log = _bounded(found[1])
    gather = log if found[2] is None else _bounded(found[2])
    return log, gather


def _bounded(text: str) -> int:
    value = int(text) if len(text) < 12 else INT32_MAX
    if not 0 <= value <= MAX_LEVEL:
        raise BadValue(f"value must be in range [0, {MAX_LEVEL}]")
    return value


def normalize_levels(text: str) -> str:
    """`N` becomes `N/N`; a text with both is kept as it was written."""
    log, gather = parse_levels(text)
    found = _LEVELS.match(text)
    return text if found is not None and found[2] is not None else f"{log}/{gather}"
