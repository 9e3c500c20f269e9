"""Heartbeats between OSDs: MOSDPing.

By hand, because a ping is padded (large ones find networks that drop jumbo frames) with what it
says in the middle. Format: upstream `src/messages/MOSDPing.h`.
"""

from __future__ import annotations

import struct as _struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Self

from spirula.errors import Truncated
from spirula.messages.base import Message, message
from spirula.types.base import UTime
from spirula.types.wrappers import Timespan

MSG_OSD_PING = 70

_HEAD = _struct.Struct("<16sIBIII")
_HEAD_SIZE = _HEAD.size - 4
_STAMPS = _struct.Struct("<Iiiii?")
_SPAN = _struct.Struct("<ii")


class PingOp(IntEnum):
    """Kinds of pings."""

    HEARTBEAT = 0
    START_HEARTBEAT = 1
    YOU_DIED = 2
    STOP_HEARTBEAT = 3
    PING = 4
    PING_REPLY = 5


@message(MSG_OSD_PING, version=5, compat=4, by_hand=True)
@dataclass(slots=True)
class MOSDPing(Message):
    """An OSD asks another whether it is there, or answers that it is.

    `ping_stamp` and `mono_ping_stamp` are the asker's clocks and are repeated in the answer,
    `mono_send_stamp` is that of whoever sends this. `delta_ub` bounds how far the receiver's
    clock is ahead. The payload is filled with zeros to at least `min_message_size` bytes
    before the stamps.
    """

    fsid: bytes = bytes(16)
    map_epoch: int = 0
    op: int = PingOp.HEARTBEAT
    ping_stamp: UTime = field(default_factory=UTime)
    mono_ping_stamp: Timespan = field(default_factory=Timespan)
    mono_send_stamp: Timespan = field(default_factory=Timespan)
    delta_ub: Timespan | None = None
    up_from: int = 0
    min_message_size: int = 0

    def _enc_payload(self, out: bytearray, features: int, v: int) -> None:
        del features, v
        padding = max(self.min_message_size - _HEAD_SIZE, 0)
        stamp, asked, sent, delta = (
            self.ping_stamp,
            self.mono_ping_stamp,
            self.mono_send_stamp,
            self.delta_ub,
        )
        out += _HEAD.pack(self.fsid, self.map_epoch, self.op, stamp.sec, stamp.nsec, padding)
        out += _STAMPS.pack(
            self.up_from, asked.sec, asked.nsec, sent.sec, sent.nsec, delta is not None
        )
        if delta is not None:
            out += _SPAN.pack(delta.sec, delta.nsec)
        out += bytes(padding)

    @classmethod
    def _dec_payload(
        cls, buf: bytes, pos: int, end: int, features: int, v: int
    ) -> tuple[Self, int]:
        del features
        fsid, epoch, op, sec, nsec, padding = _HEAD.unpack_from(buf, pos)
        pos += _HEAD.size
        made = cls(fsid, epoch, op, UTime(sec, nsec), min_message_size=padding + _HEAD_SIZE)
        if v >= 5:
            up_from, asked, asked_ns, sent, sent_ns, has_delta = _STAMPS.unpack_from(buf, pos)
            pos += _STAMPS.size
            made.up_from = up_from
            made.mono_ping_stamp = Timespan(asked, asked_ns)
            made.mono_send_stamp = Timespan(sent, sent_ns)
            if has_delta:
                made.delta_ub = Timespan(*_SPAN.unpack_from(buf, pos))
                pos += _SPAN.size
        if padding > end - pos:
            raise Truncated("padding runs past the end", offset=pos, limit=end)
        return made, pos + padding

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "fsid": self.fsid.hex(),
            "map_epoch": self.map_epoch,
            "op": PingOp(self.op).name.lower() if self.op in set(PingOp) else self.op,
            "ping_stamp": self.ping_stamp.plain(),
            "mono_ping_stamp": float(self.mono_ping_stamp),
            "mono_send_stamp": float(self.mono_send_stamp),
            "delta_ub": None if self.delta_ub is None else float(self.delta_ub),
            "up_from": self.up_from,
            "min_message_size": self.min_message_size,
        }
