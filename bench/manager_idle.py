"""What an idle manager takes with 3 OSDs and 100 PGs: memory, and how much of a core.

    python bench/manager_idle.py [--sets ours,upstream,dashboard] [--seconds 60]

For our own modules, for those of /usr/share/ceph/mgr that are always on, and for the dashboard and
prometheus beside these. Told is the resident memory of the manager that `spirula up` forks (which
shares pages with the other daemons) and, after it has begun anew (with the dashboard, if that is
asked for), that of a process of its own.
Exit status 1: more than the budget for the manager without the dashboard.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

BUDGET_MIB, BUDGET_OF_A_CORE = 100.0, 0.02
UPSTREAM = "/usr/share/ceph/mgr"
SETS = {
    "ours": ("spirula", ()),
    "upstream": (UPSTREAM, ()),
    "dashboard": (UPSTREAM, ("dashboard", "prometheus")),
}
OSDS, PGS_OF_A_POOL, POOLS = 3, 32, 3
SETTLE_S = 30.0


class Cluster:
    """A cluster of ours in a folder."""

    def __init__(self, folder: Path, settings: list[str]) -> None:
        self.folder = folder
        words = [word for one in settings for word in ("-o", one)]
        self.run("up", "--dir", str(folder), "--osds", str(OSDS), "--mgrs", "1", *words)

    def run(self, *words: str) -> str:
        """What `spirula WORDS...` prints."""
        environment = {**os.environ, "CEPH_CONF": str(self.folder / "ceph.conf")}
        command = [sys.executable, "-m", "spirula", *words]
        ended = subprocess.run(
            command, check=False, stdout=subprocess.PIPE, text=True, env=environment
        )
        ended.check_returncode()
        return ended.stdout

    def ceph(self, *words: str) -> str:
        """What `ceph WORDS...` prints."""
        return self.run("ceph", *words)

    def wait(self, what: str, *words: str) -> None:
        """Until a command's output has it."""
        for _ in range(120):
            with suppress(subprocess.CalledProcessError):  # a manager may be beginning anew
                if what in self.ceph(*words):
                    return
            time.sleep(0.5)
        raise TimeoutError(f"{' '.join(words)} does not tell of {what}")

    @property
    def manager(self) -> Path:
        """The manager's folder in /proc."""
        return Path("/proc") / (self.folder / "run" / "mgr.x.pid").read_text().strip()


def resident_mib(process: Path) -> float:
    """The resident memory of a process."""
    lines = (process / "status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def used_s(process: Path) -> float:
    """The processor time that it has taken."""
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port() -> str:
    """A port of this machine that nobody has."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return str(made.getsockname()[1])


def measure(name: str, seconds: float, settings: list[str]) -> bool:
    """Tells of one set of modules; whether it is within the budget."""
    path, enabled = SETS[name]
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(Path(folder) / "c", [f"mgr module path={path}", *settings])
        try:
            for number in range(POOLS):
                words = f"osd pool create p{number} {PGS_OF_A_POOL} --autoscale-mode off"
                cluster.ceph(*words.split())
            cluster.wait("active+clean", "pg", "stat")
            time.sleep(SETTLE_S)
            forked = resident_mib(cluster.manager)
            for module in enabled:
                cluster.wait('"available": true', "mgr", "dump", "--format", "json-pretty")
                for option, value in (("ssl", "false"), ("server_port", free_port())):
                    where = f"mgr/{module}/{option}"
                    cluster.ceph("config", "set", "mgr", where, value, "--force")
                cluster.ceph("mgr", "module", "enable", module, "--force")
            if not enabled:
                cluster.ceph("mgr", "fail", "x")
            time.sleep(5.0)
            cluster.wait('"available": true', "mgr", "dump", "--format", "json-pretty")
            time.sleep(SETTLE_S)
            before = used_s(cluster.manager)
            time.sleep(seconds)
            share = (used_s(cluster.manager) - before) / seconds
            # A balancer that looks each minute has looked by now.
            alone = resident_mib(cluster.manager)
            pgs = json.loads(cluster.ceph("pg", "stat", "--format", "json"))["pg_summary"]
        finally:
            cluster.run("down", "--dir", str(cluster.folder))
    print(
        f"{name:10} {forked:5.1f} MiB forked by `spirula up`, {alone:5.1f} MiB on its own,"
        f" {share:.2%} of a core, {pgs['num_pgs']} PGs"
        f" (budget: {BUDGET_MIB:.0f} MiB, {BUDGET_OF_A_CORE:.0%})",
        flush=True,
    )
    fits = max(forked, alone) < BUDGET_MIB and share < BUDGET_OF_A_CORE
    return fits or name == "dashboard"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("-o", "--option", action="append", default=[], help="for ceph.conf")
    args = parser.parse_args()
    fits = [measure(name, args.seconds, args.option) for name in args.sets.split(",")]
    return 0 if all(fits) else 1


if __name__ == "__main__":
    sys.exit(main())
