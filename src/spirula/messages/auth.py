"""Authentication over an open connection to a monitor: tickets asked for and renewed (msgr2 itself
logs in by frames). The payloads are cephx's, see `spirula.types.auth`. Formats: upstream
`src/messages/MAuth.h`, `MAuthReply.h`, `MMonGlobalID.h`.
"""

from __future__ import annotations

from spirula.denc import blob, s32, string, tail, u32, u64
from spirula.messages.base import Message, PaxosServiceMessage, message


@message(17)
class MAuth(PaxosServiceMessage):
    """One step of the client's side; protocol 0: the payload lists those it can speak."""

    protocol: u32
    auth_payload: blob
    monmap_epoch: u32 = tail()


@message(18)
class MAuthReply(Message):
    """One step of the monitor's side: 0 or a negative errno, and the client's global id."""

    protocol: u32
    result: s32
    global_id: u64
    result_bl: blob
    result_msg: string


@message(60)
class MMonGlobalID(PaxosServiceMessage):
    """A peon asks the leader for more global ids; `old_max_id` is the last it knows of."""

    old_max_id: u64
