"""Requests in a line each, for `ops`, warnings of slow ones, and logs.

Shapes: upstream `print` of `src/messages/MOSDOp.h` and `MOSDRepOp.h`.
"""

from __future__ import annotations

from spirula.messages.base import Message
from spirula.messages.osd_op import MOSDOp
from spirula.messages.osd_replication import MOSDRepOp
from spirula.types.osd_op import RequestFlag


def flag_text(flags: int) -> str:
    """`ondisk+write+known_if_redirected`; `-` for none."""
    names = [flag.name.lower() for flag in RequestFlag if flag.name and flags & flag]
    return "+".join(names) or "-"


def describe(message: Message) -> str:
    """What a request is."""
    if isinstance(message, MOSDOp):
        return _client_request(message)
    if isinstance(message, MOSDRepOp):
        return (
            f"osd_repop({message.reqid} {message.pgid} e{message.map_epoch}/{message.min_epoch} "
            f"{message.poid} v {message.version})"
        )
    return type(message).__name__


def _client_request(request: MOSDOp) -> str:
    connection = request.connection
    who = request.reqid if connection is None else request.request_id(connection.peer_name)
    snaps = ",".join(f"{snap:x}" for snap in request.snaps)
    words = [
        str(who),
        str(request.pgid),
        str(request.hobj),
        f"[{','.join(str(op) for op in request.ops)}]",
        f"snapc {request.snap_seq:x}=[{snaps}]",
    ]
    if request.retry_attempt > 0:
        words.append(f"RETRY={request.retry_attempt}")
    words += [flag_text(request.flags), f"e{request.epoch}"]
    return f"osd_op({' '.join(words)})"
