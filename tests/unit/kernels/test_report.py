"""What a daemon logs about kernels, with the compiled ones and without."""

from __future__ import annotations

import subprocess
import sys

from spirula.kernels import (
    blocks,
    frames,
    hash32,
    layouts,
    names,
    records,
    report,
    straw2,
    transactions,
)

WITHOUT = """
import sys
sys.modules["spirula.kernels._placement"] = None
sys.modules["spirula.kernels._blocks"] = None
sys.modules["spirula.kernels._frames"] = None
sys.modules["spirula.kernels._layouts"] = None
sys.modules["spirula.kernels._records"] = None
sys.modules["spirula.kernels._transactions"] = None
from spirula.kernels import names, report, straw2
from spirula.maps.strhash import str_hash
print(report.implementations())
print(straw2.choose_straw2 is straw2.pure_choose_straw2, str_hash(2, b"foo"))
"""


def test_it_tells_what_is_in_use():
    assert report.implementations() == {
        "blocks": blocks.IMPLEMENTATION,
        "crc32c": "native",
        "frames": frames.IMPLEMENTATION,
        "hash32": hash32.IMPLEMENTATION,
        "layouts": layouts.IMPLEMENTATION,
        "names": names.IMPLEMENTATION,
        "records": records.IMPLEMENTATION,
        "straw2": straw2.IMPLEMENTATION,
        "transactions": transactions.IMPLEMENTATION,
    }


def test_without_the_compiled_module_the_twins_serve():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True
    )
    kernels = (
        "blocks",
        "crc32c",
        "frames",
        "hash32",
        "layouts",
        "names",
        "records",
        "straw2",
        "transactions",
    )
    found = {kernel: "native" if kernel == "crc32c" else "pure" for kernel in kernels}
    assert done.stdout.splitlines() == [str(found), f"True {0x7FC1F406}"]
