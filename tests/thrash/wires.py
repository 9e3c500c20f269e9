"""Hosts as network namespaces, and the wires between them: cut, one way or both, slow, lossy.

Each host, and this process as one more, has a tun device whose other end is here: packets go from
one to the other through `Wires`, on the event loop, which loses and delays what it is told to. That
needs root and /dev/net/tun, but nothing that a kernel may lack (netem, filters).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import random
import shutil
import struct
import subprocess
from pathlib import Path

NET = "10.77.0"
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_MTU, _PACKET = 9000, 65536
_DESTINATION = 19
"""Where the last byte of the receiver's address is in an IPv4 packet."""


def reason_to_skip():
    """Why there can be no hosts here, or None."""
    if os.geteuid():
        return "only root can make network namespaces"
    if shutil.which("ip") is None:
        return "no ip command: install iproute2"
    if not Path("/dev/net/tun").exists():
        return "no /dev/net/tun here"
    made = subprocess.run(["ip", "netns", "add", "spirula-try"], capture_output=True, check=False)
    subprocess.run(["ip", "netns", "del", "spirula-try"], capture_output=True, check=False)
    return None if made.returncode == 0 else f"no network namespaces: {made.stderr.decode()}"


def _ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Wires:
    """`count` hosts 1 .. count with addresses `NET`.n in namespaces; this process is host 100."""

    HERE = 100

    def __init__(self, count, seed=0):
        self.rng = random.Random(seed)
        self.hosts = [*range(1, count + 1), self.HERE]
        self.cut: set[tuple[int, int]] = set()
        """Pairs of sender and receiver between which nothing passes."""
        self.delay_s: dict[int, float] = {}
        """How much later what a host sends arrives."""
        self.loss: dict[int, float] = {}
        """How much of what a host sends or is sent is lost."""
        self.passed = self.lost = 0
        self._fds: dict[int, int] = {}

    def namespace(self, host):
        """The name of a host's namespace."""
        return f"spirula-{os.getpid()}-{host}"

    def __enter__(self):
        for host in self.hosts:
            device = f"sp{os.getpid()}h{host}"[-15:]
            fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            fcntl.ioctl(
                fd, _TUNSETIFF, struct.pack("16sH22x", device.encode(), _IFF_TUN | _IFF_NO_PI)
            )
            self._fds[host] = fd
            inside = []
            if host != self.HERE:
                name = self.namespace(host)
                _ip("netns", "add", name)
                _ip("link", "set", device, "netns", name)
                inside = ["-n", name]
                _ip(*inside, "link", "set", "lo", "up")
            _ip(*inside, "link", "set", device, "mtu", str(_MTU), "up")
            _ip(*inside, "addr", "add", f"{NET}.{host}/24", "dev", device)
        return self

    def __exit__(self, *error):
        for fd in self._fds.values():
            os.close(fd)
        for host in self.hosts[:-1]:
            subprocess.run(["ip", "netns", "del", self.namespace(host)], check=False)

    def run(self):
        """Begin to carry packets, on the running loop."""
        loop = asyncio.get_running_loop()
        for host, fd in self._fds.items():
            loop.add_reader(fd, self._read, host, fd)

    def stop(self):
        """Carry no more."""
        loop = asyncio.get_running_loop()
        for fd in self._fds.values():
            loop.remove_reader(fd)

    def _read(self, sender, fd):
        for _ in range(64):
            try:
                packet = os.read(fd, _PACKET)
            except BlockingIOError:
                return
            if packet[0] >> 4 != 4 or (receiver := packet[_DESTINATION]) not in self._fds:
                continue
            lossy = max(self.loss.get(sender, 0), self.loss.get(receiver, 0))
            if (sender, receiver) in self.cut or self.rng.random() < lossy:
                self.lost += 1
                continue
            self.passed += 1
            delay_s = self.delay_s.get(sender, 0)
            if delay_s:
                loop = asyncio.get_running_loop()
                loop.call_later(delay_s, self._write, self._fds[receiver], packet)
            else:
                self._write(self._fds[receiver], packet)

    def _write(self, fd, packet):
        with contextlib.suppress(OSError):  # a queue that is full loses packets, too
            os.write(fd, packet)

    def pull(self, host):
        """Pull a host's link."""
        for other in self.hosts:
            self.cut |= {(host, other), (other, host)}

    def cut_from(self, host):
        """What the host sends arrives nowhere; it hears the others."""
        self.cut |= {(host, other) for other in self.hosts}

    def mend(self):
        """All links are well."""
        self.cut.clear()
        self.delay_s.clear()
        self.loss.clear()
