"""Work on many objects for `spirula rados`: some at a time, and told to whoever watches.

Called by the sub-commands that copy, remove, export and import. Progress is for terminals: in a
pipe there is none.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

_REFRESH_S = 0.2


class Progress:
    """A line on the error output that tells how far something is; nothing if nobody watches."""

    def __init__(self, what: str, total: int | None = None) -> None:
        self.what = what
        self.total = total or None
        self.done = 0
        self._is_shown = sys.stderr.isatty()
        self._next = 0.0
        self._began = time.monotonic()

    def step(self, count: int = 1) -> None:
        """So much more is done."""
        self.done += count
        now = time.monotonic()
        if not self._is_shown or now < self._next:
            return
        self._next = now + _REFRESH_S
        rate = self.done / max(now - self._began, 1e-3)
        if self.total:
            share = min(self.done / self.total, 1.0)
            bar = f"{'#' * int(share * 30):<30}"
            text = f"[{bar}] {share:4.0%}  {self.done}/{self.total} {self.what}"
        else:
            text = f"{self.done} {self.what}  {rate:.0f}/s"
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()

    def clear(self) -> None:
        """Take the line away, before something else is printed and at the end."""
        if self._is_shown and self._next:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()
            self._next = 0.0


async def for_each(
    items: AsyncIterable[T], work: Callable[[T], Awaitable[None]], at_once: int
) -> int:
    """Do `work` on each item, `at_once` of them at a time; how many there were.

    The first failure ends all, and is raised.
    """
    running: set[asyncio.Task[None]] = set()
    count = 0
    try:
        async for item in items:
            while len(running) >= at_once:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            running.add(asyncio.ensure_future(work(item)))
            count += 1
        if running:
            await asyncio.gather(*running)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    return count
