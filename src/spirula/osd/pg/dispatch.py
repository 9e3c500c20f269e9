"""Where messages for a PG come in: what is outdated is dropped, what is early waits.

The OSD finds the PG and calls `dispatch`; what a PG says that this OSD does not have is answered
by `create`. Upstream: `src/osd/PrimaryLogPG.cc` (do_request), `PG.cc` (old_peering_msg).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from spirula.errors import WireError
from spirula.messages.osd_client import MOSDBackoff
from spirula.messages.osd_op import MOSDOp
from spirula.messages.osd_peering import (
    MBackfillReserve,
    MOSDPGInfo,
    MOSDPGInfo2,
    MOSDPGLease,
    MOSDPGLeaseAck,
    MOSDPGLog,
    MOSDPGNotify,
    MOSDPGNotify2,
    MOSDPGQuery,
    MOSDPGQuery2,
    MRecoveryReserve,
)
from spirula.messages.osd_recovery import (
    MOSDPGBackfill,
    MOSDPGBackfillRemove,
    MOSDPGPull,
    MOSDPGPush,
    MOSDPGPushReply,
    MOSDPGRecoveryDelete,
    MOSDPGRecoveryDeleteReply,
    MOSDPGScan,
)
from spirula.messages.osd_replication import (
    MOSDPGUpdateLogMissing,
    MOSDPGUpdateLogMissingReply,
    MOSDRepOp,
    MOSDRepOpReply,
)
from spirula.messages.osd_scrub import MOSDRepScrub, MOSDRepScrubMap, MOSDScrubReserve
from spirula.osd.pg import admission, backoff, lease, pipeline
from spirula.osd.pg.peering import infos, machine, replica_slots
from spirula.osd.pg.peering.state import State
from spirula.osd.pg.peering.work import Work
from spirula.osd.scrub import machine as scrubs
from spirula.osd.scrub import replica as scrub_replica
from spirula.types.pg import PGShard, PGState, SPGId

if TYPE_CHECKING:
    from spirula.messages.base import Message
    from spirula.osd.pg.state import PG

_HELD_BACK = int(PGState.DOWN | PGState.INCOMPLETE)
_ACTIVE = int(PGState.ACTIVE)
_REPLIES = (MOSDRepOpReply, MOSDPGUpdateLogMissingReply, MOSDPGPull)
"""What is taken at any time: strays may have objects that nobody else has."""


def dispatch(pg: PG, message: Message) -> None:
    """Takes a message for the PG. Raises WireError for one that cannot be what it says."""
    handler = HANDLERS.get(message.TYPE)
    if handler is not None and not pg.deleted:
        handler(pg, message)


def _on_op(pg: PG, message: Message) -> None:
    """A client's request."""
    if not isinstance(message, MOSDOp):
        return
    session = message.connection.priv
    if session is None:
        return
    early = message.epoch > pg.osdmap.epoch or pg.waiting.for_map
    if early and _must_wait_for_map(pg, message, message.epoch):
        return
    if admission.is_outdated(pg, message, session):
        return
    if session.backoffs and pg.pgid in session.backoffs:
        first = pg.pgid.pgid.first_object()
        if backoff.find(session, pg, first) or backoff.find(session, pg, message.hobj.head()):
            return
    state = pg.state
    if not state & _ACTIVE:
        peered = bool(state & PGState.PEERED)
        held_back = state & _HELD_BACK or peered
        peers = pg.options.osd_backoff_on_peering and state & PGState.PEERING
        if held_back or peers:
            backoff.add_for_pg(pg, session)
        else:
            pg.waiting.for_peered.append(message)
        return
    pipeline.do_op(pg, message)


def _must_wait_for_map(pg: PG, message: Message, epoch: int) -> bool:
    """Whether the message is of a newer map, or behind one that is."""
    if epoch <= pg.osdmap.epoch and not pg.waiting.for_map:
        return False
    sender = message.connection.peer_name
    waiting = pg.waiting.for_map.get(sender)
    if waiting is None:
        if epoch <= pg.osdmap.epoch:
            return False
        waiting = pg.waiting.for_map[sender] = deque()
        pg.services.want_map(epoch)
    waiting.append(message)
    return True


