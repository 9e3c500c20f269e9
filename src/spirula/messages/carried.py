"""A whole message inside another one, as monitors forward them: the old header, its checksums,
three blobs.

For MForward and MRoute of `quorum`. Layout: upstream `encode_message` of `src/msg/Message.cc`,
with `ceph_msg_header` and `ceph_msg_footer_old` of `src/include/msgr.h`.
"""

from __future__ import annotations

import struct as _struct
from typing import Self

from spirula.denc import Struct, blob, struct, u8, u16, u32, u64
from spirula.denc import features as feature_bits
from spirula.kernels.crc32c import crc32c
from spirula.messages.base import Message, decode_message
from spirula.types.entity import EntityName

_HEADER_WITHOUT_CRC = _struct.Struct("<QQHHHIIIHBqHH")
_COMPLETE = 1
"""Footer flag: the sender wrote the message to its end."""


@struct
class CarriedMessage(Struct):
    """An encoded message with its header; `src` is who first sent it.

    The checksums are kept as they came, and nobody checks them: the outer frame's own protect the
    bytes.
    """

    seq: u64
    tid: u64
    type: u16
    priority: u16
    version: u16
    front_len: u32
    middle_len: u32
    data_len: u32
    data_off: u16
    src: EntityName
    compat_version: u16
    reserved: u16
    header_crc: u32
    front_crc: u32
    middle_crc: u32
    data_crc: u32
    flags: u8
    front: blob
    middle: blob
    data: blob

    @classmethod
    def pack(
        cls,
        message: Message,
        src: EntityName,
        features: int = feature_bits.PACIFIC,
        *,
        seq: int = 0,
    ) -> Self:
        """The message as a peer with these features wants it. Raises WireError as encoding does."""
        version, compat, front = message.encode_payload(features)
        middle, data = bytes(message.middle), bytes(message.data)
        head = _HEADER_WITHOUT_CRC.pack(
            seq,
            message.tid,
            message.TYPE,
            message.priority,
            version,
            len(front),
            len(middle),
            len(data),
            0,
            src.type,
            src.num,
            compat,
            0,
        )
        return cls(
            seq=seq,
            tid=message.tid,
            type=message.TYPE,
            priority=message.priority,
            version=version,
            front_len=len(front),
            middle_len=len(middle),
            data_len=len(data),
            src=src,
            compat_version=compat,
            header_crc=crc32c(0, head),
            front_crc=crc32c(0, front),
            middle_crc=crc32c(0, middle),
            data_crc=crc32c(0, data),
            flags=_COMPLETE,
            front=front,
            middle=middle,
            data=data,
        )

    def unpack(self, features: int = feature_bits.PACIFIC) -> Message:
        """The message inside, read with the features that it was encoded for. Raises WireError."""
        message = decode_message(
            self.type,
            self.version,
            self.compat_version,
            self.front,
            self.middle,
            self.data,
            features,
        )
        message.tid = self.tid
        message.priority = self.priority
        return message
