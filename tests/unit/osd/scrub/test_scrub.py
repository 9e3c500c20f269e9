"""Scrubs of a PG of three OSDs: what was changed behind its back is found, and mended if it can be.

Everything crosses as messages; stores are in memory, so what is "rotten" is changed there.
"""

from __future__ import annotations

import errno
import re

import pytest

from spirula.kernels.crc32c import crc32c
from spirula.maps.state import OSDMapFlag
from spirula.osd.ops import prepare
from spirula.osd.pg import snap_trim
from spirula.osd.scheduler import Turn
from spirula.osd.scrub import schedule
from spirula.osd.scrub.state import ScrubSlots
from spirula.types.hobject import NOSNAP, GHObject
from spirula.types.inconsistency import (
    InconsistentObject,
    ObjectError,
    ObjectId,
    OSDShard,
    ShardError,
)
from spirula.types.object_info import ObjectFlag, ObjectInfo
from spirula.types.osd_op import OpCode, OSDOp, RequestFlag
from spirula.types.osd_op_payload import ScrubListInput, ScrubListReply
from spirula.types.pg import Coll
from spirula.types.transaction import Transaction
from tests.unit.osd.pg.harness import (
    PGID,
    Client,
    Cluster,
    append,
    object_of,
    read,
    write,
    write_full,
)

_COLL = Coll.of(PGID)


class Turns:
    """Gives background work its turns when the test says so."""

    def __init__(self):
        self.waiting = []
        self.replica_ops = self.replica_bytes = 0

    def ask(self, kind, cost, then, who=None):
        turn = Turn(kind, cost, then, 0.0, who)
        self.waiting.append(turn)
        return turn

    def give(self):
        waiting, self.waiting = self.waiting, []
        for turn in waiting:
            if not turn.is_over:
                turn.then()


class Scrubbed(Cluster):
    """A cluster that keeps what goes to the cluster log."""

    def __init__(self, osds=3):
        super().__init__(osds)
        self.lines = []
        for node in self.nodes:
            node.shared.services.clog = lambda level, text: self.lines.append((int(level), text))
        self.make_pg()

    def fill(self, client=None):
        """Objects o0 to o11, of 0 to 1100 bytes."""
        client = client or Client()
        for number in range(12):
            assert self.ask(client, f"o{number}", write_full(b"x" * (number * 100))).result == 0
        return client

    def begin(self, *, deep=True, repair=False):
        pg = self.primary
        schedule.request(pg, deep=deep, repair=repair)
        schedule.tick(pg.shared, [pg], schedule.Load())
        return pg

    def scrub(self, *, deep=True, repair=False):
        """Scrubs from beginning to end; the lines that were logged."""
        self.lines.clear()
        pg = self.begin(deep=deep, repair=repair)
        assert pg.scrubber.run is not None
        self.finish()
        return [text for _, text in self.lines]

    def finish(self):
        for _ in range(20):
            self.settle()
            pg = self.primary
            if pg.scrubber.run is None and "recover" not in self.state:
                if not pg.scrubber.planned.must_scrub:
                    return
                schedule.tick(pg.shared, [pg], schedule.Load())
            self.clock.advance(0.5)
        raise AssertionError(f"the scrub does not end: {pg.scrubber.run} {self.state}")

    def change(self, osd, name, *steps):
        """Does something to one OSD's copy: (method of Transaction, arguments...)."""
        transaction = Transaction()
        for method, *args in steps:
            getattr(transaction, method)(_COLL, GHObject(object_of(name)), *args)
        self.nodes[osd].store.queue_transactions(_COLL, [transaction])
        self.settle()

    def everywhere(self, name):
        """All that each OSD has of an object."""
        found = []
        for node in self.nodes:
            gh = GHObject(object_of(name))
            store = node.store
            omap = store.omap_get(_COLL, gh)
            found.append((store.read(_COLL, gh), store.getattrs(_COLL, gh), omap))
        return found

    def listed(self):
        """What clients are told is inconsistent, by name."""
        found = self.primary.scrub_findings.objects(ObjectId(), 1000)
        return {(one := InconsistentObject.decode(raw)).object.name: one for raw in found}

    def rot(self, osd, name):
        """Reads of one OSD's copy fail from now on, until it is written anew."""
        self.nodes[osd].store.inject_data_error(GHObject(object_of(name)))


@pytest.fixture
def client():
    return Client()


@pytest.fixture
def cluster(client):
    made = Scrubbed()
    made.fill(client)
    return made


