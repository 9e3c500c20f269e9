"""`device ...`: devices of daemons, and how long people expect them to live."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.commands.arguments import Argument, text
from spirula.commands.reply import Reply
from spirula.commands.table import Commands
from spirula.errors import InvalidArgument, NotFound
from spirula.mgr.commands.services import parse_daemon
from spirula.mgr.devices import Device, all_devices, keep_notes, parse_time
from spirula.printing import Items, TextTable
from spirula.types.base import UTime

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spirula.mgr.commands.dispatch import Request
    from spirula.mgr.state import Manager

COMMANDS = Commands("mgr")
_TO = Argument("CephString", text().check, False, False, (("req", "False"),))
_LIFE = ("life_expectancy_min", "life_expectancy_max", "life_expectancy_stamp")


def _documents(devices: Iterable[Device]) -> Items:
    return Items("device", [device.document() for device in devices])


def _places(device: Device) -> str:
    return " ".join(f"{host}:{name}" for host, name, _ in sorted(device.places))


@COMMANDS.add("device ls", perm="r", help="list the devices of all daemons")
def ls(manager: Manager, request: Request) -> Reply:
    """All devices."""
    devices = all_devices(manager).values()
    if not request.is_plain:
        return Reply(data=request.show(_documents(devices), "devices"))
    table = TextTable(
        [
            *((name, "<") for name in ("DEVICE", "HOST:DEV", "DAEMONS")),
            ("WEAR", ">"),
            ("LIFE EXPECTANCY", "<"),
        ]
    )
    for device in devices:
        life = device.life_text(manager.ports.wall())
        worn = "" if device.wear is None else f"{int(100.1 * device.wear)}%"
        table.add(device.ident, _places(device), " ".join(sorted(device.daemons)), worn, life)
    return Reply(data=str(table).encode())


@COMMANDS.add("device info", devid=text(), perm="r", help="show what is known of a device")
def info(manager: Manager, request: Request, devid: str) -> Reply:
    """One device."""
    device = all_devices(manager).get(devid)
    if device is None:
        raise NotFound(f"device {devid} not found")
    if not request.is_plain:
        return Reply(data=request.show(device.document(), "device"))
    lines = [f"device {device.ident}"]
    for host, name, path in sorted(device.places):
        lines += [f"attachment {host} {name} {path}", ""]
    lines.append(",".join(sorted(device.daemons)))
    least = device.stamp("life_expectancy_min")
    if least:
        most, stamp = device.stamp("life_expectancy_max"), device.stamp("life_expectancy_stamp")
        lines.append(f"life_expectancy {least} to {most} (as of {stamp})")
    if device.wear is not None:
        lines.append(f"wear_level {device.wear:g}")
    return Reply(data=("\n".join(lines) + "\n").encode())


@COMMANDS.add(
    "device ls-by-daemon", who=text(), perm="r", help="list the devices that a daemon uses"
)
def ls_by_daemon(manager: Manager, request: Request, who: str) -> Reply:
    """The devices of one daemon."""
    state = manager.daemons.get(parse_daemon(who))
    if state is None:
        raise NotFound(f"daemon {who} not found")
    known = all_devices(manager)
    devices = [known[ident] for ident in sorted(set(state.devices.values()))]
    if not request.is_plain:
        return Reply(data=request.show(_documents(devices), "devices"))
    table = TextTable([(name, "<") for name in ("DEVICE", "HOST:DEV", "EXPECTED FAILURE")])
    for device in devices:
        table.add(device.ident, _places(device), device.life_text(manager.ports.wall()))
    return Reply(data=str(table).encode())


@COMMANDS.add("device ls-by-host", host=text(), perm="r", help="list the devices of a host")
def ls_by_host(manager: Manager, request: Request, host: str) -> Reply:
    """The devices of one host."""
    devices = [
        device
        for device in all_devices(manager).values()
        if any(place[0] == host for place in device.places)
    ]
    if not request.is_plain:
        return Reply(data=request.show(_documents(devices), "devices"))
    table = TextTable([(name, "<") for name in ("DEVICE", "DEV", "DAEMONS", "EXPECTED FAILURE")])
    for device in devices:
        names = " ".join(name for where, name, _ in sorted(device.places) if where == host)
        life = device.life_text(manager.ports.wall())
        table.add(device.ident, names, " ".join(sorted(device.daemons)), life)
    return Reply(data=str(table).encode())


@COMMANDS.add(
    "device set-life-expectancy",
    devid=text(),
    from_=text(),
    to=_TO,
    perm="rw",
    help="note from when to when a device is expected to fail",
)
async def set_life_expectancy(
    manager: Manager, request: Request, devid: str, from_: str, to: str = ""
) -> Reply:
    """Keeps a forecast."""
    least, most = parse_time(from_), parse_time(to) if to else UTime()
    for word, parsed in ((from_, least), (to, most)):
        if parsed is None:
            raise InvalidArgument(f"unable to parse datetime '{word}'")
    notes = dict(manager.device_notes.get(devid, {}))
    now = UTime.at(manager.ports.wall())
    notes |= dict(zip(_LIFE, (str(least), str(most) if most else "", str(now)), strict=True))
    await keep_notes(manager, devid, notes)
    return Reply()


@COMMANDS.add(
    "device rm-life-expectancy", devid=text(), perm="rw", help="forget when a device may fail"
)
async def rm_life_expectancy(manager: Manager, request: Request, devid: str) -> Reply:
    """Forgets a forecast."""
    notes = manager.device_notes.get(devid)
    if notes is not None:
        rest = {name: value for name, value in notes.items() if name not in _LIFE}
        await keep_notes(manager, devid, rest)
    return Reply()
