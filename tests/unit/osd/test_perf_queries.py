"""Counters by client, object ...: what OSDs count, and what the manager makes of it."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from spirula.messages.mgr import MMgrReport
from spirula.messages.osd_op import MOSDOp
from spirula.mgr.perf_queries import PerfQueries as Wanted
from spirula.mgr.perf_queries import parse
from spirula.osd.perf_queries import PerfQueries
from spirula.types.entity import EntityAddr, EntityName, EntityType
from spirula.types.hobject import HObject
from spirula.types.osd_op import RequestFlag
from spirula.types.perf_query import METRIC_TYPE_OSD, MetricReportMessage, OSDMetricPayload
from spirula.types.pg import PGId, SPGId

READ, WRITE = int(RequestFlag.READ), int(RequestFlag.WRITE)


def request(oid, flags, client=7):
    made = MOSDOp(SPGId(PGId(2, 1)), HObject.of(2, oid, 1), flags=flags)
    made.connection = SimpleNamespace(
        peer_name=EntityName(EntityType.CLIENT, client),
        peer_addrs=SimpleNamespace(addrs=[EntityAddr.parse("v2:127.0.0.1:0/99")]),
    )
    return made


def asked(parts, counters, **more):
    return {
        "key_descriptor": [{"type": kind, "regex": regex} for kind, regex in parts],
        "performance_counter_descriptors": counters,
        **more,
    }


def passed(osd, wanted):
    """What the OSD has counted goes to the manager, as bytes on the wire."""
    report = MMgrReport(daemon_name="0")
    payload = OSDMetricPayload(osd.take())
    report.metric_report_message = MetricReportMessage(METRIC_TYPE_OSD, osd=payload)
    version, _, encoded = report.encode_payload()
    read = MMgrReport.decode_payload(encoded, version)
    wanted.take(read.metric_report_message.osd.report)


@pytest.fixture
def switched():
    return []


@pytest.fixture
def osd(switched):
    return PerfQueries(3, switched.append)


@pytest.fixture
def wanted():
    return Wanted()


def ask(wanted, osd, *args, **more):
    ident = wanted.add(*parse(asked(*args, **more)))
    osd.set(wanted.all())
    return ident


def test_requests_are_counted_by_what_the_expressions_cut_out(osd, wanted):
    ident = ask(
        wanted,
        osd,
        [("client_id", r"^(client)\.(\d+)"), ("object_name", r"^([^.]+)\."), ("osd_id", "(.*)")],
        ["ops", "write_bytes", "read_bytes", "write_latency"],
    )
    osd.add(request("a.1", WRITE), 10, 0, 0.5)
    osd.add(request("a.2", READ), 0, 4, 0.25)
    osd.add(request("b.2", READ | WRITE, client=8), 3, 2, 0.25)
    osd.add(request("other", WRITE), 99, 0, 1)
    passed(osd, wanted)
    assert wanted.fetch(ident) == {
        (("client", "7"), ("a",), ("3",)): [[2, 0], [10, 0], [4, 0], [500_000_000, 1]],
        (("client", "8"), ("b",), ("3",)): [[1, 0], [3, 0], [2, 0], [250_000_000, 1]],
    }
    assert wanted.fetch(ident) == {}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("client_address", "v2:127.0.0.1:0/99"),
        ("pool_id", "2"),
        ("namespace", ""),
        ("pg_id", "2.1"),
        ("snap_id", "head"),
    ],
)
def test_what_keys_are_made_of(osd, wanted, kind, value):
    ident = ask(wanted, osd, [(kind, "^(.*)$")], ["ops"])
    osd.add(request("a", READ), 0, 1, 0)
    passed(osd, wanted)
    assert wanted.fetch(ident) == {((value,),): [[1, 0]]}


def test_only_the_largest_are_reported_where_nobody_wants_more(osd, wanted):
    limit = {"order_by": "bytes", "max_count": 2}
    ident = ask(wanted, osd, [("object_name", "(.*)")], ["ops", "bytes"], limit=limit)
    for number in range(5):
        osd.add(request(f"o{number}", WRITE), number, 0, 0)
    passed(osd, wanted)
    assert {key[0][0] for key in wanted.fetch(ident)} == {"o3", "o4"}
    everything = ask(wanted, osd, [("object_name", "(.*)")], ["ops", "bytes"])
    for number in range(5):
        osd.add(request(f"o{number}", WRITE), number, 0, 0)
    passed(osd, wanted)
    assert len(wanted.fetch(everything)) == 5


def test_an_osd_is_told_to_count_and_to_stop(osd, wanted, switched):
    first = ask(wanted, osd, [("pool_id", "(.*)")], ["ops"])
    assert wanted.remove(first)
    assert not wanted.remove(first)
    osd.set(wanted.all())
    assert switched == [True, False]
    assert wanted.fetch(first) is None


@pytest.mark.parametrize(
    "query",
    [
        asked([("object_name", "no group")], ["ops"]),
        asked([("object_name", "(")], ["ops"]),
        asked([("colour", "(.*)")], ["ops"]),
        asked([("object_name", "(.*)")], ["miles"]),
        asked([], ["ops"]),
        asked([("pg_id", "(.*)")], ["ops"], limit={"order_by": "bytes", "max_count": 1}),
        {},
    ],
)
def test_queries_that_are_none(query):
    with pytest.raises((ValueError, KeyError, re.error)):
        parse(query)
