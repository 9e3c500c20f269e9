"""Health and its mutes."""

from __future__ import annotations

from tests.interop.compared import Step


def both(prefix, **arguments):
    """Plain and as JSON."""
    return [Step(prefix, **arguments), Step(prefix, format="json", **arguments)]


def shown():
    """Health in every form."""
    return [*both("health"), *both("health", detail="detail")]


FLAGS = "OSDMAP_FLAGS"
TTL = ("mutes[].ttl",)

STEPS = [
    *shown(),
    Step("osd set", key="noout"),
    *shown(),
    Step("health", format="json-pretty"),
    Step("health", format="xml"),
    Step("health mute", code="NOTHING"),
    Step("health mute", code=""),
    Step("health mute", code=FLAGS, ttl="soon"),
    Step("health mute", code=FLAGS, ttl="0s"),
    Step("health mute", code=FLAGS, ttl="3 fortnights"),
    Step("health mute", code="LATER", sticky=True),
    *shown(),
    Step("health mute", code=FLAGS),
    *shown(),
    Step("health unmute", code="NOTHING"),
    Step("health unmute", code=FLAGS),
    *shown(),
    Step("health mute", code=FLAGS, ttl="2h", sticky=True),
    Step("health"),
    Step("health", detail="detail"),
    Step("health", format="json", ignore=TTL),
    Step("health unmute"),
    *shown(),
    Step("osd unset", key="noout"),
    *shown(),
    Step("status", format="json", ignore=("servicemap.modified", "quorum_age")),
]
