"""An OSD as a client of other OSDs: reads objects that its own operations need
(copy-from), and passes on what concerns objects that stand for others.

An objecter of its own, over a messenger of its own, that follows the OSD's maps. Operations call
`submit`; `advance` tells of new maps. Upstream: `OSDService::objecter`, `ms_objecter`.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from spirula.client.objecter.objecter import Objecter, Outcome, flags_of
from spirula.client.objecter.target import Target
from spirula.errors import SpirulaError
from spirula.messages.osd_client import MOSDBackoff
from spirula.messages.osd_map import MOSDMap
from spirula.messages.osd_op import MOSDOpReply
from spirula.msgr.connection import Connection
from spirula.osd.state import OSD, subscribe_maps
from spirula.types.entity import EntityAddrVec, EntityType
from spirula.types.hobject import NOSNAP, HObject
from spirula.types.object_info import ObjectLocator
from spirula.types.osd_op import OSDOp, RequestFlag

if TYPE_CHECKING:
    from spirula.osd.ops.context import ReadDone, SentAs


class RemoteOps:
    """The objecter of one OSD, what it is lent, and the dispatcher of its messenger."""

    def __init__(self, osd: OSD) -> None:
        self.osd = osd
        self.loop: AbstractEventLoop = osd.ports.loop
        self.objecter = Objecter(self)

    def submit(
        self,
        target: HObject,
        ops: list[OSDOp],
        flags: int,
        done: ReadDone,
        sent_as: SentAs | None = None,
    ) -> Callable[[], None]:
        """Have an object's OSD carry out operations; returns what cancels that.

        With `sent_as.snapc` they count as changing the object, whatever their codes say.
        """
        writes = sent_as is not None and sent_as.snapc is not None
        where = Target(
            target.oid,
            ObjectLocator(target.pool, target.key, target.nspace),
            flags | flags_of(ops) | (RequestFlag.WRITE if writes else 0),
            NOSNAP if writes else target.snap,
        )

        def finish(outcome: Outcome) -> None:
            done(outcome.result, outcome.ops, outcome.version)

        snapc, mtime, reqid = sent_as or (None, None, None)
        request = self.objecter.submit(
            where,
            ops,
            finish,
            snapc=snapc,
            mtime=None if mtime is None else float(mtime),
            reqid=reqid,
        )
        return lambda: self.objecter.cancel(request)

    def follow(self) -> None:
        """The OSD has a new map."""
        osd, objecter = self.osd, self.objecter
        objecter.incarnation = osd.boot_epoch
        objecter.maps.skipped = osd.maps.epoch > objecter.maps.epoch + 1
        objecter.maps.use(osd.maps.current)
        objecter.map_changed()

    # ------------------------------------------------------------------- what the objecter is lent

    def wall(self) -> float:
        """Seconds since 1970."""
        return self.osd.ports.wall()

    def draw(self, count: int) -> int:
        """A number below `count`, at random."""
        return int.from_bytes(self.osd.ports.random_bytes(4), "little") % count

    def connect(self, osd: int, addrs: EntityAddrVec) -> Connection:
        """A session with an OSD, a new one if the last one broke."""
        del osd
        return self.osd.messengers.objecter.get_connection(EntityType.OSD, addrs)

    def want_map(self, start: int) -> None:
        """Ask for maps."""
        del start
        subscribe_maps(self.osd, self.osd.maps.newest + 1)

    def ask_newest_epoch(self, answer: Callable[[int], None]) -> None:
        """Ask the monitors for their newest epoch."""

        async def ask() -> None:
            newest, _ = await self.osd.monitors.get_version("osdmap")
            answer(newest)

        self.osd.spawn(ask())

    # --------------------------------------------------------------------------- from the messenger

    def ms_dispatch(self, connection: Connection, message: Any) -> None:
        """An answer, or what an OSD says beside answers."""
        if isinstance(message, MOSDOpReply):
            self.objecter.on_reply(connection, message)
        elif isinstance(message, MOSDBackoff):
            self.objecter.on_backoff(connection, message)
        elif isinstance(message, MOSDMap) and message.newest_map > self.osd.maps.newest:
            subscribe_maps(self.osd, self.osd.maps.newest + 1)

    def ms_handle_connect(self, connection: Connection) -> None:
        """A session is open."""

    def ms_handle_accept(self, connection: Connection) -> None:
        """Nobody connects to this messenger."""

    def ms_handle_reset(self, connection: Connection) -> None:
        """A session is over."""
        if not self.osd.is_stopping:
            self.objecter.on_reset(connection)

    def ms_handle_remote_reset(self, connection: Connection) -> None:
        """The OSD was restarted; the map will say so."""

    def ms_handle_refused(self, connection: Connection, error: SpirulaError) -> None:
        """The OSD is not there; the map will say so."""
