"""The cluster log. What monitors write by themselves differs; what operators write does not."""

from __future__ import annotations

from tests.interop.compared import Step

STEPS = [
    Step("log", logtext=["hello", "world"]),
    Step("log", logtext=["two\nlines"]),
    Step("log", logtext=[""]),
    Step("log", logtext=[]),
    Step("log", logtext="no list", outs=False),
    *(Step("log", logtext=[f"the last {number}"]) for number in range(6)),
    Step("log last", num=1, format="json", ignore=("[].addrs",)),
    Step("log last", num=4, format="json", ignore=("[].addrs",)),
    Step("log last", num=2),
    Step("log last", num=1, format="json-pretty", plain=False),
    Step("log last", num="x", outs=False),
    Step("log last", num=5, level="error"),
    Step("log last", num=5, level="error", format="json"),
    Step("log last", num=5, level="nonsense", outs=False),
    Step("log last", num=5, channel="cephadm"),
    Step("log last", num=5, level="error", channel="cluster"),
    Step("log last", num=1, level="info", channel="cluster", plain=False),
]
