"""Command line of the recorder: capture a run of scenarios, or choose vectors out of captures.

    python -m tests.interop.record capture FOLDER [--set main|cephx|newer] [--only NAME ...]
    python -m tests.interop.record seen FOLDER
    python -m tests.interop.record choose FOLDER

`capture` needs root (dumpcap on `lo`) and Debian's Ceph 16.2 packages; it writes FOLDER/*.pcap.
`--set newer` takes the daemons of a later release out of the root folder RECORD_NEWER_ROOT.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.interop.record import choose, scenarios
from tests.interop.record.cluster import Cluster, Ports


def _capture(folder: Path, which: str, only: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    extra = "mon globalid prealloc = 100\n"
    if which == "cephx":
        steps = scenarios.CEPHX
        cluster = Cluster(
            folder / "cephx",
            Ports(42120, 43400, 43600),
            "cephx",
            extra + "auth service ticket ttl = 30\nauth mon ticket ttl = 40\n",
        )
    elif which == "newer":
        steps = scenarios.NEWER
        cluster = Cluster(
            Path("/tmp/recorded"),
            Ports(42140, 43700, 43900),
            extra=extra,
            root=Path(os.environ["RECORD_NEWER_ROOT"]),
        )
    else:
        steps = scenarios.MAIN
        cluster = Cluster(folder / "none", Ports(42100, 43000, 43300), "none", extra)
    if only:
        steps = tuple(s for s in steps if s.__name__ in only)
    capture = folder / f"{which}-{time.strftime('%H%M%S')}.pcap"
    listener = subprocess.Popen(
        [
            "dumpcap",
            "-i",
            "lo",
            "-q",
            "-P",
            "-B",
            "256",
            "-s",
            "0",
            "-f",
            cluster.ports.capture_filter(),
            "-w",
            str(capture),
        ]
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
        cluster.remove()
        time.sleep(1)
        listener.terminate()
        listener.wait()


def main() -> int:
    parser = argparse.ArgumentParser(prog="record", description=__doc__)
    parser.add_argument("verb", choices=("capture", "seen", "choose"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--set", choices=("main", "cephx", "newer"), default="main")
    parser.add_argument("--only", nargs="*", default=[])
    arguments = parser.parse_args()
    if arguments.verb == "capture":
        _capture(arguments.folder, arguments.set, arguments.only)
    elif arguments.verb == "seen":
        choose.print_seen(sorted(arguments.folder.glob("*.pcap")))
    else:
        choose.write_vectors(sorted(arguments.folder.glob("*.pcap")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
