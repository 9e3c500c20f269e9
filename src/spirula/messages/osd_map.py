"""OSD maps on their way to whoever subscribed: encoded, because not everybody wants to decode them.

Format: upstream `src/messages/MOSDMap.h`. What the maps mean: `spirula.maps.osdmap`.
"""

from __future__ import annotations

from spirula.denc import Map, blob, s64, since, u32, uuid_d
from spirula.denc.features import OSDENC, PGID64, PGPOOL3
from spirula.messages.base import Message, message
from spirula.types.interval_set import IntervalSet


@message(
    41,
    version=1,
    compat=1,
    by_feature=((PGID64 | PGPOOL3 | OSDENC, 4, 3), (PGID64 | PGPOOL3, 2, 2)),
)
class MOSDMap(Message):
    """Full maps and incrementals by epoch; the sender has all from `oldest_map` to `newest_map`."""

    fsid: uuid_d
    incremental_maps: Map[u32, blob]
    maps: Map[u32, blob]
    oldest_map: u32 = since(2)
    newest_map: u32 = since(2)
    gap_removed_snaps: Map[s64, IntervalSet] = since(4)
