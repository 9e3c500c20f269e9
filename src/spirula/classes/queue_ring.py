"""A queue in an object's data: a head of fixed size, then a ring of entries.

An entry is a mark, its length and its bytes, and may be cut in two by the end of the ring. The head
says where the first entry stands and where the next one goes; positions count how often the ring
was filled (`gen`). Shared by the classes `queue`, `2pc_queue` (and `rgw_gc`). Format and behaviour:
upstream `src/cls/queue/cls_queue_src.cc`.
"""

from __future__ import annotations

import errno
import re
import struct as _struct
from collections.abc import Iterable
from typing import Final, NamedTuple

from spirula.classes.handle import ObjectHandle
from spirula.errors import CephError, Exists, InvalidArgument, NoSpace, WireError
from spirula.types.cls.queue import (
    ENTRY_OVERHEAD,
    ENTRY_START,
    HEAD_SIZE,
    HEAD_START,
    InitOp,
    ListOp,
    ListRet,
    QueueEntry,
    QueueHead,
    QueueMarker,
)
from spirula.types.osd_op import OpFlag

CHUNK: Final = 1024
"""Bytes that are read at once."""

_MARK: Final = _struct.Struct("<HQ")
_U64: Final = 0xFFFFFFFFFFFFFFFF
_NUMBER: Final = re.compile(r"[ \t\n\v\f\r]*([+-]?)0*(\d{1,4000})", re.ASCII)


def marker_of(text: str) -> QueueMarker:
    """The marker that a client names; what cannot be read of it is 0, as upstream has it."""
    marker = QueueMarker(0, 0)
    match = _NUMBER.match(text)
    if match is None:
        return marker
    marker.gen = _unsigned(match)
    if int(match[2]) > _U64 or text[match.end() : match.end() + 1] != "/":
        return marker
    match = _NUMBER.match(text, match.end() + 1)
    if match is not None:
        marker.offset = _unsigned(match)
    return marker


def _unsigned(match: re.Match[str]) -> int:
    number = int(match[2])
    if number > _U64:
        return _U64
    return -number & _U64 if match[1] == "-" else number


# ------------------------------------------------------------------------------------------- head


def read_head(handle: ObjectHandle) -> QueueHead:
    """The head; InvalidArgument where there is no queue."""
    data = handle.read(0, CHUNK)
    if len(data) < _MARK.size:
        raise InvalidArgument("there is no queue")
    mark, length = _MARK.unpack_from(data)
    if mark != HEAD_START:
        raise InvalidArgument("there is no queue")
    if length > CHUNK - _MARK.size:
        data += handle.read(CHUNK, length - (CHUNK - _MARK.size), OpFlag.FADVISE_SEQUENTIAL)
    try:
        head = QueueHead.decode_from(data, _MARK.size)[0]
    except WireError as error:
        handle.log(0, f"cannot decode the head of a queue: {error}")
        raise InvalidArgument("the queue's head is damaged") from error
    if not _is_sound(head):
        handle.log(0, f"the head of a queue is damaged: {head}")
        raise InvalidArgument("the queue's head is damaged")
    return head


def _is_sound(head: QueueHead) -> bool:
    """Whether the entries are within the ring, and in it once. Upstream does not ask."""
    front, tail = head.front, head.tail
    within = head.max_head_size <= min(front.offset, tail.offset)
    within = within and max(front.offset, tail.offset) <= head.queue_size
    laps = tail.gen - front.gen
    return within and (
        (laps == 0 and front.offset <= tail.offset) or (laps == 1 and tail.offset <= front.offset)
    )


def write_head(handle: ObjectHandle, head: QueueHead) -> None:
    """Stores the head; InvalidArgument if it has grown too large (by its urgent data)."""
    encoded = head.encode()
    data = _MARK.pack(HEAD_START, len(encoded)) + encoded
    if len(data) > head.max_head_size:
        raise InvalidArgument("the queue's head has no room for that")
    handle.write(0, data, OpFlag.FADVISE_WILLNEED)


def init(handle: ObjectHandle, request: InitOp) -> None:
    """Makes a queue; Exists if there is one."""
    try:
        read_head(handle)
    except InvalidArgument:
        pass
    else:
        raise Exists("there is a queue already")
    head_size = HEAD_SIZE + request.max_urgent_data_size & _U64
    head = QueueHead(
        max_head_size=head_size,
        front=QueueMarker(0, head_size),
        tail=QueueMarker(0, head_size),
        queue_size=request.queue_size + head_size & _U64,
        max_urgent_data_size=request.max_urgent_data_size,
        urgent_data=request.urgent_data,
    )
    write_head(handle, head)


def is_empty(head: QueueHead) -> bool:
    """Whether there are no entries."""
    return head.front == head.tail


def is_full(head: QueueHead) -> bool:
    """Whether the next entry would go where the first one stands."""
    return head.front.offset == head.tail.offset and head.tail.gen == head.front.gen + 1


# ---------------------------------------------------------------------------------------- entries


def enqueue(handle: ObjectHandle, head: QueueHead, entries: Iterable[bytes]) -> None:
    """Appends entries and moves the head's tail; NoSpace if they do not fit."""
    if is_full(head):
        raise NoSpace("the queue is full")
    for data in entries:
        # Upstream looks only once, and would overwrite the first entry here.
        if is_full(head):
            raise NoSpace("the queue is full")
        _append(handle, head, _MARK.pack(ENTRY_START, len(data)) + data)


