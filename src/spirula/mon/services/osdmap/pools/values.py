"""One value that is to be set in a pool, and how it is read: as a number, with units, yes or no.

Called by `set` and `options`. Upstream: `src/mon/OSDMonitor.cc`,
prepare_command_pool_set.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spirula.conf.values import BadValue, parse_float, parse_integer, parse_si, parse_size
from spirula.errors import InvalidArgument
from spirula.types.pool import PGPool

if TYPE_CHECKING:
    from spirula.mon.services.osdmap.service import OSDMapService

_THOUSANDS = ("target_max_objects",)
_BYTES = (
    "target_max_bytes",
    "target_size_bytes",
    "compression_max_blob_size",
    "compression_min_blob_size",
    "csum_max_block",
    "csum_min_block",
)


@dataclass(slots=True)
class Setting:
    """`osd pool set NAME VAR TEXT`, and a copy of the pool's settings to change.

    `sure`: the operator said --yes-i-really-mean-it.
    """

    service: OSDMapService
    name: str
    number: int
    pool: PGPool
    var: str
    text: str
    sure: bool = False

    def integer(self, what: str = "integer value") -> int:
        """The value as a whole number, with units where the option has some.

        Raises InvalidArgument with upstream's text, which calls the value `what`.
        """
        try:
            if self.var in _THOUSANDS:
                return parse_si(self.text, signed=True)
            if self.var in _BYTES:
                return parse_size(self.text, signed=True)
            return parse_integer(self.text)
        except BadValue as error:
            raise InvalidArgument(f"error parsing {what} '{self.text}': {error.message}") from None

    def is_integer(self) -> bool:
        """Whether it is a whole number."""
        try:
            self.integer()
        except InvalidArgument:
            return False
        return True

    def floating(self, what: str) -> float:
        """The value as a finite number. Raises InvalidArgument like `integer`."""
        try:
            value = parse_float(self.text)
        except BadValue as error:
            raise InvalidArgument(f"error parsing {what} '{self.text}': {error.message}") from None
        if not math.isfinite(value):
            raise InvalidArgument(f"error parsing {what} '{self.text}': not a finite number")
        return value

    def says(self, number: int, word: str) -> bool:
        """Whether the value is that word or that number."""
        return self.text == word or (self.is_integer() and self.integer() == number)

    def yes_or_no(self) -> bool:
        """True or false, as a word or a number. Raises InvalidArgument."""
        if self.says(1, "true"):
            return True
        if self.says(0, "false"):
            return False
        raise InvalidArgument("expecting value 'true', 'false', '0', or '1'")
