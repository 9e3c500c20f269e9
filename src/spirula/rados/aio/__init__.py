"""The asyncio API to a cluster's objects.

    async with connect("ceph.conf") as cluster, cluster.ioctx("pool") as ioctx:
        await ioctx.write_full("name", b"content")

Programs that block instead use `spirula.rados`, which is a face of this.
"""

from __future__ import annotations

from spirula.client.mon_client import Reply
from spirula.client.striper import Layout
from spirula.rados.aio.cluster import MONITOR_LEVELS, Cluster, Opening, connect
from spirula.rados.aio.ioctx import Ioctx
from spirula.rados.aio.listing import Cursor, ListedObject
from spirula.rados.aio.pools import PoolSnap
from spirula.rados.aio.striper import Striper
from spirula.rados.aio.watch import Notification, NotifyOutcome, Watch
from spirula.rados.ops import ObjectStat, OmapKeysPage, OmapPage, ReadOp, Step, WriteOp

__all__ = [
    "MONITOR_LEVELS",
    "Cluster",
    "Cursor",
    "Ioctx",
    "Layout",
    "ListedObject",
    "Notification",
    "NotifyOutcome",
    "ObjectStat",
    "OmapKeysPage",
    "OmapPage",
    "Opening",
    "PoolSnap",
    "ReadOp",
    "Reply",
    "Step",
    "Striper",
    "Watch",
    "WriteOp",
    "connect",
]
