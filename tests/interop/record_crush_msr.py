"""Record how crushtool of 20.2 maps by rules of the msr types.

Run: `python -m tests.interop.record_crush_msr`. Needs the root of a newer Ceph, see
`tests/interop/newer.py`. What is kept in `tests/golden/crush_msr.xz`: random maps of ours, the
weights of their devices, and its mappings.
"""

from __future__ import annotations

import json
import lzma
import sys
import tempfile
from pathlib import Path

from tests.interop import newer
from tests.interop.crush_mappings import NEWER_TOOL, crushtool_mappings
from tests.unit.crush.random_maps import is_defined, random_msr_map, random_reweights

KEPT = Path(__file__).parents[1] / "golden" / "crush_msr.xz"
MAPS = 120


def main() -> int:
    if reason := newer.why_not():
        sys.exit(reason)
    kept = []
    with tempfile.TemporaryDirectory(dir=Path(newer.ROOT, "tmp")) as folder:
        for seed in range(MAPS):
            crush = random_msr_map(seed)
            if not is_defined(crush, msr=True):
                continue
            weights = random_reweights(seed, crush)
            count = 1 + seed % 12
            found = crushtool_mappings(crush, weights, count, Path(folder, "map"), NEWER_TOOL)
            kept.append(
                {
                    "map": crush.encode().hex(),
                    "weights": weights,
                    "count": count,
                    "mappings": found,
                }
            )
    KEPT.write_bytes(lzma.compress(json.dumps(kept, separators=(",", ":")).encode(), preset=9))
    print(f"{len(kept)} maps, {KEPT.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
