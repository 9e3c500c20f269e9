"""What an OSD does when its own code fails: a message that has met a bug must not end it.

Handlers refuse bad input by themselves. Anything else that is raised is a bug of ours: it is logged
with its traceback, and a client's request is answered with EIO, for it would only meet the bug
again. An `InvariantBroken` ends the OSD: what it has in memory is not to be trusted, what is on its
disk is. Called by the dispatchers and timers of `osd`.
"""

from __future__ import annotations

import traceback
from errno import EIO

from spirula.errors import InvariantBroken
from spirula.messages.base import Message
from spirula.messages.command import MCommand, MCommandReply
from spirula.messages.osd_op import MOSDOp, MOSDOpReply
from spirula.osd.state import OSD


def contain(osd: OSD, what: str, error: Exception) -> None:
    """Log a bug, and end the OSD where it must not go on."""
    for entry in traceback.format_exception(error):
        for line in entry.splitlines():
            osd.log(-1, line)
    osd.log(-1, f"{what} failed by a bug")
    if isinstance(error, InvariantBroken):
        osd.ports.stop(f"{what}: {error}")


def contain_message(osd: OSD, message: Message, error: Exception) -> None:
    """The same for a message, whose sender is told if it waits for an answer."""
    connection = message.connection
    contain(osd, f"{type(message).__name__} from {connection.peer_name}", error)
    if isinstance(message, MOSDOp):
        osd.tracker.end(message)
        for op in message.ops:
            op.outdata = b""
        connection.send_message(MOSDOpReply.to(message, -EIO, osd.maps.epoch))
    elif isinstance(message, MCommand):
        answer = MCommandReply(-EIO, f"internal error: {type(error).__name__}")
        answer.tid = message.tid
        connection.send_message(answer)