def ok(mode="deep-scrub"):
    return [f"1.0 {mode} starts", f"1.0 {mode} ok"]


DAMAGE = {
    "data": ("write", 0, b"ROT"),
    "longer": ("write", 5000, b"ROT"),
    "shorter": ("truncate", 1),
    "attribute": ("setattr", "_user", b"ROT"),
    "no info": ("rmattr", "_"),
    "bad info": ("setattr", "_", b"\xff\xff"),
    "no snapset": ("rmattr", "snapset"),
    "bad snapset": ("setattr", "snapset", b"\xff"),
    "omap": ("omap_setkeys", {"key": b"ROT"}),
    "omap header": ("omap_setheader", b"ROT"),
    "missing": ("remove",),
}


@pytest.mark.parametrize("osd", [0, 2])
@pytest.mark.parametrize("damage", list(DAMAGE))
def test_damage_is_found_told_and_mended(cluster, osd, damage):
    before = cluster.everywhere("o5")
    cluster.change(osd, "o5", DAMAGE[damage])
    lines = cluster.scrub()
    assert re.fullmatch("1.0 deep-scrub [1-9] errors", lines[-1])
    assert "inconsistent" in cluster.state
    assert cluster.primary.info.stats.stats.sum.num_scrub_errors
    assert list(cluster.listed()) == ["o5"]
    cluster.scrub(repair=True)
    assert cluster.everywhere("o5") == before
    assert cluster.state == "active+clean"
    assert cluster.scrub() == ok()
    assert cluster.listed() == {}


def test_a_light_scrub_finds_what_needs_no_reading(cluster):
    cluster.change(1, "o5", ("write", 0, b"ROT"))
    assert cluster.scrub(deep=False) == ok("scrub")
    cluster.change(1, "o6", ("truncate", 1))
    assert cluster.scrub(deep=False)[-1] == "1.0 scrub 2 errors"
    found = cluster.listed()["o6"]
    assert found.errors == ObjectError.SIZE_MISMATCH
    errors = ShardError.SIZE_MISMATCH_INFO | ShardError.OBJ_SIZE_INFO_MISMATCH
    assert found.union_errors == found.shards[OSDShard(1)].errors == errors


def test_what_was_found_is_listed_after_an_object_and_only_in_its_interval(cluster, client):
    for number in range(5):
        cluster.change(2, f"o{number + 5}", ("setattr", "_user", b"ROT"))
    cluster.scrub()
    names = list(cluster.listed())
    assert sorted(names) == [f"o{number + 5}" for number in range(5)]

    def ask(interval=0, after="", most=100):
        op = OSDOp.make(OpCode.SCRUBLS)
        op.indata = ScrubListInput(interval, 0, after, "", NOSNAP, most).encode()
        request = cluster.request("", op, flags=RequestFlag.PGOP | RequestFlag.READ)
        request.hobj = PGID.pgid.first_object()
        tid = cluster.send(client, request)
        cluster.settle()
        reply = client.reply(tid)
        if reply.result < 0:
            return reply.result
        found = ScrubListReply.decode(bytes(reply.ops[0].outdata))
        assert found.interval == cluster.primary.info.history.same_interval_since
        return [InconsistentObject.decode(raw).object.name for raw in found.vals]

    assert ask() == names
    assert ask(most=2) == names[:2]
    assert ask(after=names[1]) == names[2:]
    assert ask(interval=3) == -errno.EAGAIN
    cluster.nodes[2].crash()
    cluster.new_map(up=[0, 1])
    cluster.wait()
    assert ask() == -errno.ENOENT


# ---------------------------------------------------------------------------------- never guessing


@pytest.mark.parametrize("what", ["data", "attribute", "omap"])
def test_copies_that_differ_are_left_alone_when_none_is_known_to_be_right(cluster, client, what):
    cluster.ask(client, "o5", write(b"y", 100))  # so that there is no recorded checksum
    for osd, data in ((0, b"A"), (1, b"B")):
        steps = {
            "data": ("write", 0, data),
            "attribute": ("setattr", "_user", data),
            "omap": ("omap_setkeys", {"key": data}),
        }
        cluster.change(osd, "o5", steps[what])
    before = cluster.everywhere("o5")
    assert cluster.scrub()[-1] != ok()[-1]
    assert list(cluster.listed()) == ["o5"]
    lines = cluster.scrub(repair=True)
    assert any("none is known to be right: not repaired" in line for line in lines)
    assert cluster.everywhere("o5") == before
    assert cluster.state == "active+clean+inconsistent+failed_repair"
    # Somebody decides, and takes the bad copies away.
    for osd in (0, 1):
        cluster.change(osd, "o5", ("remove",))
    cluster.scrub(repair=True)
    assert cluster.state == "active+clean"
    assert cluster.everywhere("o5") == [before[2]] * 3


