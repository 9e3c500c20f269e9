"""Shutting clients out: the blocklist, by address, by host, by network; commands and what they use.

Texts: upstream `src/mon/OSDMonitor.cc`, prepare_command_impl and `blocklist`.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from spirula.commands.arguments import choices, entity_addr, number, text
from spirula.commands.reply import Reply, committed, said
from spirula.commands.table import CommandFlag, Commands
from spirula.denc.features import RANGE_BLOCKLIST
from spirula.errors import InvalidArgument
from spirula.maps.dump.values import time_text
from spirula.maps.state import Release
from spirula.mon.services.osdmap.crush.checks import check_cluster_features
from spirula.printing import Items, general
from spirula.types.base import UTime
from spirula.types.entity import AddrType, EntityAddr, EntityAddrVec

if TYPE_CHECKING:
    from spirula.mon.request import Request
    from spirula.mon.services.osdmap.service import OSDMapService

commands = Commands("osd")
_EXPIRE = number(0.0, required=False)


def blocklist_all(service: OSDMapService, addrs: EntityAddrVec, until: UTime) -> int:
    """Shut out a client at all its addresses; gives the epoch from which it is.

    For services that fence a daemon; they propose on the OSD map's behalf.
    """
    for addr in addrs.addrs:
        service.pending.new_blocklist[_entry(service, addr)] = until
    epoch: int = service.pending.epoch
    return epoch


def _entry(service: OSDMapService, addr: EntityAddr) -> EntityAddr:
    nautilus = service.osdmap.require_osd_release >= Release.NAUTILUS
    return addr.with_type(AddrType.ANY if nautilus else AddrType.LEGACY)


@commands.add(
    "osd blocklist",
    range=text(required=False, goodchars="[range]"),
    blocklistop=choices("add", "rm"),
    addr=entity_addr(),
    expire=_EXPIRE,
    perm="rw",
    help="shut out (for `expire` seconds) a client, host or network, or let it in again",
)
def blocklist(
    service: OSDMapService,
    request: Request,
    blocklistop: str,
    addr: str,
    range: str | None = None,
    expire: float | None = None,
) -> Reply:
    """`ceph osd blocklist`."""
    if range not in (None, "range"):
        raise InvalidArgument('Did you mean to specify "osd blocklist range"?')
    return _change(service, blocklistop, addr, expire, network=range is not None)


@commands.add(
    "osd blacklist",
    blacklistop=choices("add", "rm"),
    addr=entity_addr(),
    expire=_EXPIRE,
    perm="rw",
    flags=CommandFlag.DEPRECATED,
    help="shut out (for `expire` seconds) a client or host, or let it in again",
)
def blacklist(
    service: OSDMapService,
    request: Request,
    blacklistop: str,
    addr: str,
    expire: float | None = None,
) -> Reply:
    """`ceph osd blacklist`."""
    return _change(service, blacklistop, addr, expire, network=False)


def _change(
    service: OSDMapService, what: str, word: str, expire: float | None, *, network: bool
) -> Reply:
    try:
        addr = EntityAddr.parse(word)
    except ValueError:
        raise InvalidArgument(f"unable to parse address {word}") from None
    inc, osdmap = service.pending, service.osdmap
    if network:
        addr = _network(service, addr, word)
        known, new, old = (
            osdmap.range_blocklist,
            inc.new_range_blocklist,
            inc.old_range_blocklist,
        )
    else:
        addr = _entry(service, addr)
        known, new, old = osdmap.blocklist, inc.new_blocklist, inc.old_blocklist
    if what == "add":
        seconds = expire
        if seconds is None:
            seconds = service.monitor.config.get_float("mon_osd_blocklist_default_expire")
        until = UTime.at(service.monitor.wall() + seconds)
        new[addr] = until
        if addr in old:
            old.remove(addr)
        service.propose()
        return committed(f"blocklisting {addr} until {time_text(until)} ({general(seconds)} sec)")
    if addr in known:
        old.append(addr)
    elif addr in new:
        del new[addr]
    else:
        return said(f"{addr} isn't blocklisted")
    service.propose()
    return committed(f"un-blocklisting {addr}")


def _network(service: OSDMapService, addr: EntityAddr, word: str) -> EntityAddr:
    """An address whose nonce is the length of a network's prefix."""
    if addr.port or "/" not in word:
        raise InvalidArgument(
            f"You specified a range command, but {addr} does not parse as a CIDR range"
        )
    check_cluster_features(service, RANGE_BLOCKLIST)
    if addr.nonce > ip_address(addr.host).max_prefixlen:
        raise InvalidArgument("Too many bits in range for that protocol!")
    return addr.with_type(AddrType.CIDR)


def _clear(service: OSDMapService) -> Reply:
    inc, osdmap = service.pending, service.osdmap
    inc.new_blocklist.clear()
    inc.new_range_blocklist.clear()
    inc.old_blocklist += [addr for addr in osdmap.blocklist if addr not in inc.old_blocklist]
    inc.old_range_blocklist += [
        addr for addr in osdmap.range_blocklist if addr not in inc.old_range_blocklist
    ]
    service.propose()
    return committed(" removed all blocklist entries")


@commands.add("osd blocklist clear", perm="rw", help="let in everybody who was shut out")
def blocklist_clear(service: OSDMapService, request: Request) -> Reply:
    """`ceph osd blocklist clear`."""
    return _clear(service)


@commands.add(
    "osd blacklist clear",
    perm="rw",
    flags=CommandFlag.DEPRECATED,
    help="let in everybody who was shut out",
)
def blacklist_clear(service: OSDMapService, request: Request) -> Reply:
    """`ceph osd blacklist clear`."""
    return _clear(service)


def _list(service: OSDMapService, request: Request) -> Reply:
    osdmap = service.osdmap
    single, ranges = sorted(osdmap.blocklist.items()), sorted(osdmap.range_blocklist.items())
    outs = f"listed {len(single) + len(ranges)} entries"
    if request.is_plain:
        shown = [f"{addr} {time_text(until)}\n" for addr, until in (*single, *ranges)]
        return said(outs, "".join(shown))
    # Two documents, one behind the other.
    found = ""
    for key, name, entries in (
        ("addr", "blocklist", single),
        ("range", "range_blocklist", ranges),
    ):
        listed = [{key: addr.without_type(), "until": time_text(until)} for addr, until in entries]
        found += request.render(Items("entry", listed), name)
    return said(outs, found)


@commands.add("osd blocklist ls", perm="r", help="show who is shut out, and until when")
def blocklist_ls(service: OSDMapService, request: Request) -> Reply:
    """`ceph osd blocklist ls`."""
    return _list(service, request)


@commands.add(
    "osd blacklist ls",
    perm="r",
    flags=CommandFlag.DEPRECATED,
    help="show who is shut out, and until when",
)
def blacklist_ls(service: OSDMapService, request: Request) -> Reply:
    """`ceph osd blacklist ls`."""
    return _list(service, request)
