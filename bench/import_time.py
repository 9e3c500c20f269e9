"""What importing Spirula costs: wall and processor time in ms, medians of fresh processes.

    python bench/import_time.py [--runs N] [MODULE ...]

Without modules: those that users' programs import. An interpreter's own start is not counted.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

MODULES = ("asyncio", "spirula", "spirula.rados", "spirula.rados.aio", "spirula.testing")
PROGRAM = """
import time
wall, cpu = time.perf_counter(), time.process_time()
import {module}
print((time.perf_counter() - wall) * 1e3, (time.process_time() - cpu) * 1e3)
"""


def once(module: str) -> tuple[float, float]:
    """Wall and processor time of one import, in ms."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(module=module)],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    wall, cpu = map(float, ended.stdout.split())
    return wall, cpu


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("modules", nargs="*", default=MODULES)
    parser.add_argument("--runs", type=int, default=10)
    args = parser.parse_args()
    print(f"{'':24}{'wall ms':>10}{'cpu ms':>10}{'least cpu':>11}   (medians of {args.runs})")
    for module in args.modules:
        once(module)  # compiles it, and brings it into the page cache
        walls, cpus = zip(*(once(module) for _ in range(args.runs)), strict=True)
        wall, cpu = statistics.median(walls), statistics.median(cpus)
        print(f"{module:24}{wall:10.1f}{cpu:10.1f}{min(cpus):11.1f}")


if __name__ == "__main__":
    main()
