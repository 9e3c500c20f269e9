"""The draw of straw2 buckets for many inputs at once: what mapping many inputs spends its time on.

`choose_straw2` is the compiled twin where it was built, else the one in numpy; `IMPLEMENTATION`
says which. Called by `spirula.crush.vector`; what a draw is says `spirula.crush.mapper`.
"""

from __future__ import annotations

from types import ModuleType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from spirula.kernels.jenkins import U32, Hasher

_native: ModuleType | None
try:
    from spirula.kernels import _placement

    _native = _placement
except ImportError:  # no compiler when it was installed: slower, but everything works
    _native = None

IMPLEMENTATION = "pure" if _native is None else "native"

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]

BLOCK = 16_384
"""Numbers in a block of the twin in numpy: its arrays fit a second-level cache."""

_LOW_16 = np.uint32(0xFFFF)


class ChooseStraw2(Protocol):
    """The signature of both twins."""

    def __call__(
        self,
        x: U32,
        r: U32,
        offset: I64,
        size: I64,
        row: I64,
        ids: U32,
        inverse: F64,
        negated_ln: F64,
        chosen: I64,
        /,
    ) -> None:
        """Writes to `chosen` for each input the place of the item that wins.

        Input k, with number x[k] and attempt r[k], looks at places offset[k] to offset[k] + size[k]
        (not empty) of `ids` and of row[k] of `inverse`. The item with the least
        floor(negated_ln[draw] * inverse) wins, the first of those that are equal, where `draw` is
        the low 16 bits of the hash of x, id and r; an infinite `inverse` never wins. All arrays
        are C-contiguous.
        """
        ...


def pure_choose_straw2(
    x: U32,
    r: U32,
    offset: I64,
    size: I64,
    row: I64,
    ids: U32,
    inverse: F64,
    negated_ln: F64,
    chosen: I64,
) -> None:
    """The twin in numpy: same arguments, same results, three to five times the time."""
    # sizes of one power of two go together, so that little is padded
    classes = np.frexp(size - 0.5)[1]
    hasher = Hasher(max(min(BLOCK, int(size.sum()) * 2), int(size.max(initial=1))))
    alike = len(classes) > 0 and bool((classes == classes[0]).all())
    for value in classes[:1] if alike else np.unique(classes):
        members = np.arange(len(x)) if alike else np.flatnonzero(classes == value)
        width = int(size[members].max())
        rows = max(1, BLOCK // width)
        for start in range(0, len(members), rows):
            at = members[start : start + rows]
            sizes = size[at]
            columns = np.arange(width)
            short = columns >= sizes[:, None] if int(sizes.min()) < width else None
            places = offset[at][:, None] + columns
            if short is not None:
                places[short] = 0
            draw = hasher.hash3(x[at][:, None], ids[places], r[at][:, None])
            np.bitwise_and(draw, _LOW_16, out=draw)
            quotient = negated_ln[draw]
            if len(inverse) == 1:
                quotient *= inverse[0][places]
            else:
                quotient *= inverse[row[at][:, None], places]
            np.floor(quotient, out=quotient)
            if short is not None:
                quotient[short] = np.inf
            chosen[at] = offset[at] + quotient.argmin(axis=1)


choose_straw2: ChooseStraw2 = pure_choose_straw2 if _native is None else _native.choose_straw2