def _on_backoff(pg: PG, message: Message) -> None:
    """A client says that it holds back."""
    if isinstance(message, MOSDBackoff) and message.connection.priv is not None:
        backoff.on_ack(pg, message.connection.priv, message)


def _on_backend(pg: PG, message: Message) -> None:
    """What backends of OSDs say to one another, in this interval."""
    epoch = message.map_epoch  # type: ignore[attr-defined]  # all of them have it
    early = epoch > pg.osdmap.epoch or pg.waiting.for_map
    if early and _must_wait_for_map(pg, message, epoch):
        return
    sender = message.connection.peer_name.num
    if epoch < pg.last_peering_reset or not infos.has_been_up_since(pg.osdmap, sender, epoch):
        return
    if not pg.peering.serving and not isinstance(message, _REPLIES):
        pg.waiting.for_peered.append(message)
        return
    try:
        pg.backend.on_message(message)
    except WireError as error:
        pg.services.log(0, f"{pg}: osd.{sender} sends what cannot be: {error}")
        message.connection.mark_down()
    except Exception as error:
        pg.shared.store_failed(error)  # without it the copy here would not be what others take
        raise


def _on_peering(pg: PG, message: Message) -> None:
    """What OSDs say to agree; of an earlier interval, it does not count."""
    sent, about = _epochs(message)
    if _must_wait_for_map(pg, message, sent):
        return
    if sent < pg.last_peering_reset or about < pg.last_peering_reset:
        return
    event, value = _event(message)
    work = Work(pg)
    if event == "lease":
        if isinstance(message, MOSDPGLease) and pg.peering.is_in(State.REPLICA_ACTIVE):
            lease.on_lease(pg, message.lease)
            lease.send_ack(pg)
    elif event == "lease_ack":
        if isinstance(message, MOSDPGLeaseAck) and pg.is_primary:
            lease.on_ack(pg, PGShard(message.connection.peer_name.num), message.lease_ack)
    else:
        machine.handle(pg, work, event, value)
        work.finish()


def _on_reserve(pg: PG, message: Message) -> None:
    """Primaries and replicas agree on slots for recovery and backfill."""
    if isinstance(message, MRecoveryReserve):
        epoch, (event, value) = message.query_epoch, replica_slots.recovery_event(message)
    elif isinstance(message, MBackfillReserve):
        epoch, (event, value) = message.query_epoch, replica_slots.backfill_event(message)
    else:
        return
    if not _must_wait_for_map(pg, message, epoch) and epoch >= pg.last_peering_reset:
        pg.post(event, value)


def _on_scrub(pg: PG, message: Message) -> None:
    """What OSDs say to one another for a scrub, in this interval."""
    epoch = message.map_epoch  # type: ignore[attr-defined]  # all of them have it
    if _must_wait_for_map(pg, message, epoch):
        return
    try:
        if isinstance(message, MOSDScrubReserve):
            scrubs.on_reserve(pg, message)
        elif isinstance(message, MOSDRepScrub):
            scrub_replica.on_scrub(pg, message)
        elif isinstance(message, MOSDRepScrubMap):
            scrubs.on_map(pg, message)
    except WireError as error:
        sender = message.connection.peer_name.num
        pg.services.log(0, f"{pg}: osd.{sender} sends what cannot be: {error}")
        message.connection.mark_down()


def _epochs(message: Message) -> tuple[int, int]:
    """The map of the sender, and that of the question which it answers."""
    if isinstance(message, MOSDPGQuery2):
        return message.query.epoch_sent, message.query.epoch_sent
    if isinstance(message, MOSDPGNotify2):
        return message.notify.epoch_sent, message.notify.query_epoch
    if isinstance(message, MOSDPGInfo2):
        return message.epoch_sent, message.min_epoch
    if isinstance(message, MOSDPGLog):
        return message.epoch, message.query_epoch
    if isinstance(message, MOSDPGLease | MOSDPGLeaseAck):
        return message.epoch, message.epoch
    return 0, 0


