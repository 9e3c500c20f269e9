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
def hash32_2(a: int, b: int, /) -> int: ...
def hash32_3(a: int, b: int, c: int, /) -> int: ...
def hash32_4(a: int, b: int, c: int, d: int, /) -> int: ...
