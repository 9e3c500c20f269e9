"""What object classes keep and exchange, where a declaration alone does not prove itself."""

from __future__ import annotations

import random

import pytest

from spirula.denc import Struct
from spirula.errors import IncompatibleVersion, LimitExceeded, Truncated, WireError
from spirula.types.base import UTime
from spirula.types.cls import cas, fifo, journal, lock, log, queue, refcount, two_phase_queue, user
from spirula.types.entity import EntityAddr, EntityName
from spirula.types.hobject import HObject


def test_lockers_are_written_in_the_order_of_clients_and_cookies() -> None:
    info = lock.LockerInfo(UTime(1, 0), EntityAddr.of("127.0.0.1", 1), "why")
    ids = [
        lock.LockerId(EntityName(8, number), cookie)
        for number in (1, 2, 11)
        for cookie in ("", "a", "b")
    ]
    shuffled = random.Random(1).sample(ids, len(ids))
    held = lock.LockInfo(dict.fromkeys(shuffled, info), lock.LockType.SHARED, "tag")
    again = lock.LockInfo.decode(held.encode())
    assert list(again.lockers) == ids
    assert again.encode() == held.encode()


def test_a_refcount_from_before_retired_references() -> None:
    old = bytes.fromhex("01010a00000001000000010000006101")
    assert refcount.ObjRefcount.decode(old) == refcount.ObjRefcount({"a": True}, set())


def test_log_entries_from_before_ids_and_monotonic_adding() -> None:
    entry = bytes.fromhex("0101160000000100000073010000006e050000000000000000000000")
    assert log.LogEntry.decode(entry) == log.LogEntry("s", "n", UTime(5, 0), b"", "")
    add = bytes.fromhex("01010400000000000000")
    assert log.AddOp.decode(add).monotonic_inc


def test_a_bucket_is_written_with_pools_until_it_has_a_placement_rule() -> None:
    by_pools = user.UserBucket("b", "data", "m", 0, "id", "index", "extra")
    assert by_pools.encode()[:2] == b"\x07\x03"
    assert user.UserBucket.decode(by_pools.encode()) == by_pools
    by_rule = user.UserBucket("b", marker="m", bucket_id="id", placement_id="gold")
    assert by_rule.encode()[:2] == b"\x09\x08"
    assert user.UserBucket.decode(by_rule.encode()) == by_rule


def test_buckets_of_old_releases() -> None:
    name, pool, marker, index = (
        len(text).to_bytes(4, "little") + text for text in (b"b", b"pool", b"m", b"index")
    )
    # Struct version 2: no compat, no length, the id is a number.
    assert user.UserBucket.decode(b"\x02" + name + pool + marker + bytes([7] + [0] * 7)) == (
        user.UserBucket("b", "pool", "m", 7)
    )
    content = name + marker + marker + bytes(4) + pool + index + pool
    version_8 = b"\x08\x08" + len(content).to_bytes(4, "little") + content
    found = user.UserBucket.decode(version_8)
    assert (found.explicit_data_pool, found.explicit_index_pool) == ("pool", "index")


def test_what_a_newer_peer_added_survives_a_rewrite() -> None:
    data = two_phase_queue.UrgentData(
        10, 2, {1: two_phase_queue.Reservation(5, UTime(1, 0), 3)}, False, 4
    )
    assert two_phase_queue.UrgentData.decode(data.encode()) == data
    assert data.encode()[0] == 2
    # What 16.2 knows is written as 16.2 writes it.
    assert two_phase_queue.Reservation(5, UTime(1, 0)).encode()[0] == 1
    assert queue.ListOp(5, "0/1").encode()[0] == 1
    assert queue.ListOp(5, "0/1", "0/9").encode()[0] == 2


def test_a_new_queue_starts_behind_its_head() -> None:
    head = queue.QueueHead()
    assert head.front.offset == head.tail.offset == head.max_head_size == 1024
    assert head.front is not queue.QueueHead().front
    assert str(queue.QueueMarker(3, 1034)) == "3/1034"


def test_an_empty_fifo_has_no_part() -> None:
    info = fifo.Info()
    assert (info.tail_part_num, info.head_part_num) == (0, -1)
    assert (info.min_push_part_num, info.max_push_part_num) == (0, -1)


