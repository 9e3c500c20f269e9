"""The first map of a cluster's monitors, from what the configuration says of them.

Called by `cli.mon` (mkfs) and `cli.monmaptool`, before there is any monitor to ask. Rules: upstream
`src/mon/MonMap.cc` (build_initial, set_initial_members), for mkfs.
"""

from __future__ import annotations

from collections.abc import Callable

from spirula.client.mon_hosts import PORT_LEGACY, Resolve, parse_mon_host
from spirula.conf.config import Config
from spirula.errors import InvalidArgument, NotFound
from spirula.mon.services.monmap import edit
from spirula.types.base import UTime
from spirula.types.entity import AddrType, EntityAddr, EntityAddrVec
from spirula.types.mon import MonInfo, MonMap

_MON = "mon."
_NO_NAME = "noname-"


def build_initial(
    monmap: MonMap, config: Config, now: float, resolve: Resolve, warn: Callable[[str], None]
) -> None:
    """Put the monitors of `mon_host`, else those of the file's sections `[mon.a]`, into a map.

    Monitors that only have addresses are called `noname-a` and so on. `now` is in seconds since
    1970. `warn` is told of sections that are left out. Raises InvalidArgument for addresses that
    nobody can read, NotFound where there are none.
    """
    hosts = config.get_str("mon_host_override") or config.get_str("mon_host")
    if hosts:
        try:
            found = parse_mon_host(hosts, resolve)
        except InvalidArgument as error:
            raise InvalidArgument(f"unable to parse addrs in '{hosts}'") from error
        for number, addrs in enumerate(found):
            if edit.name_at(monmap, addrs) is None:
                edit.add(monmap, f"{_NO_NAME}{chr(ord('a') + number)}", addrs)
    else:
        _from_sections(monmap, config, warn)
    if not monmap.mon_info:
        raise NotFound("no monitors specified to connect to.")
    monmap.strategy = config.get_int("mon_election_default_strategy")
    monmap.created = monmap.last_changed = UTime.at(now)
    edit.order_by_address(monmap)


def name_members(monmap: MonMap, wanted: list[str]) -> None:
    """Give those that only have an address these names, in the order in which they were listed."""
    free = [name for name in wanted if name not in monmap.mon_info]
    nameless = sorted(name for name in monmap.mon_info if name.startswith(_NO_NAME))
    for old, new in zip(nameless, free, strict=False):
        info = monmap.mon_info.pop(old)
        info.name = new
        monmap.mon_info[new] = info
        monmap.ranks[monmap.ranks.index(old)] = new
    monmap.mon_info = dict(sorted(monmap.mon_info.items()))


def _from_sections(monmap: MonMap, config: Config, warn: Callable[[str], None]) -> None:
    for section in config.file.section_names():
        name = section.removeprefix(_MON)
        if not section.startswith(_MON) or not name:
            continue
        places = [section, "mon", "global"]
        text = config.file.lookup(places, "mon addr")
        if text is None:
            warn(f"failed to get an address for mon.{name}: error -2")
            continue
        text = config.expand(text)
        try:
            addr = EntityAddr.parse(text, AddrType.LEGACY)
        except ValueError:
            warn(f"unable to parse address for mon.{name}: addr='{text}'")
            continue
        numbers = {}
        for field in ("priority", "weight"):
            value = config.file.lookup(places, f"mon {field}") or "0"
            if not value.isascii() or not value.isdecimal():
                warn(f"unable to parse {field} for mon.{name}: {field}='{value}'")
                break
            numbers[field] = int(value) & 0xFFFF
        else:
            addrs = EntityAddrVec([addr if addr.port else addr.with_port(PORT_LEGACY)])
            same = edit.name_at(monmap, addrs)
            if same is not None:
                edit.remove(monmap, same)
            edit.add(monmap, name, addrs)
            monmap.mon_info[name] = MonInfo(name, addrs, numbers["priority"], numbers["weight"])


def set_initial_members(monmap: MonMap, wanted: list[str]) -> list[EntityAddrVec]:
    """Leave only these monitors in a map; those whose address is not known get a blank one.

    The result is the addresses of those that were removed, in order.
    """
    removed = [monmap.mon_info[name].public_addrs for name in monmap.ranks if name not in wanted]
    for name in [name for name in monmap.ranks if name not in wanted]:
        edit.remove(monmap, name)
    nonce = 0
    for name in wanted:
        if name in monmap.mon_info:
            continue
        while True:
            nonce += 1
            blank = EntityAddr.of("0.0.0.0", 0, type=AddrType.LEGACY, nonce=nonce)  # noqa: S104 - means none
            if edit.name_at(monmap, EntityAddrVec([blank])) is None:
                break
        edit.add(monmap, name, EntityAddrVec([blank]))
    edit.order_by_address(monmap)
    return sorted(removed, key=lambda addrs: list(addrs.addrs))