def test_the_primarys_copy_is_not_believed_for_being_the_primarys(cluster):
    before = cluster.everywhere("o5")
    cluster.change(0, "o5", ("setattr", "_user", b"ROT"))
    cluster.scrub(repair=True)
    assert cluster.everywhere("o5") == before


def test_a_recorded_checksum_tells_the_one_good_copy_of_three(cluster):
    before = cluster.everywhere("o5")  # written in full: its info has a checksum
    cluster.change(0, "o5", ("write", 0, b"ROT"))
    cluster.change(2, "o5", ("write", 0, b"ROT"))
    cluster.scrub(repair=True)
    assert cluster.everywhere("o5") == before


def test_an_unreadable_copy_is_replaced_and_the_only_readable_one_believed(cluster):
    before = cluster.everywhere("o5")
    cluster.rot(1, "o5")
    cluster.rot(2, "o5")
    assert cluster.scrub()[-1] == "1.0 deep-scrub 2 errors"
    assert cluster.listed()["o5"].union_errors == ShardError.READ_ERROR
    cluster.scrub(repair=True)
    assert cluster.everywhere("o5") == before
    assert sum(node.shared.shards_repaired for node in cluster.nodes) == 2


def test_all_copies_alike_but_not_what_was_recorded_is_no_reason_to_overwrite_one(cluster):
    for osd in range(3):
        cluster.change(osd, "o5", ("write", 0, b"ROT"))
    lines = cluster.scrub()
    assert "1.0 soid 1:7b9804c4:::o5:head : failed to pick suitable auth object" in lines
    # An administrator who has it repaired says with that that the data is right.
    cluster.scrub(repair=True)
    assert cluster.scrub() == ok()
    assert cluster.stored(0, "o5").startswith(b"ROT")


# ------------------------------------------------------------------------------- repair when read


@pytest.mark.parametrize("how", ["unreadable", "checksum", "attributes"])
def test_a_read_that_meets_rotten_data_gets_another_copy(cluster, client, how):
    before = cluster.everywhere("o5")
    if how == "unreadable":
        cluster.rot(0, "o5")
    elif how == "checksum":
        cluster.change(0, "o5", ("write", 0, b"ROT"))
    else:
        cluster.change(0, "o5", ("setattr", "_", b"\xff"))
        cluster.primary.objects.forget(object_of("o5"))
    reply = cluster.ask(client, "o5", read())
    assert (reply.result, bytes(reply.ops[0].outdata)) == (0, b"x" * 500)
    assert cluster.everywhere("o5") == before
    assert cluster.state == "active+clean"
    assert cluster.nodes[0].shared.shards_repaired == 1
    name = "1:7b9804c4:::o5:head"
    assert (4, f"1.0 missing primary copy of {name}, will try copies on 1,2") in cluster.lines


def test_a_read_takes_the_third_copy_and_mends_both_others(cluster, client):
    before = cluster.everywhere("o5")
    cluster.rot(0, "o5")
    cluster.rot(1, "o5")
    reply = cluster.ask(client, "o5", read())
    assert (reply.result, bytes(reply.ops[0].outdata)) == (0, b"x" * 500)
    assert cluster.everywhere("o5") == before
    assert cluster.state == "active+clean"


def test_a_read_of_what_nobody_can_read_fails_and_others_go_on(cluster, client):
    for osd in range(3):
        cluster.rot(osd, "o5")
    for _ in range(2):
        assert cluster.ask(client, "o5", read()).result == -errno.EIO
    assert cluster.ask(client, "o6", read()).result == 0
    assert cluster.ask(client, "o6", append(b"more")).result == 0
    assert "recovery_unfound" in cluster.state


def test_a_replica_that_cannot_read_sends_its_client_to_the_primary(cluster, client):
    cluster.rot(1, "o5")
    request = cluster.request("o5", read(), flags=RequestFlag.BALANCE_READS | RequestFlag.READ)
    request.tid = client.tid = client.tid + 1
    request.connection = client.connection
    cluster.nodes[1].pg.dispatch(request)
    cluster.settle()
    assert client.reply(request.tid).result == -errno.EAGAIN
    assert cluster.ask(client, "o5", read()).result == 0


