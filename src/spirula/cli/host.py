"""What daemons tell of their host, and what they ask of it: metadata, load, open files, addresses.

Used by the commands that run daemons. Names of the metadata: upstream `src/common/util.cc`
(collect_sys_info), `src/common/pick_address.cc`.
"""

from __future__ import annotations

import fcntl
import os
import platform
import resource
import socket
import stat
import struct
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path

from spirula.conf import version
from spirula.conf.config import Config
from spirula.errors import InvalidArgument
from spirula.types.entity import EntityAddr, EntityAddrVec

WANTED_FILES = 16384
"""Open files a daemon wants to be allowed: one for each client."""
_GET_ADDRESS = 0x8915
_DEVICES = Path("/sys/dev/block")
_UNSET = ("", "-", ":/0", "-:0/0", "-:/0")


def allow_many_files() -> None:
    """Raise the limit of open files as far as is wanted and possible."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_FILES if hard == resource.RLIM_INFINITY else min(WANTED_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def turns(path: Path, devices: Path = _DEVICES) -> bool:
    """Whether what holds a file, or the device that it leads to, says that it is a hard disk.

    False for what says nothing of it, such as a file system in memory. Upstream:
    `src/common/blkdev.cc` (is_rotational); a partition is like its disk.
    """
    found = path.stat()
    number = found.st_rdev if stat.S_ISBLK(found.st_mode) else found.st_dev
    device = (devices / f"{os.major(number)}:{os.minor(number)}").resolve()
    for place in (device, device.parent):
        try:
            return (place / "queue" / "rotational").read_text().strip() == "1"
        except OSError:
            continue
    return False


def system_metadata() -> dict[str, str]:
    """What every daemon tells of its host and itself."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024
    release = _os_release()
    uname = platform.uname()
    return {
        "arch": uname.machine,
        "ceph_release": version.RELEASE,
        "ceph_version": version.PRETTY,
        "ceph_version_short": version.CEPH_VERSION,
        "cpu": _cpu_model(),
        "distro": release.get("ID", ""),
        "distro_description": release.get("PRETTY_NAME", ""),
        "distro_version": release.get("VERSION_ID", ""),
        "hostname": uname.node,
        "kernel_description": uname.version,
        "kernel_version": uname.release,
        "mem_swap_kb": "0",
        "mem_total_kb": str(memory),
        "os": uname.system,
    }


def _os_release() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "")


def load_average() -> float:
    """The load of the host over the last minute."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return 0.0


def resident_bytes() -> int:
    """How much memory this process holds."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


# --------------------------------------------------------------------------------------- addresses


def pick_address(
    config: Config, which: str, monitors: Sequence[EntityAddrVec] = ()
) -> EntityAddrVec:
    """Where a daemon listens on the `public` or the `cluster` network; a port of 0 is any.

    As `public_addr` says, else an own address in one of `public_network`, else the one from which
    the monitors are reached. InvalidArgument if there is none in the networks, or no way at all.
    """
    given = config.get_str(f"{which}_addr")
    if given not in _UNSET:
        addr = EntityAddr.parse(given)
        return EntityAddrVec([addr.with_nonce(0)])
    networks = [
        word for word in config.get_str(f"{which}_network").replace(",", " ").split() if word
    ]
    for network in networks:
        found = _address_within(network)
        if found:
            return EntityAddrVec([EntityAddr.of(found, 0)])
    if networks:
        raise InvalidArgument(
            f"unable to find any IP address in networks '{' '.join(networks)}': set {which}_addr"
        )
    for addrs in monitors:
        found = _source_towards(addrs.addrs[0].host)
        if found:
            return EntityAddrVec([EntityAddr.of(found, 0)])
    raise InvalidArgument(f"no address to listen at: set {which}_addr or {which}_network")


def _source_towards(host: str) -> str:
    """The own address from which a host is reached; empty if it is not."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, 9))
        except OSError:
            return ""
        return str(probe.getsockname()[0])


def _address_within(text: str) -> str:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise InvalidArgument(f"{text!r} is not a network like 10.0.0.0/24") from None
    own = _source_towards(str(network.network_address + 1))
    return own if own and ip_address(own) in network else ""


def interface_of(addrs: EntityAddrVec) -> str:
    """The network interface that has the first of these addresses; empty if that is not known."""
    if not addrs.addrs or ":" in addrs.addrs[0].host:
        return ""
    wanted = addrs.addrs[0].host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            try:
                answer = fcntl.ioctl(probe.fileno(), _GET_ADDRESS, request)
            except OSError:
                continue
            if socket.inet_ntoa(answer[20:24]) == wanted:
                return name
    return ""
