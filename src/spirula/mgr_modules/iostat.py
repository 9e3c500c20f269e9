"""`iostat`: how much clients read and write; `ceph iostat` asks again and again.

Columns: upstream `src/pybind/mgr/iostat/module.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from spirula.commands.arguments import boolean, integer
from spirula.commands.reply import Reply
from spirula.commands.table import CommandFlag, Commands
from spirula.mgr.commands.dispatch import Request
from spirula.mgr_modules.module import Module
from spirula.mgr_modules.tables import iec

_HEADINGS = ("Read", "Write", "Total", "Read IOPS", "Write IOPS", "Total IOPS")


class Iostat(Module):
    """The module `iostat`."""

    COMMANDS = Commands("mgr")

    @COMMANDS.add(
        "iostat",
        width=integer(required=False),
        print_header=boolean(required=False),
        perm="r",
        flags=CommandFlag.POLL,
        help="show how much is read and written",
    )
    def iostat(self, request: Request, width: int = 80, print_header: bool = False) -> Reply:
        """A row of the present rates; clients want the header now and then."""
        delta = self.host.get("io_rate")["pg_stats_delta"]
        seconds, total = int(float(delta["stamp_delta"])), delta["stat_sum"]

        def rate(name: str) -> int:
            return int(total[name]) // seconds if seconds > 0 else 0

        read, written = rate("num_read_kb") << 10, rate("num_write_kb") << 10
        reads, writes = rate("num_read"), rate("num_write")
        volumes = [f"{iec(n)}B/s" for n in (read, written, read + written)]
        cells = [*volumes, *map(str, (reads, writes, reads + writes))]
        shown = header(_HEADINGS, width) if print_header else ""
        return Reply(data=(shown + row(cells, width)).encode())


def row(cells: Sequence[str], width: int) -> str:
    """Cells as a row of a table of that width."""
    each = max(width // len(cells) - 2, 0)
    return "|" + "".join(f"{cell:>{each}} |" for cell in cells)


def header(cells: Sequence[str], width: int) -> str:
    """Headings between lines."""
    line = "+" + ("-" * (width // len(cells) - 1) + "+") * len(cells)
    return f"{line}\n{row(cells, width)}\n{line}\n"
