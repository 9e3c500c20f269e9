"""Reads `mon_host`: where the first monitors are, before any map is known.

Called by whoever makes a `MonClient`. Rules: upstream `src/mon/MonMap.cc` (init_with_hosts),
`doc/rados/configuration/msgr2.rst`; msgr1 addresses are kept in the vectors and not connected to.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from spirula.errors import InvalidArgument
from spirula.types.entity import AddrType, EntityAddr, EntityAddrVec

PORT_MSGR2, PORT_LEGACY = 3300, 6789
_SEPARATORS = " \t\n,;"
_NAME = re.compile(r"(?:(v1|v2):)?([A-Za-z][A-Za-z0-9.-]*)(?::(\d+))?(?:/(\d+))?")
_TYPES = {"v1": AddrType.LEGACY, "v2": AddrType.MSGR2}

Resolve = Callable[[str], list[str]]
"""From a host name to its addresses as text, possibly none."""


def _nobody(name: str) -> list[str]:
    raise InvalidArgument(f"mon_host names the host {name!r}, and names cannot be resolved here")


def parse_mon_host(text: str, resolve: Resolve = _nobody) -> list[EntityAddrVec]:
    """The monitors of `text`, one address vector each.

    A monitor is `[v2:1.2.3.4:3300/0,v1:1.2.3.4:6789/0]`, a single address or a host name; separated
    by commas, semicolons or spaces. Without a type and port both protocols' usual ports are meant.
    Raises InvalidArgument for what is none of these.
    """
    found: list[EntityAddrVec] = []
    for part in _split(text):
        if part.startswith("[") and ("v1:" in part or "v2:" in part):
            if not part.endswith("]"):
                raise InvalidArgument(f"mon_host: {part!r} has no closing bracket")
            addrs = [a for item in part[1:-1].split(",") for a in _addresses(item, resolve)]
            found.append(EntityAddrVec(addrs))
        else:
            found += _one_monitor_each(_addresses(part, resolve))
    if not found:
        raise InvalidArgument("mon_host is empty: it must say where the monitors are")
    return found


def _split(text: str) -> list[str]:
    """The parts of the list; separators inside brackets do not count."""
    parts, depth, part = [], 0, ""
    for char in text:
        depth += {"[": 1, "]": -1}.get(char, 0)
        if char in _SEPARATORS and depth <= 0:
            parts.append(part)
            part = ""
        else:
            part += char
    return [p for p in [*parts, part] if p]


def _addresses(text: str, resolve: Resolve) -> list[EntityAddr]:
    text = text.strip()
    match = _NAME.fullmatch(text)
    if match:
        kind, name, port, nonce = match.groups()
        hosts = resolve(name)
        if not hosts:
            raise InvalidArgument(f"mon_host: no address is known for {name!r}")
        return [
            addr
            for host in hosts
            for addr in _with_ports(
                EntityAddr.of(host, int(port or 0), nonce=int(nonce or 0)), kind
            )
        ]
    try:
        addr = EntityAddr.parse(text)
    except ValueError as error:
        raise InvalidArgument(f"mon_host: {error}") from error
    return _with_ports(addr, text.split(":")[0] if text[:3] in ("v1:", "v2:") else None)


def _with_ports(addr: EntityAddr, kind: str | None) -> list[EntityAddr]:
    """What an address means whose type (`v1`, `v2` or None) or port was left out."""
    if kind is not None:
        default = PORT_MSGR2 if kind == "v2" else PORT_LEGACY
        return [addr.with_type(_TYPES[kind]).with_port(addr.port or default)]
    if addr.port == 0:
        legacy = addr.with_type(AddrType.LEGACY).with_port(PORT_LEGACY)
        return [addr.with_type(AddrType.MSGR2).with_port(PORT_MSGR2), legacy]
    if addr.port == PORT_LEGACY:
        return [addr.with_type(AddrType.LEGACY)]
    return [addr.with_type(AddrType.MSGR2)]


def _one_monitor_each(addrs: list[EntityAddr]) -> list[EntityAddrVec]:
    """Groups addresses by host: each host is one monitor."""
    by_host: dict[str, list[EntityAddr]] = {}
    for addr in addrs:
        by_host.setdefault(addr.host, []).append(addr)
    return [EntityAddrVec(group) for group in by_host.values()]
