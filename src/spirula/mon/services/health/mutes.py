"""Mutes: health checks that an operator does not want to hear of, and when a mute ends.

A mute ends with its time, when its check passes, or when there is more to complain of than there
was, unless it is sticky. Called by the service. Rules: upstream `src/mon/HealthMonitor.cc`,
check_mutes.
"""

from __future__ import annotations

from collections.abc import Mapping

from spirula.types.service import HealthCheck, HealthMute


def expire(
    mutes: dict[str, HealthMute], checks: Mapping[str, HealthCheck], now: float
) -> tuple[bool, list[str]]:
    """Drops the mutes that have ended.

    Tells whether anything changed, and why mutes ended, for the cluster log.
    """
    changed, reasons = False, []
    for code, mute in list(mutes.items()):
        why = _ended(mute, checks.get(code), now)
        if why:
            del mutes[code]
            reasons.append(f"Health alert mute {code} cleared ({why})")
            changed = True
        elif not mute.sticky and mute.count and checks[code].count < mute.count:
            # What has become better must not become worse again unnoticed.
            mute.count = checks[code].count
            changed = True
    return changed, reasons


def _ended(mute: HealthMute, check: HealthCheck | None, now: float) -> str:
    if mute.ttl and float(mute.ttl) <= now:
        return f"passed TTL {mute.ttl}"
    if mute.sticky:
        return ""
    if check is None:
        return "health alert cleared"
    if mute.count:
        if check.count > mute.count:
            return f"count increased from {mute.count} to {check.count}"
        return ""
    return "summary changed" if mute.summary != check.summary else ""
