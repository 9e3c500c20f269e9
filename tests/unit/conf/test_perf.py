"""Performance counters and the formats that replies are printed in."""

from __future__ import annotations

import json

import pytest

from spirula.conf.formatter import FORMATS, quote, render
from spirula.conf.perf import Axis, PerfCollection, PerfCounters, Priority, Unit
from spirula.errors import InvariantBroken
from spirula.printing import Items, Unquoted


@pytest.fixture
def perf():
    return PerfCollection()


def test_each_kind_of_counter(perf):
    osd = perf.create("osd")
    ops = osd.u64_counter("op", "operations", "ops", Priority.INTERESTING)
    size = osd.u64("numpg", "placement groups", unit=Unit.BYTES)
    average = osd.u64_avg("batch")
    total = osd.time("busy")
    latency = osd.time_avg("lat")
    ops.inc()
    ops.value += 2
    size.value = 5
    size.dec(2)
    average.inc(10)
    average.inc(20)
    total.inc(1.5)
    latency.inc(0.25)
    latency.inc(0.5)
    assert json.loads(render(perf.dump(), "json")) == {
        "osd": {
            "op": 3,
            "numpg": 3,
            "batch": {"avgcount": 2, "sum": 30},
            "busy": 1.5,
            "lat": {"avgcount": 2, "sum": 0.75, "avgtime": 0.375},
        }
    }
    assert '"busy":1.500000000' in render(perf.dump(), "json")
    assert perf.dump(logger="osd", counter="op") == {"osd": {"op": 3}}
    assert perf.dump(logger="mon") == {}
    assert perf.reset("osd")
    assert perf.dump()["osd"]["numpg"] == 3
    assert perf.dump(counter="op") == {"osd": {"op": 0}}
    assert perf.dump(counter="lat")["osd"]["lat"]["avgtime"] == "0.000000000"


def test_the_schema(perf):
    osd = perf.create("osd", priority_adjust=5)
    osd.u64_counter("op", "operations", "ops", Priority.INTERESTING, Unit.BYTES)
    osd.u64_avg("batch")
    osd.time("busy")
    osd.time_avg("lat")
    schema = perf.dump(schema=True)["osd"]
    assert schema["op"] == {
        "type": 10,
        "metric_type": "counter",
        "value_type": "integer",
        "description": "operations",
        "nick": "ops",
        "priority": 10,
        "units": "bytes",
    }
    kinds = {name: (one["type"], one["value_type"]) for name, one in schema.items()}
    assert kinds["batch"] == (6, "integer-integer-pair")
    assert kinds["busy"] == (1, "real")
    assert kinds["lat"] == (5, "real-integer-pair")
    assert schema["lat"]["metric_type"] == "gauge"


def test_histograms(perf):
    osd = perf.create("osd")
    osd.u64("gauge")
    one = osd.histogram("h", Axis("x", 0, 10, 4), Axis("y", 0, 2, 5, log2=True))
    for x, y in ((-1, -1), (0, 0), (9, 1), (10, 2), (999, 3), (5, 4), (5, 999)):
        one.inc(x, y)
    assert perf.dump(histograms=True)["osd"].keys() == {"h"}
    assert "h" not in perf.dump()["osd"]
    dumped = one.dump()
    assert dumped["values"] == [
        [1, 0, 0, 0, 0],
        [0, 2, 0, 1, 1],
        [0, 0, 1, 0, 0],
        [0, 0, 1, 0, 0],
    ]
    assert dumped["axes"][0]["ranges"] == [
        {"max": -1},
        {"min": 0, "max": 9},
        {"min": 10, "max": 19},
        {"min": 20},
    ]
    assert dumped["axes"][1]["ranges"] == [
        {"max": -1},
        {"min": 0, "max": 1},
        {"min": 2, "max": 3},
        {"min": 4, "max": 7},
        {"min": 8},
    ]
    assert perf.dump(schema=True, histograms=True)["osd"]["h"]["type"] == 26
    perf.reset("all")
    assert sum(map(sum, one.dump()["values"])) == 0


def test_each_value_falls_into_the_range_of_its_bucket():
    for axis in (Axis("a", 5, 3, 7), Axis("b", -4, 5, 9, log2=True), Axis("c", 0, 1, 1)):
        ranges = axis.ranges()
        for value in range(-20, 400):
            bounds = ranges[axis.bucket(value)]
            assert bounds.get("min", value) <= value <= bounds.get("max", value)


def test_names_are_kept_apart(perf):
    first, second = perf.create("client"), perf.create("client")
    assert [one.name for one in perf.sorted()] == ["client", "client-2"]
    perf.remove(first)
    perf.remove(PerfCounters("client-2"))
    assert perf.sorted() == [second]
    assert not perf.reset("client")
    first.u64("a")
    with pytest.raises(InvariantBroken):
        first.u64("a")
    with pytest.raises(InvariantBroken):
        first.u64("b", nick="toolong")
    with pytest.raises(InvariantBroken):
        Axis("x", 0, 0, 5)


DOCUMENT = {
    "name": 'a "q" <é>\n\x01',
    "on": True,
    "part": 0.1,
    "list": Items("entry", [1, {"x": Unquoted("1.500")}]),
    "none": [],
}


def test_json():
    text = render(DOCUMENT, "json")
    assert text == (
        '{"name":"a \\"q\\" <é>\\n\\u0001","on":true,"part":0.10000000000000001,'
        '"list":[1,{"x":1.500}],"none":[]}'
    )
    pretty = render(DOCUMENT, "json-pretty")
    assert json.loads(pretty) == json.loads(text)
    assert pretty.startswith('{\n    "name": ')
    assert pretty.endswith('    "none": []\n}\n')
    assert render(DOCUMENT, "whatever") == pretty
    assert quote("\t\x7f\\") == '"\\t\\u007f\\\\"'


def test_xml_and_html():
    assert render(DOCUMENT, "xml", "top") == (
        "<top><name>a &quot;q&quot; &lt;é&gt;\n&#x01;</name><on>true</on>"
        "<part>0.10000000000000001</part>"
        "<list><entry>1</entry><entry><x>1.500</x></entry></list><none></none></top>"
    )
    assert render({"a": [1]}, "xml-pretty", "t") == ("<t>\n <a>\n  <item>1</item>\n </a>\n</t>\n\n")
    assert render({"a": 1}, "html", "t") == "<t><li>a: 1</li></t>"


def test_tables():
    assert render({"a": 1, "b": {"c": "xyz"}}, "table-kv", "t") == (
        'key::t:a[0]="1" key::b:t:c[0]="xyz" \n'
    )
    lines = render({"a": 1, "b": "xyz"}, "table", "t").splitlines()
    assert lines[1] == "| t:a[0]  | t:b[0]  |"
    assert lines[3] == "| 1       | xyz     |"
    assert render({}, "table", "t") == ""


@pytest.mark.parametrize("fmt", FORMATS)
def test_every_format_prints_text(fmt):
    assert "xyz" in render({"a": "xyz"}, fmt, "t")
