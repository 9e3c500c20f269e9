"""What OSDs and clients say beside requests and replies: back-offs, watch events.

Formats: upstream `src/messages/MOSDBackoff.h`, `MWatchNotify.h`. Requests are in `osd_op`.
"""

from __future__ import annotations

from enum import IntEnum

from spirula.denc import blob, default, s32, since, u8, u32, u64
from spirula.messages.base import Message, message
from spirula.types.hobject import HObject
from spirula.types.pg import SPGId

CEPH_MSG_WATCH_NOTIFY, CEPH_MSG_OSD_BACKOFF = 44, 61


class BackoffOp(IntEnum):
    """Steps of a back-off."""

    BLOCK = 1
    ACK_BLOCK = 2
    UNBLOCK = 3


@message(CEPH_MSG_OSD_BACKOFF, version=1, compat=1)
class MOSDBackoff(Message):
    """An OSD asks a client to hold back requests on objects from `begin` on and before `end`.

    (Or on `begin` alone, when both are the same.) `id` is the OSD's own; BLOCK is answered by
    ACK_BLOCK, and ends with UNBLOCK or with the session.
    """

    pgid: SPGId
    map_epoch: u32
    op: u8
    id: u64
    begin: HObject
    end: HObject


class WatchEvent(IntEnum):
    """What a watcher or notifier is told."""

    NOTIFY = 1
    NOTIFY_COMPLETE = 2
    DISCONNECT = 3


@message(CEPH_MSG_WATCH_NOTIFY, version=3, compat=1)
class MWatchNotify(Message):
    """A watcher is notified, a notification is complete, or a watch is gone.

    `payload` is the notifier's. NOTIFY_COMPLETE has an encoded NotifyReply as the message's
    data and a `return_code`, 0 or a negative errno.
    """

    payload_version: u8 = default(1)
    opcode: u8
    cookie: u64
    version: u64
    notify_id: u64
    payload: blob
    return_code: s32 = since(2)
    notifier_gid: u64 = since(3)