def test_trimming_of_snapshots_waits_for_the_end_of_a_scrub(cluster):
    pg, turns = held(cluster, 0)
    pg.trimmer.queue.insert(3)
    snap_trim.kick(pg)
    cluster.settle()
    assert not pg.trimmer.wanted
    end_of(cluster, turns)
    assert not pg.trimmer.queue
    assert 3 in pg.info.purged_snaps


def test_an_error_that_a_sound_object_gives_is_the_clients(cluster, client, monkeypatch):
    monkeypatch.setattr(prepare, "prepare_transaction", lambda ctx: -errno.EIO)
    assert cluster.ask(client, "o5", read()).result == -errno.EIO
    assert cluster.lines == []


# --------------------------------------------------------------------------- beside clients' writes


def held(cluster, osd):
    """Takes a scrub to where one OSD is about to look at the first chunk; its turns."""
    shared = cluster.nodes[osd].shared
    shared.scheduler = turns = Turns()
    pg = cluster.begin()
    while not turns.waiting:
        assert cluster.step() or cluster.clock.run_due()
    return pg, turns


def first_of(chosen):
    start, end = chosen
    names = [f"o{number}" for number in range(12)]
    return min((name for name in names if start <= object_of(name) < end), key=object_of)


def end_of(cluster, turns):
    """Lets the scrub come to its end."""
    for _ in range(100):
        turns.give()
        cluster.settle()
        cluster.clock.advance(0.1)
    assert cluster.primary.scrubber.run is None


def test_a_write_pushes_the_chunk_aside_until_that_was_often_enough(cluster, client):
    pg, turns = held(cluster, 0)
    name = first_of(pg.scrubber.range)
    seen = []
    for _ in range(5):
        reply = cluster.ask(client, name, append(b"!"))
        assert reply.result == 0
        assert pg.scrubber.run.preemption.preempted
        seen.append(pg.scrubber.run.preemption.divisor)
        turns.give()
        cluster.settle()
    assert seen == [1, 2, 4, 8, 16]
    tid = cluster.send(client, cluster.request(name, append(b"?")))
    assert cluster.ask(client, name, read()).result == 0
    assert len(pg.waiting.for_scrub) == 1
    assert client.reply(tid) is None
    end_of(cluster, turns)
    assert client.reply(tid).result == 0
    assert cluster.stored(2, name).endswith(b"!!!!!?")
    assert [text for _, text in cluster.lines] == ok()


def test_a_replica_that_is_written_to_says_so(cluster, client):
    pg, turns = held(cluster, 1)
    name = first_of(cluster.nodes[1].pg.scrubber.range)
    assert cluster.ask(client, name, append(b"!")).result == 0
    assert cluster.nodes[1].pg.scrubber.replica.preempted
    pg.scrubber.run.preemption.preempted = False  # as if only the replica had seen it in time
    turns.give()
    assert cluster.nodes[1].pg.scrubber.range is None
    cluster.settle()
    assert pg.scrubber.run.preemption.divisor == 2
    end_of(cluster, turns)
    assert [text for _, text in cluster.lines] == ok()


def test_statistics_count_what_is_written_meanwhile(cluster, client):
    pg, turns = held(cluster, 0)
    for number in range(12):
        assert cluster.ask(client, f"new{number}", write_full(b"new")).result == 0
        turns.give()
        cluster.settle()
        tid = cluster.send(client, cluster.request(f"o{number}", append(b"!" * 7)))
    end_of(cluster, turns)
    assert client.reply(tid).result == 0
    assert [text for _, text in cluster.lines] == ok()
    assert pg.info.stats.stats.sum.num_objects == 24


def test_watches_that_time_out_wait_for_the_chunk_as_well(cluster):
    pg, turns = held(cluster, 0)
    pg.scrubber.run.preemption.preemptable = False
    hoid = object_of(first_of(pg.scrubber.range))
    done = []
    assert not pg.wait_writable(hoid, lambda: done.append(hoid))
    end_of(cluster, turns)
    assert done == [hoid]


def test_wrong_statistics_are_told_and_set_right(cluster):
    cluster.primary.info.stats.stats.sum.num_bytes += 5
    mismatch = (
        "1.0 scrub : stat mismatch, got 12/12 objects, 0/0 clones, 12/12 dirty, 0/0 omap, "
        "0/0 pinned, 0/0 hit_set_archive, 0/0 whiteouts, 6600/6605 bytes, 0/0 manifest objects, "
        "0/0 hit_set_archive bytes."
    )
    assert cluster.scrub(deep=False)[1:] == [mismatch, "1.0 scrub 1 errors"]
    assert cluster.scrub(repair=True)[-1] == "1.0 repair 1 errors, 1 fixed"
    assert cluster.primary.info.stats.stats.sum.num_bytes == 6600
    assert cluster.state == "active+clean"


