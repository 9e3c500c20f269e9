"""An OSD sees to its place in the CRUSH map when it starts: its host, its weight, its device class.

Awaited by `osd.start`, before the OSD boots. Behaviour: upstream `src/osd/OSD.cc`
(update_crush_location, update_crush_device_class), `src/crush/CrushLocation.cc`.
"""

from __future__ import annotations

import re
import uuid
from errno import EBUSY, ENOENT
from typing import Any

from spirula.crush.lookup import parse_locations
from spirula.errors import CephError, NotFound
from spirula.osd.state import OSD

_LEAST_WEIGHT = 0.00001
_TIB = 1 << 40
_SEPARATORS = re.compile(r"[;,\s]+")


def location(text: str, hostname: str) -> list[str]:
    """`crush_location` as a list of TYPE=NAME; where it is empty the host under `root=default`.

    Raises InvalidArgument for anything else.
    """
    words = [word for word in _SEPARATORS.split(text.replace('"', "")) if word]
    if not words:
        return [f"host={hostname.partition('.')[0]}", "root=default"]
    return [f"{kind}={name}" for kind, name in sorted(parse_locations(words))]


async def update(osd: OSD) -> None:
    """Tell the monitors where the OSD is. Raises the CephError of a command that failed."""
    config, metadata = osd.config, osd.ports.metadata
    commands: list[dict[str, Any]] = []
    if config.get_bool("osd_crush_update_on_start"):
        weight = config.get_float("osd_crush_initial_weight")
        if weight < 0:
            weight = max(osd.store.statfs().total / _TIB, _LEAST_WEIGHT)
        where = location(config.get_str("crush_location"), metadata.get("hostname", "localhost"))
        commands.append(
            {
                "prefix": "osd crush create-or-move",
                "id": osd.whoami,
                "weight": round(weight, 4),
                "args": where,
            }
        )
    if config.get_bool("osd_class_update_on_start"):
        kind = _device_class(osd)
        if kind:
            commands.append(
                {
                    "prefix": "osd crush set-device-class",
                    "class": kind,
                    "ids": [str(osd.whoami)],
                }
            )
    for command in commands:
        await _ask(osd, command)


def _device_class(osd: OSD) -> str:
    try:
        found = osd.store.read_meta("crush_device_class").strip()
    except NotFound:
        found = ""
    return found or osd.ports.metadata.get("default_device_class", "")


async def _ask(osd: OSD, command: dict[str, Any]) -> None:
    """Have the monitors carry out a command; they make the OSD first if they do not know it."""
    reply = await osd.monitors.command(command)
    if reply.result == -ENOENT:
        identity = str(uuid.UUID(bytes=bytes(osd.superblock.osd_fsid)))
        created = {"prefix": "osd create", "id": osd.whoami, "uuid": identity}
        (await osd.monitors.command(created)).check()
        reply = await osd.monitors.command(command)
    if reply.result == -EBUSY and command["prefix"].endswith("set-device-class"):
        # It has been given a class already, and keeps it.
        return
    if reply.result < 0:
        raise CephError.from_errno(
            reply.result, f"the monitors refuse '{command['prefix']}': {reply.status}"
        )
