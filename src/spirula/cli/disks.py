"""The disks below an OSD's data: which they are, and what they say of their health (smartctl).

Used by `spirula osd`. A disk's id is made of its maker, model and serial number, so that it stays
the same in another host; a disk that tells no serial number has none. Upstream:
`src/common/blkdev.cc` (get_device_id, block_device_get_metrics).
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Document = dict[str, Any]
_MOST_OUTPUT = 100 << 10
"""Bytes of what smartctl says that are looked at, as upstream."""
_FAILED = 3
"""The bits of smartctl's status that say that there is no report."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the kernel and udev tell of disks."""

    sys: Path = Path("/sys")
    udev: Path = Path("/run/udev/data")
    by_path: Path = Path("/dev/disk/by-path")


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk: its name on the host (`sda`), its id and its path, empty where there is none."""

    name: str
    ident: str
    path: str


@dataclass(slots=True)
class Disks:
    """The disks below a file or device."""

    found: list[Disk] = field(default_factory=list)

    def metadata(self) -> dict[str, str]:
        """What an OSD tells of them (`ceph osd metadata`)."""
        return {
            "devices": ",".join(disk.name for disk in self.found),
            "device_ids": ",".join(f"{one.name}={one.ident}" for one in self.found if one.ident),
            "device_paths": ",".join(f"{one.name}={one.path}" for one in self.found if one.path),
        }

    async def smart(self, devid: str, timeout_s: float) -> bytes:
        """What smartctl says of them, by id, or of the one of that id."""
        asked = [one for one in self.found if one.ident and devid in ("", one.ident)]
        told = {disk.ident: await report(disk.name, timeout_s) for disk in asked}
        return json.dumps(told, indent=4).encode()


def disks_below(path: Path, places: Places | None = None) -> Disks:
    """The disks that hold a file, a folder or the device that a link leads to."""
    places = places or Places()
    found = path.stat()
    number = found.st_rdev if stat.S_ISBLK(found.st_mode) else found.st_dev
    start = places.sys / "dev" / "block" / f"{os.major(number)}:{os.minor(number)}"
    names = sorted(_physical(start.resolve())) if start.exists() else []
    return Disks([_describe(name, places) for name in names])


def _physical(device: Path) -> set[str]:
    """The disks that a device is made of: a partition's, a volume's, a mirror's."""
    if (device / "partition").exists():
        return _physical(device.parent)
    with suppress(OSError):
        below = [one.resolve() for one in (device / "slaves").iterdir()]
        if below:
            return {name for one in below for name in _physical(one)}
    return {device.name} if (device / "device").exists() else set()


def _describe(name: str, places: Places) -> Disk:
    device = places.sys / "block" / name
    path = ""
    with suppress(OSError):
        links = sorted(places.by_path.iterdir())
        path = next((str(one) for one in links if one.readlink().name == name), "")
    return Disk(name, _ident(device, places), path)


def _ident(device: Path, places: Places) -> str:
    told = _udev(device, places)
    model = told.get("ID_MODEL", "")
    if model.startswith("LVM PV "):
        # The encoded one has the disk's own.
        encoded = told.get("ID_MODEL_ENC", "").encode("latin-1", "replace")
        model = encoded.decode("unicode_escape").strip()
    vendor, scsi = told.get("ID_VENDOR", ""), told.get("ID_SCSI_SERIAL", "")
    short, serial = told.get("ID_SERIAL_SHORT", ""), told.get("ID_SERIAL", "")
    if vendor and model and scsi:
        ident = f"{vendor}_{model}_{scsi}"
    elif model and short:
        ident = f"{model}_{short}"
    elif serial:
        # Micron's NVMe disks do not say whose they are.
        ident = f"Micron_{serial}" if serial.startswith("MTFD") else serial
    else:
        model, serial = (_line(device / "device" / name) for name in ("model", "serial"))
        ident = f"{model}_{serial}" if model and serial else ""
    return ident.replace(" ", "_")


def _udev(device: Path, places: Places) -> dict[str, str]:
    """What udev has found out of a device."""
    try:
        text = (places.udev / f"b{_line(device / 'dev')}").read_text(errors="replace")
    except OSError:
        return {}
    pairs = (line[2:].partition("=") for line in text.splitlines() if line.startswith("E:"))
    return {key: value for key, _, value in pairs}


def _line(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


async def report(name: str, timeout_s: float) -> Document:
    """The report of smartctl about a disk, or a document that says why there is none."""
    device = f"/dev/{name}"
    words = ["smartctl", "-a", "--json=o", device]
    # It wants to be root; sudo must not ask for a password.
    words = words if os.geteuid() == 0 else ["sudo", "-n", *words]
    if shutil.which(words[0]) is None:
        return _no_report(device, -2, f"{words[0]} is not installed")
    process = await asyncio.create_subprocess_exec(
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), timeout_s)
    except TimeoutError:
        # What it has started goes with it. (Who became root by sudo ends when the disk answers.)
        with suppress(PermissionError, ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        return _no_report(device, -110, f"no answer within {timeout_s:g} s")
    text = output[:_MOST_OUTPUT].decode("utf-8", "replace")
    if (process.returncode or 0) & _FAILED:
        return _no_report(device, -22, text)
    try:
        return {**json.loads(text), "nvme_vendor": "unknown"}
    except (TypeError, ValueError):
        return {"error": "smartctl returned invalid JSON", "dev": device, "output": text}


def _no_report(device: str, code: int, output: str) -> Document:
    return {
        "error": "smartctl failed",
        "dev": device,
        "smartctl_error_code": code,
        "smartctl_output": output,
    }