def test_checksums_are_recorded_with_objects_that_nobody_changes(cluster, client):
    assert cluster.ask(client, "o5", write(b"y")).result == 0  # the checksum is unknown now
    cluster.scrub()
    assert not info_of(cluster, 0, "o5").flags & ObjectFlag.DATA_DIGEST
    cluster.clock.advance(8000)
    cluster.scrub()
    for osd in range(3):
        info = info_of(cluster, osd, "o5")
        assert info.flags & ObjectFlag.DATA_DIGEST
        assert info.flags & ObjectFlag.OMAP_DIGEST
        assert info.data_digest == crc32c(0xFFFFFFFF, b"y" + b"x" * 499)
    assert cluster.scrub() == ok()


def info_of(cluster, osd, name):
    raw = cluster.nodes[osd].store.getattr(_COLL, GHObject(object_of(name)), "_")
    return ObjectInfo.decode(raw)


def test_a_large_omap_is_warned_of(cluster):
    cluster.primary.options.osd_deep_scrub_large_omap_object_key_threshold = 2
    cluster.change(0, "o5", ("omap_setkeys", {str(number): b"v" for number in range(3)}))
    lines = cluster.scrub()
    assert (
        "Large omap object found. Object: 1:7b9804c4:::o5:head PG: 1.232019de (1.0) "
        "Key count: 3 Size (bytes): 3"
    ) in lines
    total = cluster.primary.info.stats.stats.sum
    assert (total.num_large_omap_objects, total.num_omap_keys, total.num_omap_bytes) == (1, 3, 3)


# ---------------------------------------------------------------------- slots, orders, broken off


def test_nobody_scrubs_more_at_a_time_than_there_are_slots(cluster):
    cluster.nodes[2].shared.scrubs.remote = 1
    pg = cluster.begin()
    cluster.settle()
    assert pg.scrubber.run is None
    assert [node.shared.scrubs for node in cluster.nodes] == [
        ScrubSlots(),
        ScrubSlots(),
        ScrubSlots(remote=1),
    ]
    cluster.nodes[2].shared.scrubs.remote = 0
    pg = cluster.begin()
    assert pg.shared.scrubs == ScrubSlots(local=1)
    cluster.finish()
    assert all(node.shared.scrubs == ScrubSlots() for node in cluster.nodes)


def test_scrubs_that_nobody_asked_for_stop_when_they_are_forbidden(cluster):
    pg = cluster.primary
    schedule.pretend_old(pg, deep=False, seconds=0)
    pg.options.osd_scrub_backoff_ratio = 0.0
    schedule.tick(pg.shared, [pg], schedule.Load())
    assert pg.scrubber.run is not None
    epoch = cluster.maps.newest
    cluster.maps.by_epoch[epoch].flags |= OSDMapFlag.NOSCRUB | OSDMapFlag.NODEEP_SCRUB
    for _ in range(30):
        cluster.settle()
    assert pg.scrubber.run is None
    assert "1.0 scrub ok" not in [text for _, text in cluster.lines]
    schedule.tick(pg.shared, [pg], schedule.Load())
    assert pg.scrubber.run is None
    assert cluster.scrub(deep=False) == ok("scrub")  # what was asked for is done all the same


@pytest.mark.parametrize("steps", [1, 3, 6, 10, 20, 40])
def test_a_new_interval_ends_a_scrub_wherever_it_is(cluster, client, steps):
    pg = cluster.begin()
    for _ in range(steps):
        if not cluster.step():
            cluster.clock.run_due()
    cluster.send(client, cluster.request("o5", append(b"!")))
    cluster.nodes[1].crash()
    cluster.new_map(up=[0, 2])
    cluster.wait()
    assert pg.scrubber.run is None
    assert pg.scrubber.range is None
    assert cluster.nodes[2].pg.scrubber.replica is None
    assert cluster.state.startswith("active+undersized")
    cluster.nodes[1].restart()
    cluster.new_map(up=[0, 1, 2])
    cluster.wait()
    assert all(node.shared.scrubs == ScrubSlots() for node in cluster.nodes)
    assert cluster.scrub() == ok()
    assert cluster.stored(1, "o5") == b"x" * 500 + b"!"