def _append(handle: ObjectHandle, head: QueueHead, entry: bytes) -> None:
    tail = head.tail
    if tail.offset < head.front.offset:
        room, after_wrap = head.front.offset - tail.offset, 0
    else:
        room, after_wrap = head.queue_size - tail.offset, head.front.offset - head.max_head_size
    if len(entry) > room + after_wrap:
        raise NoSpace("the queue is full")
    first, rest = entry[:room], entry[room:]
    handle.write(tail.offset, first, OpFlag.FADVISE_SEQUENTIAL)
    tail.offset += len(first)
    if rest:
        tail.offset, tail.gen = head.max_head_size, tail.gen + 1
        handle.write(tail.offset, rest, OpFlag.FADVISE_SEQUENTIAL)
        tail.offset += len(rest)
    _wrap(head, tail)


def _wrap(head: QueueHead, marker: QueueMarker) -> None:
    """Moves a marker from the end of the ring to its start."""
    if marker.offset == head.queue_size:
        marker.offset, marker.gen = head.max_head_size, marker.gen + 1


class _Span(NamedTuple):
    """Bytes of the ring that stand in one piece."""

    offset: int
    length: int


def _spans(head: QueueHead, start: int) -> list[_Span]:
    """Where the entries from `start` on stand: one piece, or two where the ring ends between."""
    front, tail = head.front.offset, head.tail.offset
    if tail > front:
        return [_Span(start, tail - start)]
    if start >= front:
        first = _Span(start, head.queue_size - start)
        return [first, _Span(head.max_head_size, tail - head.max_head_size)]
    return [_Span(start, max(0, tail - start))]


def list_entries(handle: ObjectHandle, head: QueueHead, request: ListOp) -> ListRet:
    """At most `max` entries from a marker on, or from the first one.

    InvalidArgument for a marker at which no entry begins. A `max` of 0 is no bound.
    """
    if is_empty(head):
        return ListRet(next_marker=str(head.front))
    start = marker_of(request.start_marker)
    if start.offset == 0:
        start = QueueMarker(head.front.gen, head.front.offset)
    answer = ListRet(is_truncated=True)
    after = _gather(handle, head, start, request.max, answer)
    if after is None:
        answer.is_truncated = False
        after = head.tail
    else:
        _wrap(head, after)
        answer.is_truncated = after != head.tail
    answer.next_marker = str(after)
    return answer


def _gather(
    handle: ObjectHandle, head: QueueHead, start: QueueMarker, most: int, answer: ListRet
) -> QueueMarker | None:
    """Reads entries into `answer`; where to go on, None if all were read."""
    at = QueueMarker(start.gen, start.offset)
    pending = b""
    for span in _spans(head, start.offset):
        if span.length < 0:
            raise InvalidArgument("the marker is behind the last entry")
        if span.length == 0:
            return None
        for done in range(0, span.length, CHUNK):
            length = min(CHUNK, span.length - done)
            chunk = handle.read(span.offset + done, length)
            if len(chunk) < length:
                raise InvalidArgument("the queue has less data than it should")
            pending += chunk
            pending = _take_entries(head, at, pending, most, answer)
            if most and len(answer.entries) == most:
                return at
    return None


def _take_entries(
    head: QueueHead, at: QueueMarker, data: bytes, most: int, answer: ListRet
) -> bytes:
    """Adds the whole entries in `data`, which begins at `at`, and moves that; what is left over."""
    pos = 0
    while len(data) - pos >= ENTRY_OVERHEAD:
        mark, length = _MARK.unpack_from(data, pos)
        if mark != ENTRY_START:
            raise InvalidArgument("no entry begins at the marker")
        end = pos + ENTRY_OVERHEAD + length
        if end > len(data):
            break
        answer.entries.append(QueueEntry(data[pos + ENTRY_OVERHEAD : end], str(at)))
        at.offset += end - pos
        if at.offset > head.queue_size:
            at.offset += head.max_head_size - head.queue_size
            at.gen += 1
        pos = end
        if len(answer.entries) == most:
            break
        _wrap(head, at)
    return data[pos:]


def remove_entries(handle: ObjectHandle, head: QueueHead, end_marker: str) -> None:
    """Removes the entries before a marker, zeroes them, and moves the head's front."""
    if is_empty(head):
        return
    end, front = marker_of(end_marker), head.front
    # Upstream believes every marker, and has a damaged queue then.
    if end.offset > head.queue_size or (end.gen, end.offset) > (head.tail.gen, head.tail.offset):
        raise InvalidArgument("the marker is behind the last entry")
    if end.gen == front.gen and end.offset >= front.offset:
        spans = [_Span(front.offset, end.offset - front.offset)]
    elif end.gen == front.gen + 1 and end.offset <= front.offset:
        spans = [
            _Span(front.offset, head.queue_size - front.offset),
            _Span(head.max_head_size, end.offset - head.max_head_size),
        ]
    else:
        raise InvalidArgument("the marker is not within the queue")
    for span in spans:
        if span.length < 0:
            raise CephError.from_errno(errno.EFBIG, "the marker is within the queue's head")
        if span.length:
            handle.write_zero(span.offset, span.length)
    head.front = end
    _wrap(head, end)
