"""Devices that daemons use: where they are, who uses them, and how long they may live.

Known from daemons' metadata (`device_ids`, `device_paths`); what people or modules say of a device
is kept in the monitors' config-key store under `device/`. Upstream: `src/mgr/DaemonState.cc`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from spirula.errors import SpirulaError
from spirula.printing import Items
from spirula.types.base import UTime

if TYPE_CHECKING:
    from spirula.mgr.state import Manager

PREFIX = "device/"


@dataclass(slots=True, eq=False)
class Device:
    """A device by its id. `places` are (host, name on it, path); `metadata` what is kept of it."""

    ident: str
    places: set[tuple[str, str, str]] = field(default_factory=set)
    daemons: set[str] = field(default_factory=set)
    metadata: dict[str, str] = field(default_factory=dict)

    def stamp(self, name: str) -> UTime:
        """`life_expectancy_min`, `_max` or `_stamp`; 0 where it is not known."""
        from_text = self.metadata.get(name, "")
        return parse_time(from_text) or UTime()

    @property
    def wear(self) -> float | None:
        """How worn it is: 1 is as much as it was made for. None where it does not say."""
        try:
            return float(self.metadata["wear_level"])
        except (KeyError, ValueError):
            return None

    def life_text(self, now: float) -> str:
        """How long it may live, in print."""
        least, most = self.stamp("life_expectancy_min"), self.stamp("life_expectancy_max")
        if not least:
            return ""
        if now >= float(least):
            return "now"
        soonest = UTime.at(float(least) - now).span_text()
        if not most:
            return f">{soonest}"
        latest = UTime.at(float(most) - now).span_text()
        return soonest if soonest == latest else f"{soonest} to {latest}"

    def document(self) -> dict[str, Any]:
        """As upstream shows it."""
        shown: dict[str, Any] = {
            "devid": self.ident,
            "location": Items(
                "attachment",
                [
                    {"host": host, "dev": name, "path": path}
                    for host, name, path in sorted(self.places)
                ],
            ),
            "daemons": Items("daemon", sorted(self.daemons)),
        }
        least = self.stamp("life_expectancy_min")
        if least:
            shown["life_expectancy_min"] = str(least)
            shown["life_expectancy_max"] = str(self.stamp("life_expectancy_max"))
            shown["life_expectancy_stamp"] = str(self.stamp("life_expectancy_stamp"))
        if self.wear is not None:
            shown["wear_level"] = self.wear
        return shown


def parse_time(text: str) -> UTime | None:
    """A time as people write it, with or without hours: UTC unless it says otherwise."""
    cleaned = text.strip().replace(" ", "T").replace("Z", "+00:00")
    try:
        found = datetime.fromisoformat(cleaned)
    except ValueError:
        return None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return UTime.at(found.timestamp())


def all_devices(manager: Manager) -> dict[str, Device]:
    """All devices that daemons use or that something is kept of, by id."""
    found: dict[str, Device] = {}
    for ident, metadata in manager.device_notes.items():
        found[ident] = Device(ident, metadata=metadata)
    for daemon in manager.daemons:
        paths = _pairs(daemon.metadata.get("device_paths", ""))
        for name, ident in daemon.devices.items():
            device = found.setdefault(ident, Device(ident))
            device.places.add((daemon.hostname, name, paths.get(name, "")))
            device.daemons.add(str(daemon.key))
    return dict(sorted(found.items()))


def _pairs(text: str) -> dict[str, str]:
    pairs = (word.partition("=") for word in text.split(",") if "=" in word)
    return {name.strip(): value for name, _, value in pairs}


async def load_notes(manager: Manager) -> None:
    """Reads what is kept of devices."""
    listed = await manager.session.command({"prefix": "config-key ls", "format": "json"})
    for key in json.loads(listed.check() or b"[]"):
        if not key.startswith(PREFIX):
            continue
        reply = await manager.session.command({"prefix": "config-key get", "key": key})
        try:
            told = json.loads(reply.check())
        except (SpirulaError, ValueError):
            manager.log(1, f"{key} is no note of a device")
            continue
        if isinstance(told, dict):
            notes = {str(name): str(value) for name, value in told.items()}
            manager.device_notes[key.removeprefix(PREFIX)] = notes


async def keep_notes(manager: Manager, ident: str, notes: dict[str, str]) -> None:
    """Keeps something of a device, or nothing any more. Raises the monitors' refusal."""
    key = PREFIX + ident
    if notes:
        manager.device_notes[ident] = notes
        command, data = {"prefix": "config-key set", "key": key}, json.dumps(notes).encode()
    else:
        manager.device_notes.pop(ident, None)
        command, data = {"prefix": "config-key rm", "key": key}, b""
    (await manager.session.command(command, data)).check()
