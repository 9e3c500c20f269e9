"""`Object`: one object as something to seek, read and write in, as upstream's Python module has it.

Also the decorators by which its methods look where the object lies.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from time import struct_time
from typing import TYPE_CHECKING, Any, TypeVar

from spirula.rados.errors import ObjectStateError

if TYPE_CHECKING:
    from spirula.rados.ioctx import Ioctx
    from spirula.rados.iterators import XattrIterator

F = TypeVar("F", bound=Callable[..., Any])


def set_object_locator(func: F) -> F:
    """Have a method of `Object` work with its locator key."""

    @wraps(func)
    def placed(self: Object, *args: Any, **kwargs: Any) -> Any:
        if self.locator_key is None:
            return func(self, *args, **kwargs)
        before = self.ioctx.get_locator_key()
        self.ioctx.set_locator_key(self.locator_key)
        try:
            return func(self, *args, **kwargs)
        finally:
            self.ioctx.set_locator_key(before)

    return placed  # type: ignore[return-value]  # the same signature


def set_object_namespace(func: F) -> F:
    """Have a method of `Object` work in its namespace."""

    @wraps(func)
    def placed(self: Object, *args: Any, **kwargs: Any) -> Any:
        if self.nspace is None:
            return func(self, *args, **kwargs)
        before = self.ioctx.get_namespace()
        self.ioctx.set_namespace(self.nspace)
        try:
            return func(self, *args, **kwargs)
        finally:
            self.ioctx.set_namespace(before)

    return placed  # type: ignore[return-value]  # the same signature


class Object:
    """An object by its name, with a place to read and write next."""

    def __init__(
        self, ioctx: Ioctx, key: str, locator_key: str | None = None, nspace: str | None = None
    ) -> None:
        self.key = key
        self.ioctx = ioctx
        self.offset = 0
        self.state = "exists"
        self.locator_key = locator_key
        self.nspace = "" if nspace is None else nspace

    def __str__(self) -> str:
        nspace = self.nspace or "--default--"
        return (
            f"rados.Object(ioctx={self.ioctx},key={self.key},"
            f"nspace={nspace},locator={self.locator_key})"
        )

    def require_object_exists(self) -> None:
        """Raise ObjectStateError where it was removed by way of this."""
        if self.state != "exists":
            raise ObjectStateError(f"The object is {self.state}")

    @set_object_locator
    @set_object_namespace
    def read(self, length: int = 1024 * 1024) -> bytes:
        """The next bytes."""
        self.require_object_exists()
        data = self.ioctx.read(self.key, length, self.offset)
        self.offset += len(data)
        return data

    @set_object_locator
    @set_object_namespace
    def write(self, string_to_write: bytes) -> int:
        """Write the next bytes."""
        self.require_object_exists()
        result = self.ioctx.write(self.key, string_to_write, self.offset)
        if result == 0:
            self.offset += len(string_to_write)
        return result

    @set_object_locator
    @set_object_namespace
    def remove(self) -> None:
        """Remove it."""
        self.require_object_exists()
        self.ioctx.remove_object(self.key)
        self.state = "removed"

    @set_object_locator
    @set_object_namespace
    def stat(self) -> tuple[int, struct_time]:
        """Size in bytes and time of change."""
        self.require_object_exists()
        return self.ioctx.stat(self.key)

    def seek(self, position: int) -> None:
        """Where to read and write next."""
        self.require_object_exists()
        self.offset = position

    @set_object_locator
    @set_object_namespace
    def get_xattr(self, xattr_name: str) -> bytes:
        """See `Ioctx.get_xattr`."""
        self.require_object_exists()
        return self.ioctx.get_xattr(self.key, xattr_name)

    @set_object_locator
    @set_object_namespace
    def get_xattrs(self) -> XattrIterator:
        """See `Ioctx.get_xattrs`."""
        self.require_object_exists()
        return self.ioctx.get_xattrs(self.key)

    @set_object_locator
    @set_object_namespace
    def set_xattr(self, xattr_name: str, xattr_value: bytes) -> bool:
        """See `Ioctx.set_xattr`."""
        self.require_object_exists()
        return self.ioctx.set_xattr(self.key, xattr_name, xattr_value)

    @set_object_locator
    @set_object_namespace
    def rm_xattr(self, xattr_name: str) -> bool:
        """See `Ioctx.rm_xattr`."""
        self.require_object_exists()
        return self.ioctx.rm_xattr(self.key, xattr_name)
