"""Commands about managers that monitors answer, in a cluster without any."""

from __future__ import annotations

from tests.interop.compared import Step


def both(prefix, **arguments):
    """Plain and as JSON."""
    return [Step(prefix, **arguments), Step(prefix, format="json", **arguments)]


STEPS = [
    *both("mgr dump"),
    Step("mgr dump", format="xml"),
    Step("mgr dump", epoch=1, format="json"),
    Step("mgr dump", epoch=0),
    Step("mgr dump", epoch=99),
    *both("mgr stat"),
    *both("mgr services"),
    *both("mgr module ls"),
    *both("mgr metadata"),
    Step("mgr metadata", who="x"),
    *both("mgr versions"),
    *both("mgr count-metadata", property="arch"),
    Step("mgr fail"),
    Step("mgr fail", who="x"),
    Step("mgr fail", who="4100"),
    Step("mgr module enable", module="nonsense"),
    Step("mgr module enable", module="crash"),
    Step("mgr module enable", module="", outs=False),
    Step("mgr module enable", module="nonsense", force="--force"),
    Step("mgr module enable", module="nonsense", force="--force"),
    *both("mgr module ls"),
    Step("mgr module disable", module="crash"),
    Step("mgr module disable", module="nonsense"),
    Step("mgr module disable", module="nonsense"),
    Step("mgr module disable", module="restful"),
    *both("mgr module ls"),
    *both("mds metadata"),
    Step("mds metadata", who="x"),
]
