"""The tables that a test leaves behind for spreadsheets: `crushtool --test --output-csv`.

Called by `tester`. Names, headings and columns are those of upstream's `src/crush/CrushTester.h`,
where the odd ones come from as well: what is called expected in batches is what was stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spirula.printing import general

_FULL = 0x10000


class DataFiles:
    """The files of one rule and number of replicas. `name` is what their names begin with."""

    def __init__(
        self, name: str, replicas: int, weights: Sequence[int], shares: NDArray[np.float32]
    ) -> None:
        self.name = name
        heads = "".join(f", OSD{number}" for number in range(max(replicas, 0)))
        self.placements = [f"Input{heads}\n"]
        self.batches: list[str] = []
        self.weights = weights
        self.shares = shares.tolist()

    def add_placements(self, rows: Iterable[tuple[int, list[int]]]) -> None:
        """Inputs and their places."""
        self.placements.extend(",".join(map(str, [x, *places])) + "\n" for x, places in rows)

    def add_batch(self, number: int, stored: list[int]) -> None:
        """What one batch has put on each device."""
        self.batches.append(",".join(map(str, [number, *stored])) + "\n")

    def write(self, stored: list[int], expected: list[float]) -> None:
        """Write all files. Raises OSError."""
        rows = [
            f"{device},{general(float(has))},{general(wanted)}\n"
            for device, (has, wanted) in enumerate(zip(stored, expected, strict=True))
        ]
        used = [
            row
            for row, has, wanted in zip(rows, stored, expected, strict=True)
            if has > 0 and wanted > 0
        ]
        head = "Device ID, Number of Objects Stored, Number of Objects Expected\n"
        self._write("device_utilization", [head, *used])
        self._write("device_utilization_all", [head, *rows])
        self._write("placement_information", self.placements)
        shares = [f"{device},{general(share)}\n" for device, share in enumerate(self.shares)]
        positive = [row for row, share in zip(shares, self.shares, strict=True) if share > 0]
        self._write("proportional_weights", ["Device ID, Proportional Weight\n", *positive])
        self._write("proportional_weights_all", ["Device ID, Proportional Weight\n", *shares])
        absolute = [
            f"{device},{general(weight / _FULL)}\n" for device, weight in enumerate(self.weights)
        ]
        self._write("absolute_weights", ["Device ID, Absolute Weight\n", *absolute])
        if self.batches:
            for file, what in (("", "Stored"), ("expected_", "Expected")):
                heads = "".join(f", Objects {what} on OSD{at}" for at in range(len(used)))
                self._write(
                    f"batch_device_{file}utilization_all",
                    [f"Batch Round{heads}\n", *self.batches],
                )

    def _write(self, what: str, lines: list[str]) -> None:
        Path(f"{self.name}-{what}.csv").write_text("".join(lines))
