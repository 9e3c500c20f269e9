"""Which health checks have not passed, when first and last, and how often; kept by the monitors.

Shown by `healthcheck history ls` and as the metric `ceph_health_detail`. Keys: upstream
`src/pybind/mgr/prometheus` (HealthHistory).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

_TITLES = ("Healthcheck Name", "First Seen (UTC)", "Last seen (UTC)", "Count", "Active")


@dataclass(slots=True)
class Seen:
    """One check. Times are seconds since 1970; `count` is how often it stopped passing."""

    name: str
    severity: str
    first_seen: float
    last_seen: float
    count: int = 1
    active: bool = True


@dataclass(slots=True)
class History:
    """All checks that have been seen, by name."""

    seen: dict[str, Seen] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str | None) -> History:
        """What was kept. ValueError for what cannot be read."""
        history = cls()
        try:
            for name, told in json.loads(text or "{}").items():
                history.seen[name] = Seen(
                    name,
                    str(told["severity"]),
                    float(told["first_seen"]),
                    float(told["last_seen"]),
                    int(told["count"]),
                    bool(told["active"]),
                )
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"not a history of health checks: {error!r}") from error
        return history

    def note(self, checks: Mapping[str, Any], now: float) -> bool:
        """Takes in the checks that do not pass now; whether anything has changed."""
        changed = False
        for name, one in self.seen.items():
            if one.active and name not in checks:
                one.active, changed = False, True
        for name, check in checks.items():
            known = self.seen.get(name)
            if known is None:
                self.seen[name] = Seen(name, str(check.get("severity", "")), now, now)
                changed = True
            elif not known.active:
                known.active, known.last_seen = True, now
                known.count += 1
                changed = True
        return changed

    def document(self) -> dict[str, Any]:
        """As it is kept, and shown as JSON."""
        return {name: asdict(one) for name, one in self.seen.items()}

    def table(self) -> str:
        """For people."""
        if not self.seen:
            return "No healthchecks have been recorded"
        lines = [_row(*_TITLES)]
        lines += [
            _row(
                one.name,
                _date(one.first_seen),
                _date(one.last_seen),
                one.count,
                "Yes" if one.active else "No",
            )
            for _, one in sorted(self.seen.items())
        ]
        return "\n".join([*lines, f"{len(self.seen)} health check(s) listed", ""])


def _row(name: str, first: str, last: str, count: object, active: str) -> str:
    return f"{name:<24}  {first:<20}  {last:<20}  {count!s:>5}  {active:^6}"


def _date(stamp: float) -> str:
    return time.strftime("%Y/%m/%d %H:%M:%S", time.gmtime(stamp))