def test_a_fifo_journal_may_name_a_part_twice() -> None:
    steps = [(1, fifo.JournalEntry(1, 1, "t")), (1, fifo.JournalEntry(2, 1, "t"))]
    assert fifo.Info.decode(fifo.Info(journal=steps).encode()).journal == steps


def test_journal_entries_are_checked() -> None:
    entry = journal.Entry(2, 3, b"payload")
    raw = entry.encode()
    assert len(raw) == 33 + len(entry.data)
    assert journal.Entry.decode(raw) == entry
    for at in range(len(raw)):
        damaged = bytearray(raw)
        damaged[at] ^= 0x10
        with pytest.raises(WireError):
            journal.Entry.decode(bytes(damaged))


HASHES = {(7, 0xFFFFFFFF): 1, (7, 1): 200, (-1, 0): 2**40, (2**40, 0x00ABCDEF): 3}
REFS: list[cas.AnyRefs] = [
    cas.ChunkRefsByObject([HObject.of(1, "a", 0x1234), HObject.of(1, "a", 0x1234)]),
    cas.ChunkRefsByHash(2**40 + 204, 32, HASHES),
    cas.ChunkRefsByHash(3, 3, {(1, 5): 3}),
    cas.ChunkRefsByPool(2**40, {-5: 1, 3: 2**63}),
    cas.ChunkRefsCount(12),
]


@pytest.mark.parametrize("refs", REFS)
def test_references_in_every_form(refs: cas.AnyRefs) -> None:
    chunk = cas.ChunkRefs(refs)
    raw = chunk.encode()
    assert cas.ChunkRefs.decode(raw, exact=True) == chunk
    assert cas.ChunkRefs.decode(raw).encode() == raw


def test_references_take_as_few_bytes_of_the_hash_as_they_have_bits() -> None:
    def content(bits: int) -> bytes:
        return cas.ChunkRefsByHash(1, bits, {(1, 1): 1}).encode()[6:]

    assert content(8) == bytes([1, 8, 1, 2, 1, 1])
    assert content(9) == bytes([1, 9, 1, 2, 1, 0, 1])
    assert content(32) == bytes([1, 32, 1, 2, 1, 0, 0, 0, 1])


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("", Truncated),
        ("06", WireError),
        ("03", WireError),
        ("02010103000000010001", WireError),  # a hash of no bits
        ("02010103000000012101", WireError),  # a hash of 33 bits
        ("020101070000000120ffffffff0f", LimitExceeded),  # entries past the end
        ("0201010b000000ffffffffffffffffffff01", WireError),  # a number over 64 bits
        ("0201010a000000ffffffffffffffffff02", WireError),  # just over
        ("0401010400000001017f80", Truncated),
        ("040101ff0000000100", Truncated),
        ("040202020000000100", IncompatibleVersion),
    ],
)
def test_malformed_references(content: str, error: type[WireError]) -> None:
    raw = bytes.fromhex(content)
    with pytest.raises(error):
        cas.ChunkRefs.decode(b"\x01\x01" + len(raw).to_bytes(4, "little") + raw)


HAND_WRITTEN: list[Struct] = [cas.ChunkRefs(refs) for refs in REFS]
HAND_WRITTEN += [refs for refs in REFS if not isinstance(refs, cas.ChunkRefsByObject)]
HAND_WRITTEN.append(journal.Entry(2, 3, b"payload"))


@pytest.mark.parametrize("value", HAND_WRITTEN)
def test_half_a_value_is_refused(value: Struct) -> None:
    raw = value.encode()
    for length in range(len(raw)):
        with pytest.raises(WireError):
            type(value).decode(raw[:length])


@pytest.mark.parametrize("value", HAND_WRITTEN)
def test_damage_raises_nothing_undocumented(value: Struct) -> None:
    raw = value.encode()
    rng = random.Random(3)
    for _ in range(2000):
        damaged = bytearray(raw)
        for _ in range(rng.randrange(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        try:
            found = type(value).decode(bytes(damaged))
        except WireError:
            continue
        found.plain()


def test_what_does_not_fit_cannot_be_encoded() -> None:
    for refs in (cas.ChunkRefsByPool(1 << 64), cas.ChunkRefsByPool(-1)):
        with pytest.raises(WireError):
            refs.encode()
