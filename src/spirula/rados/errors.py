"""The exceptions of `rados`, by errno: names, texts and hierarchy of upstream's Python module.

Raised by the synchronous and the asyncio API alike. Facts: `src/pybind/rados/rados.pyx`, and what
Debian's python3-rados 16.2 says. `OutcomeUnknown` is ours: a `TimedOut` whose request was sent.
"""

from __future__ import annotations

import errno as _errno
from typing import Any, ClassVar

from spirula.errors import CephError, Indeterminate, SpirulaError

MAX_ERRNO = 4095
"""Results below its negative tell where a comparison failed: -MAX_ERRNO - offset."""


class Error(Exception):
    """Root of what this module raises; `errno` is positive, or None where none applies."""

    _what: ClassVar[str] = ""

    def __init__(self, message: str, errno: int | None = None) -> None:
        super().__init__(f"{self._what} ({message})" if self._what else message)
        self.errno = errno

    def __str__(self) -> str:
        text = super().__str__()
        return text if self.errno is None else f"[errno {self.errno}] {text}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _remake, (type(self), self.args, self.__dict__)


def _remake(kind: type[Error], args: tuple[Any, ...], attributes: dict[str, Any]) -> Error:
    made = kind.__new__(kind, *args)
    made.args = args
    made.__dict__.update(attributes)
    return made


class InvalidArgumentError(Error):
    """EINVAL."""

    _what = "RADOS invalid argument"


class ExtendMismatch(Error):
    """A comparison failed at byte `offset`."""

    def __init__(self, message: str, errno: int, offset: int) -> None:
        super().__init__(f"object content does not match ({message})", errno)
        self.offset = offset


class OSError(Error):
    """What has an errno; of itself for those without a class of their own."""


class InterruptedOrTimeoutError(OSError):
    """EINTR."""

    _what = "RADOS interrupted or timeout"


class PermissionError(OSError):
    """EPERM."""

    _what = "RADOS permission error"


class PermissionDeniedError(OSError):
    """EACCES."""

    _what = "RADOS permission denied"


class ObjectNotFound(OSError):
    """ENOENT."""

    _what = "RADOS object not found"


class NoData(OSError):
    """ENODATA: there is no such attribute."""

    _what = "RADOS no data"


class ObjectExists(OSError):
    """EEXIST."""

    _what = "RADOS object exists"


class ObjectBusy(OSError):
    """EBUSY."""

    _what = "RADOS object busy"


class IOError(OSError):
    """EIO."""

    _what = "RADOS I/O error"


class NoSpace(OSError):
    """ENOSPC."""

    _what = "RADOS no space"


class NotConnected(OSError):
    """ENOTCONN."""

    _what = "RADOS not connected"


class RadosStateError(Error):
    """The cluster handle is not in a state for this."""

    _what = "RADOS rados state"


class IoctxStateError(Error):
    """The I/O context was closed."""

    _what = "RADOS Ioctx state error"


class ObjectStateError(Error):
    """The object was removed by way of this `Object`."""

    _what = "RADOS object state error"


class LogicError(Error):
    """An argument that makes no sense."""

    _what = "RADOS logic error"


class TimedOut(OSError):
    """ETIMEDOUT. By itself: nothing was sent; see `OutcomeUnknown`."""

    _what = "RADOS timed out"


class OutcomeUnknown(TimedOut):
    """ETIMEDOUT after the request was sent: it may have been carried out, or may still be."""


class InProgress(Error):
    """EINPROGRESS."""

    _what = "RADOS in progress error"


class IsConnected(Error):
    """EISCONN."""

    _what = "RADOS is connected error"


class ConnectionShutdown(OSError):
    """ESHUTDOWN: this client was blocklisted, or its session ended."""

    _what = "RADOS connection was shutdown"


BY_ERRNO: dict[int, type[Error]] = {
    _errno.EPERM: PermissionError,
    _errno.ENOENT: ObjectNotFound,
    _errno.EIO: IOError,
    _errno.ENOSPC: NoSpace,
    _errno.EEXIST: ObjectExists,
    _errno.EBUSY: ObjectBusy,
    _errno.ENODATA: NoData,
    _errno.EINTR: InterruptedOrTimeoutError,
    _errno.ETIMEDOUT: TimedOut,
    _errno.EACCES: PermissionDeniedError,
    _errno.EINPROGRESS: InProgress,
    _errno.EISCONN: IsConnected,
    _errno.EINVAL: InvalidArgumentError,
    _errno.ENOTCONN: NotConnected,
    _errno.ESHUTDOWN: ConnectionShutdown,
}
"""Which exception an errno becomes; any other is an `OSError` with that errno."""


def make_error(result: int, message: str) -> Error:
    """The exception for a negative errno, or for where a comparison failed."""
    code = abs(result)
    kind = BY_ERRNO.get(code)
    if kind is not None:
        return kind(message, errno=code)
    if code > MAX_ERRNO:
        return ExtendMismatch(message, code, code - MAX_ERRNO)
    return OSError(message, errno=code)


def from_spirula(error: SpirulaError, message: str) -> Error:
    """What an error of the layers below is called here; its own text is told as well."""
    if isinstance(error, Indeterminate):
        return OutcomeUnknown(f"{message}: {error}", errno=_errno.ETIMEDOUT)
    code = error.errno if isinstance(error, CephError) else _errno.EIO
    return make_error(code, message)
