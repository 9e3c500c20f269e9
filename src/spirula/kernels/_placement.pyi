from numpy import float64, int64, uint32
from numpy.typing import NDArray
from typing_extensions import Buffer

def choose_straw2(
    x: NDArray[uint32],
    r: NDArray[uint32],
    offset: NDArray[int64],
    size: NDArray[int64],
    row: NDArray[int64],
    ids: NDArray[uint32],
    inverse: NDArray[float64],
    negated_ln: NDArray[float64],
    chosen: NDArray[int64],
    /,
) -> None: ...
def rjenkins(name: Buffer, /) -> int: ...
