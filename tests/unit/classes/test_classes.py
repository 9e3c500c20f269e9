"""What comparing with real OSDs (tests/interop/test_object_classes.py) cannot show of classes."""

from __future__ import annotations

import errno

import pytest

from spirula.classes.otp import totp
from spirula.classes.registry import ClassRegistry
from spirula.types.base import UTime
from spirula.types.cls import cephfs, journal, lock, otp, user
from spirula.types.cls.journal import AppendOp
from spirula.types.entity import EntityInst, EntityName
from tests.unit.classes.memory_handle import CLIENT, StoredObject, execute

REGISTRY = ClassRegistry()


def call(stored, cls, method, request, **facts):
    reply, handle = execute(stored, cls, method, request.encode(), registry=REGISTRY, **facts)
    return reply, handle


def test_a_lock_ends_by_itself():
    stored = StoredObject()
    op = lock.LockOp("l", lock.LockType.EXCLUSIVE, "c", "", "", UTime(30, 0), 0)
    other = EntityInst(EntityName(8, 99), CLIENT.addr)
    assert call(stored, "lock", "lock", op, now=UTime(1000, 999_999_999))[0].code == 0
    assert (
        call(stored, "lock", "lock", op, now=UTime(1030, 0), origin=other)[0].code == -errno.EBUSY
    )
    assert call(stored, "lock", "lock", op, now=UTime(1031, 0), origin=other)[0].code == 0


@pytest.mark.parametrize(
    ("least_client", "unit", "width", "size"),
    [(14, 4096, 0, 5), (15, 4096, 0, 4096), (15, 0, 0, 8), (15, 4096, 6000, 6000), (15, 5, 0, 5)],
)
def test_journals_are_padded_for_clients_that_know_it(least_client, unit, width, size, monkeypatch):
    monkeypatch.setattr(
        "tests.unit.classes.memory_handle.MemoryHandle.get_min_compatible_client",
        lambda self: least_client,
    )
    stored = StoredObject()
    facts = {"min_alloc_size": unit, "stripe_width": width}
    reply, _ = call(stored, "journal", "append", AppendOp(10000, b"hello"), **facts)
    assert reply.code == 0
    assert stored.data == b"hello".ljust(size, b"\0")
    reply, _ = call(stored, "journal", "append", AppendOp(size, b"hello"), **facts)
    assert reply.code == -errno.EOVERFLOW


# Times and passwords of RFC 6238, appendix B (SHA1).
@pytest.mark.parametrize(
    ("second", "password"),
    [
        (59, "94287082"),
        (1111111109, "07081804"),
        (1111111111, "14050471"),
        (1234567890, "89005924"),
        (2000000000, "69279037"),
    ],
)
def test_passwords_are_those_of_the_rfc(second, password):
    seed = b"12345678901234567890"
    assert totp(seed, second // 30, 8) == password
    stored = StoredObject()
    info = otp.OtpInfo(id="me", seed=seed.hex(), seed_type=otp.SeedType.HEX)
    assert call(stored, "otp", "otp_set", otp.SetOtpOp([info]))[0].code == 0
    for attempt, result in ((0, "SUCCESS"), (0, "FAIL"), (300, "FAIL")):
        op = otp.CheckOtpOp("me", password, "token")
        now = UTime(second + attempt, 0)
        assert call(stored, "otp", "otp_check", op, now=now)[0].code == 0
        reply, _ = call(stored, "otp", "otp_get_result", op, now=now)
        checked = otp.GetResultReply.decode(reply.data).result
        assert checked.result == otp.CheckResult[result]


def test_guessing_passwords_ends_soon():
    stored = StoredObject()
    info = otp.OtpInfo(id="me", seed="00", seed_type=otp.SeedType.HEX)
    call(stored, "otp", "otp_set", otp.SetOtpOp([info]))
    for number in range(8):
        call(stored, "otp", "otp_check", otp.CheckOtpOp("me", f"{number:06}", str(number)))
    kept = otp.OtpInstance.decode(stored.omap["otp/me"])
    assert [check.token for check in kept.last_checks] == ["0", "1", "2", "3", "4"]


def test_sums_of_more_buckets_than_one_listing_holds():
    entries = {
        f"b{n:04}": user.UserBucketEntry(
            bucket=user.UserBucket(f"b{n:04}"), size=2, count=1
        ).encode()
        for n in range(2500)
    }
    stored = StoredObject(exists=True, omap=entries)
    assert call(stored, "user", "reset_user_stats", user.ResetStatsOp())[0].code == 0
    header = user.UserHeader.decode(stored.header)
    assert (header.stats.total_entries, header.stats.total_bytes) == (2500, 5000)


def test_journal_clients_of_many_listings():
    stored = StoredObject()
    call(stored, "journal", "create", journal.CreateOp(24, 4, -1))
    place = journal.ObjectSetPosition([journal.ObjectPosition(0, 7, 3)])
    for n in range(600):
        stored.omap[f"client_{n:04}"] = journal.Client(f"{n:04}", b"", place, 0).encode()
    op = journal.ClientDataOp("new", b"")
    assert call(stored, "journal", "client_register", op)[0].code == 0
    assert journal.Client.decode(stored.omap["client_new"]).commit_position == place


def test_inodes_that_a_scrub_has_marked_are_passed_over():
    params = cephfs.InodeTagFilterArgs("tag").encode()
    chosen = REGISTRY.open("cephfs").filter("inode_tag", params)
    assert (chosen.xattr, chosen.reject_empty) == ("_scrub_tag", False)
    tag = b"\3\0\0\0tag"
    assert not chosen.accepts("1000.00000000", tag)
    assert chosen.accepts("1000.00000000", b"\3\0\0\0old")
    assert chosen.accepts("1000.00000000", b"")
    assert chosen.accepts("1000.00000000", b"damaged")
    assert not chosen.accepts("1000.00000001", b"")
    everything = REGISTRY.open("cephfs").filter("inode_tag", cephfs.InodeTagFilterArgs("").encode())
    assert everything.xattr == ""
    assert everything.accepts("1000.00000000", tag)
    assert not everything.accepts("x", b"")
