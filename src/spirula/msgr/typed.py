"""Between typed messages and the messenger's raw ones: what `Endpoint.encode` and
`Messenger.decode` are set to by everybody who speaks `spirula.messages`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.messages.base import Message, decode_message
from spirula.msgr.protocol.message import RawMessage

if TYPE_CHECKING:
    from spirula.msgr.connection import Connection


def encode_message(message: Message | RawMessage, features: int) -> RawMessage:
    """The raw message for a peer with these features; raises WireError for values out of range."""
    if isinstance(message, RawMessage):
        return message
    version, compat, front = message.encode_payload(features)
    return RawMessage(
        message.TYPE,
        front,
        message.middle,
        message.data,
        tid=message.tid,
        priority=message.priority,
        version=version,
        compat_version=compat,
    )


def decode_raw(connection: Connection, raw: RawMessage) -> Message:
    """The typed message of a raw one that came over `connection`; raises WireError."""
    message = decode_message(
        raw.type,
        raw.version,
        raw.compat_version,
        raw.front,
        raw.middle,
        raw.data,
        connection.features,
    )
    message.tid = raw.tid
    message.priority = raw.priority
    message.connection = connection
    return message
