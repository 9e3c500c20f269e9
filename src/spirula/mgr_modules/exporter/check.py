"""The state of the cluster as a plugin of Nagios tells it: a line, numbers, and an exit code.

Format: the Monitoring Plugins' development guidelines.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

OK, WARNING, CRITICAL, UNKNOWN = range(4)
_WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
_STATES = {"HEALTH_OK": OK, "HEALTH_WARN": WARNING, "HEALTH_ERR": CRITICAL}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is told. `code` is the plugin's exit code."""

    code: int
    text: str


def check(
    health: Mapping[str, Any],
    numbers: Mapping[str, float],
    ignored: Collection[str] = (),
    *,
    current: bool = True,
) -> Verdict:
    """The verdict on a cluster.

    `health` is the monitors' document, `numbers` are `points.cluster_numbers`. Checks that are
    muted, and those in `ignored`, do not count. Without `current` numbers nobody knows.
    """
    checks = {
        code: one
        for code, one in health.get("checks", {}).items()
        if not one.get("muted") and code not in ignored
    }
    states = [_STATES.get(str(one.get("severity")), CRITICAL) for one in checks.values()]
    state = max(states, default=OK)
    if not health.get("status") or (not current and state == OK):
        state = UNKNOWN
    words = [
        f"{code}: {one.get('summary', {}).get('message', '')}"
        for code, one in sorted(
            checks.items(), key=lambda item: -_STATES.get(str(item[1].get("severity")), CRITICAL)
        )
    ]
    if not current:
        words.append("numbers may not be up to date")
    total, up = int(numbers["num_osd"]), int(numbers["num_osd_up"])
    told = "; ".join(words) or (
        f"{int(numbers['mon_quorum'])} monitors in quorum, {up} of {total} OSDs up, "
        f"{int(numbers['num_pgs'])} PGs"
    )
    shown = " ".join(_measured(numbers))
    return Verdict(state, f"CEPH {_WORDS[state]} - {_plain(told)} | {shown}\n")


def _plain(text: str) -> str:
    """A line's text; `|` would begin the numbers."""
    return text.replace("|", "/").replace("\n", " ")


def _measured(numbers: Mapping[str, float]) -> list[str]:
    """Numbers as `label=value[unit];warn;crit;min;max`."""

    def of(label: str, key: str, most: str = "") -> str:
        end = f";;;0;{int(numbers[most])}" if most else ";;;0"
        return f"{label}={int(numbers[key])}{end}"

    return [
        of("mons_in_quorum", "mon_quorum", "num_mon"),
        of("osds_up", "num_osd_up", "num_osd"),
        of("osds_in", "num_osd_in", "num_osd"),
        of("pgs_active", "num_pgs_active", "num_pgs"),
        of("pgs_clean", "num_pgs_clean", "num_pgs"),
        of("objects", "num_objects"),
        f"bytes_used={int(numbers['bytes_used'])}B;;;0;{int(numbers['bytes_total'])}",
    ]
