"""Scripts of calls: queues (queue, 2pc_queue, fifo)."""

from __future__ import annotations

import random
import struct

from spirula.types.base import UTime
from spirula.types.cls import queue, two_phase_queue
from tests.interop.class_scripts import Call, Put, script

HEAD = struct.Struct("<HQ")
U64 = 0xFFFFFFFFFFFFFFFF


def enqueue(*entries):
    return Call("queue", "queue_enqueue", queue.EnqueueOp(list(entries)))


def listed(marker="", most=100, cls="queue"):
    op = queue.ListOp(most, marker)
    prefix = "2pc_" if cls == "2pc_queue" else ""
    return Call(cls, f"{prefix}queue_list_entries", op, queue.ListRet)


def remove(marker, cls="queue"):
    prefix = "2pc_" if cls == "2pc_queue" else ""
    return Call(cls, f"{prefix}queue_remove_entries", queue.RemoveOp(marker))


def init(size, urgent=0, data=b""):
    return Call("queue", "queue_init", queue.InitOp(size, urgent, data))


CAPACITY = Call("queue", "queue_get_capacity", b"", queue.GetCapacityRet)
# None behind the tail: a real OSD then reads for ever, or damages its queue.
MARKERS = (
    "", "0/0", "1/0", "0/1024", "0/1039", "0/1040", "1/1024", "2/1024", "x", "/", "0/", "0/x",
    " 0/ 1024", "0/1024x", "-1/1024", "+0/1024", "99999999999999999999/1024",
)  # fmt: skip


@script("queue")
def rings():
    yield from (CAPACITY, enqueue(b"x"), listed(), remove("0/1024"), init(100), init(100), CAPACITY)
    yield from (listed(), remove("0/1024"), remove("5/5"), enqueue(), listed())
    yield enqueue(b"12345", b"", b"67")
    for marker in MARKERS:
        yield listed(marker)
        yield listed(marker, 1)
    yield from (listed(most=2), listed(most=3), listed(most=0), listed(most=U64))
    yield enqueue(b"x" * 100)
    yield enqueue(b"y" * 20, b"z" * 40)
    yield remove("0/1039")
    yield listed()
    yield enqueue(b"y" * 30)
    yield enqueue(b"z" * 20)  # is cut by the end of the ring
    for marker in ("", "0/1039", "0/1049", "0/1061", "0/1101", "1/1024", "1/1030"):
        yield from (listed(marker), listed(marker, 1), listed(marker, 2), listed(marker, 3))
    yield enqueue(b"w" * 5)
    yield remove("0/1061")
    yield enqueue(b"w" * 5)
    yield listed()
    yield from (remove("1/1031"), listed(), remove("1/1031"), remove("1/1046"), listed())
    yield CAPACITY


@script("a full queue")
def full_ring():
    yield init(60)
    yield enqueue(b"a" * 10, b"b" * 10, b"c" * 10)
    yield from (listed(), listed(most=1), enqueue(b""), enqueue(b"x"))
    yield remove("0/1044")
    yield from (listed(), enqueue(b"x" * 10), listed(), listed("1/1024"), listed("0/1064"))
    yield from (remove("1/1024"), listed(), remove("1/1044"), listed(), listed("1/1044"))
    yield from (enqueue(b"q" * 25), enqueue(b"q" * 25), remove("9/1044"), listed())


@script("a long queue")
def long_ring():
    yield init(9000, 100, b"urgent")
    yield enqueue(*(bytes([65 + n]) * (n * 97 % 500) for n in range(20)))
    markers = [""]
    for most in (1, 3, 7, 0, 100):
        yield listed(most=most)
    yield enqueue(b"+" * 1500, b"-" * 1500)
    for most in (20, 21, 22, 100):
        yield listed(markers[-1], most)


@script("a queue with much in its head")
def big_head():
    yield init(100, 10, b"too much" * 1000)
    yield init(1000, 3000, b"u" * 3000)
    yield from (CAPACITY, enqueue(b"x" * 50), listed(), CAPACITY)


@script("queues at random")
def random_rings():
    source = random.Random(3)
    yield init(3000)
    position, gen, front, used = 1024, 0, (0, 1024), []
    for _ in range(120):
        if source.random() < 0.6:
            size = source.choice([0, 1, 5, 100, 500, 1200])
            yield enqueue(bytes([len(used) % 256]) * size)
            room = 3000 - sum(used)
            if size + 10 <= room:
                used.append(size + 10)
                position += size + 10
        elif used:
            count = source.randrange(len(used)) + 1
            offset = front[1] + sum(used[:count])
            gen = front[0]
            if offset > 4024:
                offset, gen = offset - 3000, gen + 1
            yield remove(f"{gen}/{offset}")
            front = (gen + 1, 1024) if offset == 4024 else (gen, offset)
            del used[:count]
        yield listed(most=source.choice([1, 2, 5, 100]))
        yield listed(f"{front[0]}/{front[1]}")


