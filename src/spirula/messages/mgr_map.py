"""The manager map, by monitors for whoever subscribes to it: daemons and clients.

Alone here, for clients that otherwise say nothing to managers but commands. Format: upstream
`src/messages/MMgrMap.h`.
"""

from __future__ import annotations

from spirula.messages.base import Message, message
from spirula.types.mgr import MgrMap


@message(0x704)
class MMgrMap(Message):
    """The manager map."""

    map: MgrMap
