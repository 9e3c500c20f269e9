"""What a monitor does when its own code fails: a bug that a request has met must not end it.

A handler refuses bad input by raising a CephError. Anything else that is raised is a bug of ours:
it is logged with its traceback, a command is answered with EIO, and the changes that no proposal
holds yet are discarded, of all services: one that was done by half must never be committed. Others
whose changes are discarded with it are tried again. Whatever the quorum member itself raises is not
caught here: its process ends, and starts again from what is durable. Called by `monitor`,
`commands.dispatch` and `proposals`.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spirula.mon.monitor import Monitor


def report(monitor: Monitor, what: str, error: Exception) -> str:
    """Write a bug into the log, with its traceback; the result is what a client is told."""
    for entry in traceback.format_exception(error):
        for line in entry.splitlines():
            monitor.log(-1, line)
    monitor.log(-1, f"{what} failed by a bug; what was not proposed yet is discarded")
    return f"internal error: {type(error).__name__}; see the log of mon.{monitor.name}"


def contain(monitor: Monitor, what: str, error: Exception) -> str:
    """Report a bug, and discard what is pending. See `report`."""
    text = report(monitor, what, error)
    monitor.proposals.discard()
    return text
