"""The caps language: what an entity may do, per daemon type, as text stored beside its key.

One module per daemon type, each with `parse(text)`, a frozen caps value (`str` prints as upstream
prints, `to_text` what reads back as the same value) and `is_capable(...)`, which the daemon
calls: `mon`, `osd`, `mds`, `mgr`. A text that does not parse raises `InvalidCaps` and grants
nothing. Called by the daemons and by the monitor's auth service.
"""

from __future__ import annotations

from spirula.auth.caps import mds, mgr, mon, osd
from spirula.auth.caps.grammar import InvalidCaps

__all__ = ["Caps", "InvalidCaps", "parse"]

Caps = mon.MonCaps | osd.OsdCaps | mds.MdsCaps | mgr.MgrCaps


def parse(service: str, text: str) -> Caps:
    """The caps that `text` says for daemons of type `service` (`mon`, `osd`, `mds` or `mgr`).

    Raises InvalidCaps for a malformed text and for any other service, as the monitor's `auth`
    commands answer (upstream AuthMonitor::valid_caps).
    """
    match service:
        case "mon":
            return mon.parse(text)
        case "osd":
            return osd.parse(text)
        case "mds":
            return mds.parse(text)
        case "mgr":
            return mgr.parse(text)
    raise InvalidCaps(f"unknown cap type '{service}'", text=text)
