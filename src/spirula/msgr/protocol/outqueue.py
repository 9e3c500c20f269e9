"""What a session has to send, has sent, and must send again.

Messages wait by priority, in order within one. On a lossless session those sent are kept until the
peer acknowledges them; when the transport breaks they become the first to go out on the next one,
with the numbers they had. Upstream: `out_queue`, `sent`, `requeue_sent` and
`discard_requeued_up_to` in `src/msg/async/ProtocolV2.cc`.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

_M = TypeVar("_M")


class OutQueue(Generic[_M]):
    """The outgoing half of a session. `seq` is the number of the message that went out last."""

    __slots__ = ("_order", "_replay", "_sent", "_waiting", "seq")

    def __init__(self) -> None:
        self.seq = 0
        self._waiting: dict[int, deque[_M]] = {}
        self._order: list[int] = []  # priorities of _waiting, highest first
        self._sent: deque[tuple[int, _M]] = deque()
        self._replay: deque[tuple[int, _M]] = deque()

    def push(self, priority: int, message: _M) -> None:
        """Queues a message behind those of the same or a higher priority."""
        queue = self._waiting.get(priority)
        if queue is None:
            queue = self._waiting[priority] = deque()
            self._order = sorted(self._waiting, reverse=True)
        queue.append(message)

    def pop(self, *, keep: bool) -> _M | None:
        """The next message to write, None when there is none; its number is then in `seq`.

        With `keep` it is remembered until acknowledged.
        """
        if self._replay:
            message = self._replay.popleft()[1]
        else:
            for priority in self._order:
                queue = self._waiting[priority]
                if queue:
                    message = queue.popleft()
                    break
            else:
                return None
        self.seq += 1
        if keep:
            self._sent.append((self.seq, message))
        return message

    def acknowledged(self, seq: int) -> None:
        """The peer has everything up to `seq`."""
        sent = self._sent
        while sent and sent[0][0] <= seq:
            sent.popleft()

    def requeue(self) -> None:
        """The transport broke: what is not acknowledged goes out again, first and in order."""
        if self._sent:
            self.seq = self._sent[0][0] - 1
            self._replay.extendleft(reversed(self._sent))
            self._sent.clear()

    def resume(self, seq: int) -> None:
        """A new transport goes on with the session, and the peer has everything up to `seq`."""
        replay = self._replay
        while replay and replay[0][0] <= seq:
            replay.popleft()
        self.seq = replay[0][0] - 1 if replay else seq

    def restart(self) -> None:
        """The peer begins a session anew but gets what is queued; it only minds rising numbers."""
        if not self._replay:
            self.seq = 0

    def discard(self) -> None:
        """Forgets everything."""
        self._waiting.clear()
        self._order = []
        self._sent.clear()
        self._replay.clear()
        self.seq = 0

    @property
    def pending(self) -> bool:
        """Whether anything waits to be written."""
        return bool(self._replay) or any(self._waiting.values())

    @property
    def unacknowledged(self) -> int:
        """How many sent messages are kept."""
        return len(self._sent)

    def __len__(self) -> int:
        return len(self._replay) + sum(map(len, self._waiting.values()))
