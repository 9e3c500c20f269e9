"""What disks have told of their health, kept in a pool: an object per device, an entry per time.

Entries are documents of `smartctl --json`, by their time (`20260131-235959`, UTC). Format: upstream
`src/pybind/mgr/devicehealth/module.py`, whose samples are read as ours are.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from spirula.rados import ObjectNotFound, ReadOpCtx, WriteOpCtx

if TYPE_CHECKING:
    from spirula.rados import Ioctx

Document = dict[str, Any]
_AT_ONCE = 500
"""How many samples of a device are read, as by upstream's module."""
TIME_FORMAT = "%Y%m%d-%H%M%S"


def key_at(now: float) -> str:
    """The key of a time in seconds since 1970."""
    return datetime.fromtimestamp(now, UTC).strftime(TIME_FORMAT)


def time_of(key: str) -> float | None:
    """The time of a key; None for what is none."""
    try:
        return datetime.strptime(key, TIME_FORMAT).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def put(ioctx: Ioctx, devid: str, sample: Document, now: float, retention_s: float) -> None:
    """Keeps a sample and forgets those that are too old. Raises rados.Error."""
    oldest = key_at(now - retention_s)
    old = [key for key in _read(ioctx, devid) if key < oldest]
    with WriteOpCtx() as op:
        ioctx.set_omap(op, (key_at(now),), (json.dumps(sample).encode(),))
        if old:
            ioctx.remove_omap_keys(op, tuple(old))
        ioctx.operate_write_op(op, devid)


def get(ioctx: Ioctx, devid: str, sample: str = "", since: str = "") -> dict[str, Document]:
    """A device's samples by time: all, the one of a time, or those after one. rados.Error."""
    found = {}
    for key, value in _read(ioctx, devid, sample, since).items():
        try:
            found[key] = json.loads(value)
        except ValueError:
            continue
    return found


def _read(ioctx: Ioctx, devid: str, prefix: str = "", after: str = "") -> dict[str, bytes]:
    with ReadOpCtx() as op:
        entries, _ = ioctx.get_omap_vals(op, after, prefix, _AT_ONCE)
        try:
            ioctx.operate_read_op(op, devid)
        except ObjectNotFound:
            return {}
        return {key: value or b"" for key, value in entries}


def wear_level(sample: Document) -> float | None:
    """How worn a disk is, from 0 to 1 (1: as much as it was made for); None if it does not say."""
    for page in sample.get("ata_device_statistics", {}).get("pages", []):
        if page and page.get("number") == 7:
            for item in page.get("table", []):
                if item.get("offset") == 8:
                    return float(item["value"]) / 100
    used = sample.get("nvme_smart_health_information_log", {}).get("percentage_used")
    return None if used is None else float(used) / 100
