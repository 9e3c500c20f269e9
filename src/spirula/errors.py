"""The errors of Spirula: one root, five families.

Every error that crosses a module boundary is one of these. `CephError` carries an errno, because
that is what upstream's protocols and APIs carry; the others say who is at fault: the bytes
(`WireError`), the peer (`ProtocolViolation`), nobody knows (`Indeterminate`) or we
(`InvariantBroken`).
"""

from __future__ import annotations

import errno as _errno
import os as _os
from typing import ClassVar


class SpirulaError(Exception):
    """Root of everything that Spirula raises on purpose."""


class WireError(SpirulaError):
    """Bytes that do not follow their format.

    `offset` is where reading stopped, counted from the start of the buffer that was handed in;
    `path` names the type and field (`OSDMap.pools[3].name`); `limit` is the bound that was
    exceeded, where one was.
    """

    def __init__(
        self, reason: str, *, offset: int | None = None, path: str = "", limit: int | None = None
    ) -> None:
        super().__init__(reason, offset, path, limit)
        self.reason = reason
        self.offset = offset
        self.path = path
        self.limit = limit

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        at = "" if self.offset is None else f" at byte {self.offset}"
        bound = "" if self.limit is None else f" (limit {self.limit})"
        return f"{where}{self.reason}{at}{bound}"


class Truncated(WireError):
    """The buffer ended inside a value."""


class LimitExceeded(WireError):
    """A length or count is larger than its declared limit; nothing was allocated for it."""


class IncompatibleVersion(WireError):
    """The encoder says that readers of our version must not read this (envelope `compat`)."""


class CephError(SpirulaError):
    """A refusal with an errno, as upstream's commands, operations and APIs answer it.

    `errno` is positive; what goes on the wire is its negative.
    """

    code: ClassVar[int] = _errno.EIO
    by_code: ClassVar[dict[int, type[CephError]]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        CephError.by_code.setdefault(cls.code, cls)

    def __init__(self, message: str = "", *, errno: int | None = None) -> None:
        super().__init__(message)
        self.errno = self.code if errno is None else abs(errno)
        self.message = message

    def __str__(self) -> str:
        name = _errno.errorcode.get(self.errno, str(self.errno))
        return f"{name}: {self.message or _os.strerror(self.errno)}"

    @classmethod
    def from_errno(cls, errno: int, message: str = "") -> CephError:
        """The error of the class that belongs to `errno` (its sign does not matter)."""
        return cls.by_code.get(abs(errno), CephError)(message, errno=errno)


class NotPermitted(CephError):
    """EPERM: the operation is forbidden to everybody in this state, or to this user."""

    code = _errno.EPERM


class NotFound(CephError):
    """ENOENT."""

    code = _errno.ENOENT


class InputOutput(CephError):
    """EIO: the stored data cannot be read or does not match its checksum."""

    code = _errno.EIO


class PermissionDenied(CephError):
    """EACCES: authentication or capabilities refuse it."""

    code = _errno.EACCES


class Busy(CephError):
    """EBUSY."""

    code = _errno.EBUSY


class Exists(CephError):
    """EEXIST."""

    code = _errno.EEXIST


class InvalidArgument(CephError):
    """EINVAL."""

    code = _errno.EINVAL


class NotADirectory(CephError):
    """ENOTDIR: the thing has no inside, for instance a device where a bucket is wanted."""

    code = _errno.ENOTDIR


class NotEmpty(CephError):
    """ENOTEMPTY."""

    code = _errno.ENOTEMPTY


class Loop(CephError):
    """ELOOP: something would come to lie inside itself."""

    code = _errno.ELOOP


class AlreadyDone(CephError):
    """EALREADY: what was asked for seems to have happened before."""

    code = _errno.EALREADY


class TooLarge(CephError):
    """EOVERFLOW: a number does not fit where it is to be kept."""

    code = _errno.EOVERFLOW


class NoSpace(CephError):
    """ENOSPC."""

    code = _errno.ENOSPC


class OutOfRange(CephError):
    """ERANGE."""

    code = _errno.ERANGE


class TryAgain(CephError):
    """EAGAIN."""

    code = _errno.EAGAIN


class NotSupported(CephError):
    """EOPNOTSUPP."""

    code = _errno.EOPNOTSUPP


class NotConnected(CephError):
    """ENOTCONN: there is no session that could carry the request; nothing was sent."""

    code = _errno.ENOTCONN


class TimedOut(CephError):
    """ETIMEDOUT: given up before the request was sent (else see `Indeterminate`)."""

    code = _errno.ETIMEDOUT


class Indeterminate(SpirulaError):
    """The request was sent and no answer came: whether it took effect is unknown."""


class ProtocolViolation(SpirulaError):
    """A peer broke a rule of the protocol; its session ends. `rule` names the rule."""

    def __init__(self, rule: str, detail: str = "") -> None:
        super().__init__(rule, detail)
        self.rule = rule
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.rule}: {self.detail}" if self.detail else self.rule


class InvariantBroken(SpirulaError):
    """A bug of ours: state that must not exist. The daemon logs its state and stops."""
