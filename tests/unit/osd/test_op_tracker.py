"""What an OSD tells of the requests it works on."""

from __future__ import annotations

import gc
import weakref

import pytest

from spirula.conf.config import Config
from spirula.conf.expand import Identity
from spirula.conf.perf import PerfCollection
from spirula.messages.osd_op import MOSDOp
from spirula.osd.describe import describe, flag_text
from spirula.osd.op_tracker import OpTracker
from spirula.osd.perf import OSDPerf
from spirula.osd.ping_times import PingTimesRecord
from spirula.types.base import UTime
from spirula.types.entity import EntityAddrVec, EntityName, EntityType
from spirula.types.hobject import HObject
from spirula.types.osd_op import AllocHintArgs, Extent, OpCode, OSDOp, RequestFlag
from spirula.types.osd_stats import Pow2Hist
from spirula.types.pg import PGId, SPGId


class Ticket:
    released = 0

    def release(self):
        self.released += 1


class Client:
    peer_name = EntityName(EntityType.CLIENT, 4123)
    peer_type = EntityType.CLIENT
    peer_addrs = EntityAddrVec.parse("v1:10.0.0.1:0/77")

    def __init__(self):
        self.ticket = Ticket()

    def keep_ticket(self):
        return self.ticket


class Clock:
    time = 1000.0

    def now(self):
        return self.time

    def wall(self):
        return 1_700_000_000 + self.time


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def config():
    made = Config(Identity("osd", "0"), daemon=True)
    made.start()
    return made


@pytest.fixture
def tracker(config, clock):
    return OpTracker(config, clock.now, clock.wall)


def write(tid, name="obj", size=4096):
    request = MOSDOp(
        SPGId(PGId(1, 3)),
        HObject.of(1, name, 0x12345678),
        [OSDOp.make(OpCode.WRITE, Extent(0, size), bytes(size))],
        epoch=10,
        flags=RequestFlag.ONDISK | RequestFlag.WRITE,
        mtime=UTime(1, 0),
    )
    request.tid = tid
    request.connection = Client()
    return request


def test_a_request_is_described_as_upstream_does():
    request = write(7)
    request.snap_seq, request.snaps, request.retry_attempt = 5, [5, 3], 2
    assert describe(request) == (
        "osd_op(client.4123.0:7 1.3 1:1e6a2c48:::obj:head [write 0~4096 in=4096b] "
        "snapc 5=[5,3] RETRY=2 ondisk+write e10)"
    )
    assert flag_text(0) == "-"
    hint = OSDOp.make(OpCode.SETALLOCHINT, AllocHintArgs(8192, 4096))
    request.ops = [hint, OSDOp.xattr(OpCode.SETXATTR, "user", b"value")]
    assert "set-alloc-hint object_size 8192 write_size 4096,setxattr user (5)" in describe(request)


def test_requests_under_way_are_shown_with_what_happened_to_them(tracker, clock):
    first, second = write(1), write(2)
    tracker.begin(first)
    clock.time += 2
    tracker.begin(second)
    tracker.mark(first, "waiting for readable")
    clock.time += 1
    shown = tracker.dump_in_flight()
    assert shown["num_ops"] == 2
    entry = shown["ops"][0]
    assert entry["description"].startswith("osd_op(client.4123.0:1 ")
    assert (entry["age"], entry["duration"]) == (3.0, 3.0)
    kind = entry["type_data"]
    assert kind["flag_point"] == "waiting for readable"
    assert kind["client_info"] == {
        "client": "client.4123",
        "client_addr": "v1:10.0.0.1:0/77",
        "tid": 1,
    }
    assert [event["event"] for event in kind["events"]] == ["initiated", "waiting for readable"]
    assert kind["events"][0]["duration"] == 2.0
    assert tracker.end(first) == 3.0
    assert tracker.end(second) == 1.0
    assert tracker.dump_in_flight()["ops"] == []
    assert tracker.end(first) == 0.0


