"""Command line of the recorder: capture a run of scenarios, or choose vectors out of captures.

    python -m tests.interop.record capture FOLDER [--set main|cephx|newer] [--only NAME ...]
    python -m tests.interop.record seen FOLDER
    python -m tests.interop.record choose FOLDER

`capture` needs root (dumpcap on `lo`) and Debian's Ceph 16.2 packages; it writes FOLDER/*.pcap.
`--set newer` takes the daemons of a later release out of the root folder RECORD_NEWER_ROOT.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

from tests.interop.record import choose, scenarios
from tests.interop.record.cluster import Cluster, Ports

_CLUSTER = Path("/mnt")
_ALONE = "RECORD_NETWORK_IS_OURS"
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1


def _alone() -> None:
    """Start over where nobody else's traffic is on `lo`, under a host name and paths that say
    nothing.
    """
    if os.environ.get(_ALONE) is None:
        os.environ[_ALONE] = "1"
        command = [
            "unshare",
            "--net",
            "--uts",
            "--mount",
            sys.executable,
            "-m",
            "tests.interop.record",
        ]
        os.execvp(command[0], [*command, *sys.argv[1:]])
    socket.sethostname("recorded")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))


def _cluster(folder: Path, which: str) -> tuple[Cluster, tuple[scenarios.Scenario, ...]]:
    """The cluster, its files in FOLDER (to its programs: /mnt), and what is to be done."""
    extra = "mon globalid prealloc = 100\n"
    root = Path(os.environ["RECORD_NEWER_ROOT"]) if which == "newer" else None
    files = folder / which
    files.mkdir()
    seen_as = _CLUSTER if root is None else root / _CLUSTER.relative_to("/")
    subprocess.run(["mount", "--bind", str(files), str(seen_as)], check=True)
    if which == "cephx":
        extra += "auth service ticket ttl = 30\nauth mon ticket ttl = 40\n"
        return Cluster(_CLUSTER, Ports(42120, 43400, 43600), "cephx", extra), scenarios.CEPHX
    if which == "newer":
        return Cluster(
            _CLUSTER, Ports(42140, 43700, 43900), extra=extra, root=root
        ), scenarios.NEWER
    return Cluster(_CLUSTER, Ports(42100, 43000, 43300), extra=extra), scenarios.MAIN


def _capture(folder: Path, which: str, only: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kernel").write_text(os.uname().release)
    cluster, steps = _cluster(folder.absolute(), which)
    if only:
        steps = tuple(s for s in steps if s.__name__ in only)
    capture = folder / f"{which}-{time.strftime('%H%M%S')}.pcap"
    ports = cluster.ports.capture_filter()
    listener = subprocess.Popen(
        ["dumpcap", "-i", "lo", "-q", "-P", "-B", "256", "-s", "0", "-f", ports, "-w", str(capture)]
    )
    try:
        time.sleep(2)
        cluster.create(osds=3 if which == "newer" else 4)
        for step in steps:
            began = time.monotonic()
            try:
                step(cluster)
            except (RuntimeError, subprocess.TimeoutExpired, OSError, KeyError, IndexError) as e:
                print(f"{step.__name__}: stopped: {e}", flush=True)
            print(f"{step.__name__}: {time.monotonic() - began:.0f} s", flush=True)
    finally:
        cluster.stop_all()
        time.sleep(1)
        listener.terminate()
        listener.wait()
        shutil.rmtree(folder / which)


def main() -> int:
    parser = argparse.ArgumentParser(prog="record", description=__doc__)
    parser.add_argument("verb", choices=("capture", "seen", "choose"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--set", choices=("main", "cephx", "newer"), default="main")
    parser.add_argument("--only", nargs="*", default=[])
    arguments = parser.parse_args()
    if arguments.verb == "capture":
        _alone()
        _capture(arguments.folder, arguments.set, arguments.only)
    elif arguments.verb == "seen":
        choose.print_seen(sorted(arguments.folder.glob("*.pcap")))
    else:
        choose.write_vectors(sorted(arguments.folder.glob("*.pcap")), arguments.folder / "kernel")
    return 0


if __name__ == "__main__":
    sys.exit(main())
