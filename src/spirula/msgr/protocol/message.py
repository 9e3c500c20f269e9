"""A message as frames carry it: header fields and up to three buffers, its class unknown.

The protocol core moves these; `spirula.messages` turns them into typed messages and back. Nothing
here looks inside `front`, `middle` or `data`. Format: upstream `src/include/msgr.h`
(ceph_msg_header2).
"""

from __future__ import annotations

import struct
from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING, Final

from spirula.records import dataclass

if TYPE_CHECKING:
    from spirula.msgr.protocol.throttle import Ticket

Bytes = bytes | bytearray | memoryview
"""What a segment may be: a contiguous buffer of single bytes."""

HEADER: Final = struct.Struct("<QQHHHIHQBHH")
"""seq, tid, type, priority, version, data_pre_padding_len, data_off, ack_seq, flags,
compat_version, reserved: 41 bytes."""


class Priority(IntEnum):
    """Higher ones leave first among what waits (upstream CEPH_MSG_PRIO_*)."""

    LOW = 64
    DEFAULT = 127
    HIGH = 196
    HIGHEST = 255


class MessageFlag(IntFlag):
    """What the header's flags say (upstream CEPH_MSG_FOOTER_*)."""

    COMPLETE = 1
    NOCRC = 2


@dataclass(slots=True, eq=False)
class RawMessage:
    """One message. `front`, `middle` and `data` are owned by it and not to be changed.

    `seq` and `ack_seq` are filled in on receipt; a sender leaves them alone, because the session
    numbers messages as they leave. `ticket` is the share of the receiver's throttles that the
    message holds (see `throttle`), None where its peer is not throttled.
    """

    type: int
    front: Bytes = b""
    middle: Bytes = b""
    data: Bytes = b""
    tid: int = 0
    priority: int = Priority.DEFAULT
    version: int = 1
    compat_version: int = 0
    data_off: int = 0
    flags: int = MessageFlag.COMPLETE | MessageFlag.NOCRC
    reserved: int = 0
    seq: int = 0
    ack_seq: int = 0
    ticket: Ticket | None = None

    @property
    def size_bytes(self) -> int:
        """What throttles count: the three buffers without the header."""
        return len(self.front) + len(self.middle) + len(self.data)