def test_the_longest_of_late_are_remembered_and_hold_no_data(tracker, clock):
    requests = []
    for number in range(50):
        request = write(number)
        requests.append(weakref.ref(request))
        tracker.begin(request)
        clock.time += number % 25
        tracker.end(request)
    del request
    gc.collect()
    assert not [one for one in requests if one() is not None]
    history = tracker.dump_historic(by_duration=True)
    assert history["size"] == 20
    took = [one["duration"] for one in history["ops"]]
    assert took == sorted(took, reverse=True)
    assert len(took) == 20
    assert min(took) >= 15
    slow = tracker.dump_historic_slow()
    assert (slow["num to keep"], slow["threshold to keep"]) == (20, 10)
    assert len(slow["Ops"]) == 20
    clock.time += 601
    assert tracker.dump_historic()["ops"] == []


def test_a_request_that_was_dropped_is_forgotten_and_gives_back_its_share(tracker):
    request = write(1)
    ticket = request.connection.ticket
    tracker.begin(request)
    tracker.keep(request)
    assert tracker.dump_in_flight()["num_ops"] == 1
    del request
    gc.collect()
    assert tracker.dump_in_flight()["num_ops"] == 0
    assert ticket.released == 1

    request = write(2)
    tracker.begin(request)
    tracker.keep(request)
    tracker.end(request)
    assert request.connection.ticket.released == 1


def test_slow_requests_are_counted_and_complained_of(tracker, clock):
    requests = [write(number) for number in range(8)]
    for request in requests:
        tracker.begin(request)
    said = []
    clock.time += 29
    tracker.complain(lambda level, text: said.append(text))
    assert (said, tracker.slow(clock.time)) == ([], (0, 0))
    clock.time += 2
    tracker.complain(lambda level, text: said.append(text))
    assert len(said) == 6
    assert said[0].startswith("slow request osd_op(client.4123.0:0 1.3 ")
    assert said[0].endswith("currently initiated")
    assert said[-1] == "3 more slow requests are under way"
    assert tracker.slow(clock.time) == (8, 31)
    histogram = Pow2Hist()
    tracker.age_histogram(histogram, clock.time)
    assert sum(histogram.h) == 8
    said.clear()
    tracker.complain(lambda level, text: said.append(text))
    assert len(said) == 3  # those that were not named yet
    for request in requests:
        tracker.end(request)
    assert tracker.slow(clock.time) == (0, 0)


def test_nothing_is_tracked_where_that_is_off(config, clock):
    config.set("osd_enable_op_tracker", "false")
    config.apply_changes()
    tracker = OpTracker(config, clock.now, clock.wall)
    request = write(1)
    tracker.begin(request)
    tracker.keep(request)
    assert not tracker.in_flight
    assert tracker.end(request) == 0.0


def test_counters_tell_reads_from_writes():
    perf = OSDPerf(PerfCollection())
    perf.count_op(RequestFlag.READ, 0, 4096, 0.001)
    perf.count_op(RequestFlag.WRITE, 8192, 0, 0.002)
    perf.count_op(RequestFlag.WRITE | RequestFlag.READ, 10, 20, 0.003)
    shown = perf.osd.dump()
    assert (shown["op"], shown["op_r"], shown["op_w"], shown["op_rw"]) == (3, 1, 1, 1)
    assert (shown["op_in_bytes"], shown["op_out_bytes"]) == (8202, 4116)
    assert (shown["op_w_in_bytes"], shown["op_r_out_bytes"]) == (8192, 4096)
    assert shown["op_latency"]["avgcount"] == 3
    assert float(shown["op_latency"]["sum"]) == pytest.approx(0.006)


def test_ping_times_are_means_of_minutes():
    times = PingTimesRecord()
    times.begin(0.0)
    assert times.add(1.0, 100.0, 0.001, 0.002) is None
    found = times.add(60.0, 160.0, 0.003, 0.004)
    assert found.back_pingtime == [2000, 2000, 2000]
    assert (found.back_min, found.back_max) == ([1000] * 3, [3000] * 3)
    assert (found.front_pingtime, found.back_last, found.front_last) == ([3000] * 3, 3000, 4000)
    times.add(61.0, 161.0, 0.010, 0.010)
    assert times.shown.back_last == 10000
    found = times.add(120.0, 220.0, 0.010, 0.010)
    assert found.back_pingtime == [10000, (4 * 2000 + 10000) // 5, (14 * 2000 + 10000) // 15]
    assert found.back_max[0] == found.back_max[2] == 10000
    assert found.last_update == 220
