"""Work on many objects: how many at a time, what a failure ends, what a terminal is shown."""

from __future__ import annotations

import asyncio
import io
import sys

import pytest

from spirula.cli.rados_parallel import Progress, for_each


async def numbers(count: int):
    for number in range(count):
        yield number


def test_so_many_at_a_time() -> None:
    running, most, done = 0, 0, []

    async def work(number: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        done.append(number)

    assert asyncio.run(for_each(numbers(50), work, 7)) == 50
    assert (sorted(done), most) == (list(range(50)), 7)


def test_the_first_failure_ends_the_others() -> None:
    ended: list[int] = []

    async def work(number: int) -> None:
        if number == 3:
            raise ValueError("three")
        await asyncio.Event().wait()
        ended.append(number)

    with pytest.raises(ValueError, match="three"):
        asyncio.run(for_each(numbers(10), work, 4))
    assert not ended


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_to_who_watches_and_to_nobody_else(monkeypatch) -> None:
    for stream, is_shown in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        progress = Progress("objects", 10)
        progress.step(5)
        progress.clear()
        assert ("50%  5/10 objects" in stream.getvalue()) == is_shown
        assert stream.getvalue().endswith("\r\033[K") == is_shown
