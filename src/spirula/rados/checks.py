"""What the API's arguments may be; the complaints are those of upstream's module."""

from __future__ import annotations

from typing import Any, TypeVar

T = TypeVar("T")


def check(name: str, value: T, kind: Any) -> T:
    """The value; TypeError where it is of another type."""
    if isinstance(value, kind):
        return value
    wanted = getattr(kind, "__name__", None) or "bytes"
    raise TypeError(
        f"Argument '{name}' has incorrect type (expected {wanted}, got {type(value).__name__})"
    )


def unsigned(name: str, value: int) -> int:
    """The number; TypeError or OverflowError where it does not fit 64 bits without a sign."""
    check(name, value, int)
    if value < 0:
        raise OverflowError("can't convert negative value to uint64_t")
    if value >> 64:
        raise OverflowError(f"{name} does not fit 64 bits")
    return value
