"""Ids of OSDs as people write them: `3` or `osd.3`, with upstream's words for what is none.

Called by commands that take lists of them; others have the type CephOsdName. Upstream:
`src/common/cmdparse.cc` (parse_osd_id), `src/common/strtol.cc`.
"""

from __future__ import annotations

import re

from spirula.errors import InvalidArgument

_MOST = 0xFFFF
_LONG = 1 << 63
_EINVAL, _ERANGE = -22, -34


class UnreadableId(InvalidArgument):
    """This is no id; `printed` is the number that upstream prints with it."""

    def __init__(self, message: str, printed: int) -> None:
        super().__init__(message)
        self.printed = printed


def parse_osd_id(word: str) -> int:
    """The id in `osd.3` or `3`. Raises UnreadableId."""
    digits = word.removeprefix("osd.")
    if digits[:1] in ("-", "+"):
        raise UnreadableId(f"expected numerical value, got: {digits}", _EINVAL)
    if not re.fullmatch(r"\s*[0-9]{1,99}", digits, re.ASCII):
        raise UnreadableId(f"Expected option value to be integer, got '{digits}'", -1)
    number = int(digits)
    if number >= _LONG:
        raise UnreadableId(f"The option value '{digits}' seems to be invalid", -1)
    if number > _MOST:
        raise UnreadableId(f"osd id {number} is too large", _ERANGE)
    return number
