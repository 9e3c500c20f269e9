"""Commands to daemons other than monitors, and the two messages that say nothing.

Formats: upstream `src/messages/MCommand.h`, `MCommandReply.h`, `MMgrCommand.h`, `MPing.h`,
`MNop.h`, `MGenericMessage.h`. Commands to monitors are in `mon_client`.
"""

from __future__ import annotations

import struct as _struct
from typing import Self

from spirula.denc import Vec, s32, string, uuid_d
from spirula.denc import features as feature_bits
from spirula.errors import Truncated
from spirula.messages.base import Message, message
from spirula.records import dataclass

_LENGTH = _struct.Struct("<I")


@message(97)
class MCommand(Message):
    """A command for an OSD or MDS: one string of JSON in a list. Its input is in `data`."""

    fsid: uuid_d
    cmd: Vec[string]


@message(98)
class MCommandReply(Message):
    """0 or a negative errno and the status line; the output is in `data`."""

    r: s32
    rs: string


@message(0x709)
class MMgrCommand(Message):
    """A command for the manager, as MCommand."""

    fsid: uuid_d
    cmd: Vec[string]


@message(0x70A)
class MMgrCommandReply(Message):
    """The manager's answer, as MCommandReply."""

    r: s32
    rs: string


@message(1)
class MGenericMessage(Message):
    """A message without payload that only its number means something by (CEPH_MSG_SHUTDOWN)."""


@message(2, by_hand=True)
@dataclass(slots=True)
class MPing(Message):
    """Asks a monitor outside of any session how it is; the answer carries its status as JSON.

    The question has no payload at all, which None stands for.
    """

    answer: str | None = None

    def encode_payload(self, features: int = feature_bits.PACIFIC) -> tuple[int, int, bytes]:
        """As for all messages, except that answers name no oldest reader (upstream fills them)."""
        version, compat, front = Message.encode_payload(self, features)
        return version, 0 if front else compat, front

    def _enc_payload(self, out: bytearray, features: int, v: int) -> None:
        if self.answer is not None:
            text = self.answer.encode("utf-8", "surrogateescape")
            out += len(text).to_bytes(4, "little") + text

    @classmethod
    def _dec_payload(
        cls, buf: bytes, pos: int, end: int, features: int, v: int
    ) -> tuple[Self, int]:
        if pos == end:
            return cls(), pos
        (size,) = _LENGTH.unpack_from(buf, pos)
        stop = pos + 4 + size
        if stop > end:
            raise Truncated("length runs past the end", offset=pos, limit=end)
        return cls(str(buf[pos + 4 : stop], "utf-8", "surrogateescape")), stop


@message(0x607)
class MNop(Message):
    """Nothing; keeps a session's sequence going."""