@script("damaged queues")
def damaged_rings():
    for data in (
        b"",
        b"x",
        b"\xad\xde",
        HEAD.pack(0xDEAD, 5),
        HEAD.pack(0xDEAD, 2000) + b"x" * 2000,
    ):
        yield Put("data", value=data)
        yield from (CAPACITY, enqueue(b"x"), listed(), remove("0/1024"))
    yield init(100)
    yield enqueue(b"12345")
    yield Put("data", value=HEAD.pack(0xBEEF, 5) * 20)
    yield from (CAPACITY, init(200), CAPACITY)
    for data in (b"", b"\1\1\xff\0\0\0", b"\x40\x40\1\0\0\0\1"):
        for name in ("init", "enqueue", "list_entries", "remove_entries"):
            yield Call("queue", f"queue_{name}", data)


def parts(data):
    """The data of a 2pc_queue: its head with the reservations, and the rest."""
    length = HEAD.unpack_from(data)[1]
    head = queue.QueueHead.decode(data[10 : 10 + length])
    urgent = two_phase_queue.UrgentData.decode(head.urgent_data)
    head.urgent_data = b""
    # Behind a head that has shrunk stand remains of it, with times.
    return [length, head, urgent, data[head.max_head_size :]]


def phase(method, request=b"", kind=None):
    return Call("2pc_queue", f"2pc_queue_{method}", request, kind)


def reserve(size, entries=1):
    return phase("reserve", two_phase_queue.ReserveOp(size, entries))


def commit(ident, *entries):
    return phase("commit", two_phase_queue.CommitOp(ident, list(entries)))


def abort(ident):
    return phase("abort", two_phase_queue.AbortOp(ident))


def expire(seconds):
    return phase("expire_reservations", two_phase_queue.ExpireOp(UTime(seconds, 0)))


RESERVATIONS = phase("list_reservations", b"", two_phase_queue.ReservationsRet)
PHASE_KINDS = {"xattr:cls_queue_urgent_data": two_phase_queue.Reservations}


@script("2pc_queue", kinds=PHASE_KINDS, parts=parts)
def phases():
    yield from (reserve(5), commit(1), abort(1), RESERVATIONS, expire(5), listed(cls="2pc_queue"))
    yield phase("init", queue.InitOp(300, 5, b"ignored"))
    yield phase("init", queue.InitOp(300))
    yield phase("get_capacity", b"", queue.GetCapacityRet)
    yield from (
        RESERVATIONS,
        reserve(0),
        reserve(5, 0),
        reserve(1000),
        reserve(291),
        reserve(50, 30),
    )
    yield reserve(5, 0xFFFFFFFF)
    yield from (reserve(50), reserve(60, 2), reserve(100), reserve(70), RESERVATIONS)
    yield from (commit(1, b"x" * 51), commit(9, b"x"), commit(1, b"x" * 20, b"y" * 30))
    yield from (commit(1, b"x"), RESERVATIONS, abort(9), abort(2), abort(2), RESERVATIONS)
    yield from (listed(cls="2pc_queue"), listed(most=1, cls="2pc_queue"))
    yield from (expire(1000), RESERVATIONS, expire(4_000_000_000), RESERVATIONS)
    yield remove("0/24596", cls="2pc_queue")
    yield remove("0/24606", cls="2pc_queue")
    yield listed(cls="2pc_queue")
    for _ in range(4):
        yield reserve(60)
    yield from (
        commit(4, b"a" * 60),
        commit(5, b"b" * 60),
        commit(6, b"c" * 60),
        commit(7, b"d" * 60),
    )
    yield from (
        listed(cls="2pc_queue"),
        reserve(60),
        reserve(1),
        commit(8, b"e" * 60),
        commit(9, b"f"),
    )
    yield from (RESERVATIONS, listed(cls="2pc_queue"))
    for data in (b"", b"\1\1\xff\0\0\0", b"\x40\x40\1\0\0\0\1"):
        for name in [
            "init",
            "reserve",
            "commit",
            "abort",
            "expire_reservations",
            "list_entries",
            "remove_entries",
        ]:
            yield phase(name, data)


@script("2pc_queue with many reservations", kinds=PHASE_KINDS, parts=parts)
def many_phases():
    yield phase("init", queue.InitOp(1_000_000))
    for _ in range(8):
        yield reserve(5)
    # A queue of 1023 reservations, as if they had been made one by one; more do not fit.
    urgent = two_phase_queue.UrgentData(
        reserved_size=20 * 1023,
        last_id=1023,
        reservations={n: two_phase_queue.Reservation(5, UTime(n, 0)) for n in range(1, 1024)},
    )
    head = queue.QueueHead(
        1024 + 23552,
        queue.QueueMarker(0, 24576),
        queue.QueueMarker(0, 24576),
        1_024_576,
        23552,
        urgent.encode(),
    ).encode()
    yield Put("data", value=HEAD.pack(0xDEAD, len(head)) + head)
    for number in range(3):
        yield reserve(7 + number)
    yield RESERVATIONS
    yield from (commit(1, b"x"), reserve(9), RESERVATIONS, commit(1024, b"x"), commit(1024, b"x"))
    yield from (abort(1025), abort(1025), abort(5), expire(30), RESERVATIONS, expire(4_000_000_000))
    yield from (RESERVATIONS, reserve(6), commit(99, b""), abort(99), RESERVATIONS)
    yield Put("xattr", "cls_queue_urgent_data", b"\xff")
    yield from (RESERVATIONS, commit(99), abort(99), expire(5))
