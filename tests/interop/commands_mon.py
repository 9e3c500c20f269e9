"""Commands about the monitor map, on a cluster of one monitor: it may be asked and changed, but no
second monitor can be added without losing the quorum.
"""

from __future__ import annotations

from tests.interop.compared import Step


def both(prefix, **arguments):
    """Plain and as JSON."""
    return [Step(prefix, **arguments), Step(prefix, format="json", **arguments)]


WAIT = Step("log", logtext=["wait"])
"""16.2 answers changes of the monitor map before they are committed; this comes after that."""

ASKED = [
    *both("mon dump"),
    Step("mon dump", format="json-pretty"),
    Step("mon dump", format="xml"),
    Step("mon dump", format="nonsense"),
    *both("mon dump", epoch=1),
    Step("mon dump", epoch=0),
    Step("mon dump", epoch=99),
    Step("mon dump", epoch="one", outs=False),
    *both("mon stat"),
    Step("mon stat", format="json-pretty"),
    Step("mon getmap", plain=False),
    Step("mon getmap", epoch=99),
    *both("mon feature ls"),
    *both("mon feature ls", with_value="--with-value"),
    Step("mon ok-to-stop", ids=["a"]),
    Step("mon ok-to-stop", ids=["b", "c"]),
    Step("mon ok-to-stop", outs=False),
    Step("mon ok-to-rm", id="a"),
    Step("mon ok-to-rm", id="b"),
    Step("mon ok-to-rm", outs=False),
    Step("mon ok-to-add-offline"),
]

REFUSED = [
    Step("mon add", name="a", addr="127.0.0.9"),
    Step("mon add", name="a", addr="127.0.0.9:3300"),
    Step("mon add", name="b", addr="nowhere", outs=False),
    Step("mon add", name="b", addr="127.0.0.9", location=["rack"]),
    Step("mon rm", name="a"),
    Step("mon rm", name="b"),
    Step("mon remove", name="b"),
    Step("mon rm", name=""),
    Step("mon set-rank", name="b", rank=0),
    Step("mon set-rank", name="a", rank="x", outs=False),
    Step("mon set-weight", name="b", weight=1),
    Step("mon set-addrs", name="b", addrs="v2:127.0.0.1:1"),
    Step("mon set-addrs", name="a", addrs="nonsense"),
    Step("mon set-addrs", name="a", addrs="v2:127.0.0.1:0"),
    Step("mon set election_strategy", strategy="nonsense"),
    Step("mon add disallowed_leader", name="a"),
    Step("mon rm disallowed_leader", name="a"),
    Step("mon set_location", name="b", args=["rack=r"]),
    Step("mon set_location", name="a", args=["rack"]),
    Step("mon set_new_tiebreaker", name="a"),
    Step("mon enable_stretch_mode", tiebreaker_mon="a", new_crush_rule="x", dividing_bucket="y"),
    Step(
        "mon enable_stretch_mode",
        tiebreaker_mon="a",
        new_crush_rule="replicated_rule",
        dividing_bucket="datacenter",
    ),
    Step("mon feature set", feature_name="nonsense"),
    Step("mon feature set", feature_name="pacific"),
    Step("mon feature set", feature_name="reserved", yes_i_really_mean_it=True),
]

CHANGED = [
    Step("mon feature set", feature_name="pacific", yes_i_really_mean_it=True),
    Step("mon set-rank", name="a", rank=0),
    Step("mon set-rank", name="a", rank=5),
    Step("mon set-weight", name="a", weight=9),
    WAIT,
    *both("mon dump"),
    Step("mon set_location", name="a", args=["datacenter=dc1", "rack=r1"]),
    WAIT,
    *both("mon dump"),
    Step("mon enable-msgr2"),
    Step("mon set election_strategy", strategy="disallow"),
    WAIT,
    Step("mon add disallowed_leader", name="b"),
    Step("mon add disallowed_leader", name="a"),
    Step("mon rm disallowed_leader", name="a"),
    Step("mon rm disallowed_leader", name="b"),
    Step("mon set election_strategy", strategy="connectivity"),
    WAIT,
    Step(
        "mon enable_stretch_mode",
        tiebreaker_mon="b",
        new_crush_rule="replicated_rule",
        dividing_bucket="datacenter",
    ),
    Step(
        "mon enable_stretch_mode",
        tiebreaker_mon="a",
        new_crush_rule="replicated_rule",
        dividing_bucket="room",
    ),
    Step(
        "mon enable_stretch_mode",
        tiebreaker_mon="a",
        new_crush_rule="replicated_rule",
        dividing_bucket="datacenter",
    ),
    Step("mon set election_strategy", strategy="classic"),
    WAIT,
    *both("mon dump"),
    *both("mon stat"),
]

STEPS = [*ASKED, *REFUSED, *CHANGED]
