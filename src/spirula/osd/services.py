"""What an OSD lends to its placement groups: time, chance, the store, maps, and ways to send.

One record per OSD, made by `osd.osd` and held by every PG, so that `pg` and `ops` know neither the
daemon nor the messenger. In simulation it is filled with simulated ports.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from spirula.conf.config import Config
from spirula.maps.mapping import PGMappings
from spirula.maps.osdmap import OSDMap
from spirula.messages.base import Message
from spirula.store.objectstore import ObjectStore
from spirula.types.log import LogLevel


class MapSource(Protocol):
    """The OSD's maps (`osd.maps`)."""

    @property
    def current(self) -> OSDMap:
        """The newest map that is stored and in force."""
        ...

    @property
    def oldest(self) -> int:
        """The oldest epoch that is still there."""
        ...

    @property
    def mappings(self) -> PGMappings:
        """Where PGs are by `current`."""
        ...

    def get(self, epoch: int) -> OSDMap:
        """The map of an epoch; NotFound where it was trimmed or has not come yet."""
        ...


def _drop(*_: object) -> None:
    """Says nothing to nobody."""


@dataclass(slots=True, eq=False)
class Services:
    """The OSD as its PGs see it.

    `loop` gives time (`time()`, seconds, monotonic) and timers; `wall` seconds since 1970;
    `random` unpredictable bytes. `send_osd(osd, message, epoch)` sends to an OSD that is up in
    the current map, or drops the message if it is not at the place it had in `epoch`;
    `send_mon` likewise. Clients are answered over `message.connection`. `clog(level, text)`
    writes to the cluster log, `log(level, text)` to the OSD's own. `want_up_thru(epoch)` has
    the monitors note us alive; `want_map(epoch)` asks for newer maps; `want_pg_temp(...)` see
    `osd.reports`.
    """

    whoami: int
    loop: AbstractEventLoop
    wall: Callable[[], float]
    random: Callable[[int], bytes]
    store: ObjectStore
    config: Config
    maps: MapSource
    send_osd: Callable[[int, Message, int], None] = _drop
    send_mon: Callable[[Message], None] = _drop
    log: Callable[[int, str], None] = _drop
    clog: Callable[[LogLevel, str], None] = _drop
    want_up_thru: Callable[[int], None] = _drop
    want_map: Callable[[int], None] = _drop
    up_epoch: int = 0
    """Since which epoch this OSD is up (0: it is not)."""
    boot_epoch: int = field(default=0)
    """The epoch in which this process was first up."""
