"""What a command's handler gives back, and how else it can end.

A handler returns a `Reply`, or raises a CephError, which becomes the answer's errno and status
line.
`Retry` asks to be called again when what is pending has been committed.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Reply:
    """A command's answer.

    `outs` is the status line and `data` the output. `rc` is 0, or a negative errno where an answer
    with output is an error as well. `commit`: it may leave only when what is pending now has been
    committed; it does not leave at all, and the command is tried again, if that comes to nothing.
    """

    outs: str = ""
    data: bytes = b""
    rc: int = 0
    commit: bool = False


class Retry(Exception):
    """Call the handler again when the services' pending changes are committed."""


def said(outs: str = "", data: bytes | str = b"", *, rc: int = 0) -> Reply:
    """An answer that waits for nothing."""
    return Reply(outs, _bytes(data), rc)


def committed(outs: str = "", data: bytes | str = b"") -> Reply:
    """An answer to a change that is pending now."""
    return Reply(outs, _bytes(data), commit=True)


def lines(text: str) -> str:
    """Text as upstream sends what it has put into a stream: no empty lines, a break at the end."""
    return "".join(f"{line}\n" for line in text.split("\n") if line)


def _bytes(data: bytes | str) -> bytes:
    return data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
