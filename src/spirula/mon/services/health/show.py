"""Health in print: `ceph health`, and the health part of `ceph status`.

Called by the commands, the status and the log. Shapes: upstream `src/mon/HealthMonitor.cc`.
"""

from __future__ import annotations

from collections.abc import Mapping

from spirula.printing import Items
from spirula.types.base import UTime
from spirula.types.service import HealthCheck, HealthMute, HealthStatus

_SHORT = {HealthStatus.ERR: "ERR", HealthStatus.WARN: "WRN", HealthStatus.OK: "OK"}


def severity_of(check: HealthCheck) -> HealthStatus:
    """How bad a check is; a number that is no severity, whoever sent it, is as good as none."""
    return HealthStatus(min(check.severity, HealthStatus.OK))


def status_of(checks: Mapping[str, HealthCheck], mutes: Mapping[str, HealthMute]) -> HealthStatus:
    """The worst of the checks that are not muted."""
    return min(
        (severity_of(check) for code, check in checks.items() if code not in mutes),
        default=HealthStatus.OK,
    )


def document(
    checks: Mapping[str, HealthCheck], mutes: Mapping[str, HealthMute], *, detail: bool
) -> dict[str, object]:
    """`ceph health -f json`."""
    return {
        "status": str(status_of(checks, mutes)),
        "checks": {
            code: {**_check(check, detail=detail), "muted": code in mutes}
            for code, check in sorted(checks.items())
        },
        "mutes": Items("mute", [_mute(mute) for _, mute in sorted(mutes.items())]),
    }


def _check(check: HealthCheck, *, detail: bool) -> dict[str, object]:
    shown: dict[str, object] = {
        "severity": str(severity_of(check)),
        "summary": {"message": check.summary, "count": check.count},
    }
    if detail:
        shown["detail"] = Items("detail_item", [{"message": line} for line in check.detail])
    return shown


def _mute(mute: HealthMute) -> dict[str, object]:
    ttl = {"ttl": str(mute.ttl)} if mute.ttl else {}
    return {
        "code": mute.code,
        **ttl,
        "sticky": mute.sticky,
        "summary": mute.summary,
        "count": mute.count,
    }


def plain(
    checks: Mapping[str, HealthCheck],
    mutes: Mapping[str, HealthMute],
    now: float,
    *,
    detail: bool = False,
    first: str = " ",
    between: str = "; ",
) -> str:
    """`ceph health` in a line, with all details below it where they are wanted.

    `first` stands before the first summary, `between` before each further one.
    """
    shown = [check.summary for code, check in sorted(checks.items()) if code not in mutes]
    if mutes:
        muted = "".join(f" {code}{_left(mute, now)}" for code, mute in sorted(mutes.items()))
        shown.append(f"(muted:{muted})")
    text = str(status_of(checks, mutes))
    if shown:
        text += first + between.join(shown)
    lines = [text]
    if detail:
        for code, check in sorted(checks.items()):
            short = _SHORT[severity_of(check)]
            muted = _muted(mutes[code], now) if code in mutes else ""
            lines.append(f"{muted}[{short}] {code}: {check.summary}")
            lines += [f"    {line}" for line in check.detail]
    return "\n".join(lines) + "\n"


def _left(mute: HealthMute, now: float) -> str:
    if not mute.ttl:
        return ""
    left = float(mute.ttl) - now
    return f"({UTime.at(left).span_text()})" if left > 0 else "(0s)"


def _muted(mute: HealthMute, now: float) -> str:
    left = ""
    if mute.ttl:
        remaining = float(mute.ttl) - now
        left = f" ttl {UTime.at(remaining).span_text()}" if remaining > 0 else "0s"
    return f"(MUTED{left}{', STICKY' if mute.sticky else ''}) "
