"""A write under way: until every OSD of the PG has it on disk, and its client is answered.

The PG keeps them in order in `PG.repops`. Upstream: `src/osd/PrimaryLogPG.h` (RepGather).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from spirula.types.base import EVersion

if TYPE_CHECKING:
    from spirula.messages.osd_op import MOSDOp, MOSDOpReply
    from spirula.osd.ops.context import ObjectContext, OpContext
    from spirula.osd.pg.state import PG
    from spirula.types.hobject import HObject


class RepGather:
    """One write: what it is, whom it waits for, what follows.

    `waiting_for` are OSDs that do not have it on disk. `local_last_complete` is how far this OSD
    was complete before it. `locked` is the object whose lock goes back at the end.
    """

    __slots__ = (
        "aborted",
        "all_committed",
        "committed",
        "ctx",
        "local_last_complete",
        "locked",
        "pg",
        "reply",
        "request",
        "result",
        "soid",
        "then",
        "tid",
        "version",
        "waiting_for",
    )

    def __init__(
        self,
        pg: PG,
        tid: int,
        soid: HObject,
        version: EVersion,
        committed: Callable[[RepGather], None],
        *,
        ctx: OpContext | None = None,
        request: MOSDOp | None = None,
        reply: MOSDOpReply | None = None,
        locked: ObjectContext | None = None,
        then: Callable[[], None] | None = None,
        result: int = 0,
    ) -> None:
        self.pg = pg
        self.tid = tid
        self.soid = soid
        self.version = version
        self.committed = committed
        self.ctx = ctx
        self.request = request
        self.reply = reply
        self.locked = locked
        self.then = then
        self.result = result
        self.local_last_complete = pg.info.last_complete
        self.waiting_for: set[int] = set()
        self.all_committed = False
        self.aborted = False

    def on_local_commit(self, error: Exception | None) -> None:
        """The store of this OSD has it on disk, or never will."""
        pg = self.pg
        if error is not None:
            pg.shared.store_failed(error)
        elif not self.aborted:
            self.on_commit_of(pg.whoami.osd)

    def on_commit_of(self, osd: int) -> None:
        """An OSD has it on disk."""
        waiting = self.waiting_for
        waiting.discard(osd)
        if not waiting and not self.all_committed and not self.aborted:
            self.all_committed = True
            self.committed(self)