def _event(message: Message) -> tuple[str, object]:
    """The machine's event, with who sent it."""
    osd = message.connection.peer_name.num
    if isinstance(message, MOSDPGQuery2):
        return "query", (PGShard(osd, message.query.from_), message.query)
    if isinstance(message, MOSDPGNotify2):
        return "notify", (PGShard(osd, message.notify.from_), message.notify)
    if isinstance(message, MOSDPGInfo2):
        return "info", (PGShard(osd, message.info.shard), message)
    if isinstance(message, MOSDPGLog):
        return "log", (PGShard(osd, message.from_), message)
    return ("lease" if isinstance(message, MOSDPGLease) else "lease_ack"), message


HANDLERS: dict[int, Callable[[PG, Message], None]] = {
    MOSDOp.TYPE: _on_op,
    MOSDBackoff.TYPE: _on_backoff,
    MOSDPGBackfill.TYPE: _on_backend,
    MOSDPGBackfillRemove.TYPE: _on_backend,
    MOSDPGScan.TYPE: _on_backend,
    MOSDPGPull.TYPE: _on_backend,
    MOSDPGPush.TYPE: _on_backend,
    MOSDPGPushReply.TYPE: _on_backend,
    MOSDPGRecoveryDelete.TYPE: _on_backend,
    MOSDPGRecoveryDeleteReply.TYPE: _on_backend,
    MOSDRepOp.TYPE: _on_backend,
    MOSDRepOpReply.TYPE: _on_backend,
    MOSDPGUpdateLogMissing.TYPE: _on_backend,
    MOSDPGUpdateLogMissingReply.TYPE: _on_backend,
    MOSDPGQuery2.TYPE: _on_peering,
    MOSDPGNotify2.TYPE: _on_peering,
    MOSDPGInfo2.TYPE: _on_peering,
    MOSDPGLog.TYPE: _on_peering,
    MOSDPGLease.TYPE: _on_peering,
    MOSDPGLeaseAck.TYPE: _on_peering,
    MRecoveryReserve.TYPE: _on_reserve,
    MBackfillReserve.TYPE: _on_reserve,
    MOSDScrubReserve.TYPE: _on_scrub,
    MOSDRepScrub.TYPE: _on_scrub,
    MOSDRepScrubMap.TYPE: _on_scrub,
}
"""What a PG takes, by the message's number."""


def pgid_of(message: Message) -> SPGId | None:
    """The PG that a message is for, as this OSD has it; None for one that is of no single PG."""
    found = getattr(message, _NAMED.get(message.TYPE, "pgid"), None)
    return found if isinstance(found, SPGId) else None


_NAMED = {
    each.TYPE: "spgid"
    for each in (
        MOSDPGBackfill,
        MOSDPGInfo2,
        MOSDPGLease,
        MOSDPGLeaseAck,
        MOSDPGLog,
        MOSDPGNotify2,
        MOSDPGPull,
        MOSDPGPush,
        MOSDPGPushReply,
        MOSDPGQuery2,
        MOSDPGRecoveryDeleteReply,
        MOSDPGScan,
        MOSDRepScrub,
        MRecoveryReserve,
        MBackfillReserve,
    )
}
"""Messages that do not call their PG `pgid`."""
_OF_MANY = {MOSDPGInfo.TYPE, MOSDPGNotify.TYPE, MOSDPGQuery.TYPE}


def one_by_one(message: Message) -> list[Message]:
    """The messages of single PGs that one of many stands for; any other message alone.

    Upstream's OSDs say some things in the older form, of many PGs at once.
    """
    if message.TYPE not in _OF_MANY:
        return [message]
    made: list[Message] = []
    if isinstance(message, MOSDPGNotify):
        made += [MOSDPGNotify2(SPGId(note.info.pgid, note.to), note) for note in message.pg_list]
    elif isinstance(message, MOSDPGInfo):
        for note in message.pg_list:
            spgid = SPGId(note.info.pgid, note.to)
            about = note.info
            made.append(MOSDPGInfo2(spgid, note.epoch_sent, note.query_epoch, about, None, None))
    elif isinstance(message, MOSDPGQuery):
        made += [MOSDPGQuery2(pgid, query) for pgid, query in message.pg_list.items()]
    for one in made:
        one.connection = message.connection
    return made
