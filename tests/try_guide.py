"""Runs what the guide to objects shows: `python tests/try_guide.py [CEPH.CONF]`.

Against the cluster of that file, ours or a real Ceph's; without one, against a cluster in this very
process. Takes nothing but an installed Spirula: it is how wheels are tried (`make wheels`).
"""

from __future__ import annotations

import doctest
import sys
from pathlib import Path

from spirula.testing import Cluster

GUIDE = Path(__file__).parents[1] / "docs" / "guide" / "objects.md"


def run(conf: str) -> tuple[int, int]:
    """How many examples failed, and how many there are."""
    failed, tried = doctest.testfile(str(GUIDE), module_relative=False, globs={"CONF": conf})
    return failed, tried


def main() -> int:
    if len(sys.argv) > 1:
        failed, tried = run(sys.argv[1])
    else:
        with Cluster(osds=2, in_process=True) as cluster:
            failed, tried = run(str(cluster.conf))
    version = ".".join(map(str, sys.version_info[:3]))
    print(f"Python {version}: {tried - failed} of {tried} examples do what the guide says")
    return 1 if failed or not tried else 0


if __name__ == "__main__":
    sys.exit(main())
