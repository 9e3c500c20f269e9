"""What a message is: a number, a version, a declared payload, and the bytes beside it.

    @message(MSG_MON_GET_VERSION, version=1, compat=1)
    class MMonGetVersion(Message):
        handle: u64
        what: string

The payload (upstream's `front`) is declared as any type; its version stands in the message header,
so that `since` and `until` speak of that. `middle` and `data` are the other two segments, opaque
here. The messenger calls `decode_message` and `Message.encode_payload`; it sets and reads `tid`,
`priority`. Numbers and versions: upstream `src/msg/Message.h`, `src/messages/*.h`.
"""

from __future__ import annotations

import importlib
import pkgutil
import struct as _struct
from collections.abc import Callable
from typing import Any, ClassVar, Self, TypeVar, cast

import spirula.messages
from spirula.denc import Struct, default, s16, struct, u64
from spirula.denc import features as feature_bits
from spirula.denc.compiler import locate
from spirula.errors import IncompatibleVersion, Truncated, WireError
from spirula.kernels.layouts import Item, Pack, Unpack, same

PRIO_LOW, PRIO_DEFAULT, PRIO_HIGH, PRIO_HIGHEST = 64, 127, 196, 255

MESSAGES: dict[int, type[Message]] = {}
"""Declared messages by number."""

_M = TypeVar("_M", bound="Message")


class UnknownMessage(WireError):
    """A message number that nothing here declares."""


class Message(Struct):
    """Base of all messages.

    What travels beside the payload:

    `tid` (set by whoever asks, repeated in the answer), `priority`, `middle` and `data`
    (bytes-like), `header_version` (what the sender encoded; 0 before sending). `connection` is
    where it came from. Frequent messages have plans for what their payload in the newest version
    usually looks like: PACK and UNPACK.
    """

    __slots__ = (
        "__weakref__",  # whoever tracks messages must not keep them
        "connection",
        "data",
        "header_version",
        "middle",
        "priority",
        "tid",
    )

    TYPE: ClassVar[int] = 0
    VERSION: ClassVar[int] = 1
    COMPAT: ClassVar[int] = 1
    READS: ClassVar[int] = 1
    VERSIONS: ClassVar[tuple[tuple[int, int, int], ...]] = ()
    PRIORITY: ClassVar[int] = PRIO_DEFAULT
    PACK: ClassVar[Pack | None] = None
    UNPACK: ClassVar[Unpack | None] = None

    tid: int
    priority: int
    header_version: int
    middle: bytes | bytearray | memoryview
    data: bytes | bytearray | memoryview
    connection: Any

    def __post_init__(self) -> None:
        self.tid = 0
        self.priority = self.PRIORITY
        self.header_version = 0
        self.middle = b""
        self.data = b""
        self.connection = None

    @classmethod
    def _denc_compiled(cls) -> None:
        # The same functions, which take the version that the header tells as well.
        names: Any = cls
        names._enc_payload, names._dec_payload = cls._enc, staticmethod(cls._dec)

    @classmethod
    def version_for(cls, features: int) -> tuple[int, int]:
        """The header's version and compat version for a peer with these features."""
        for mask, version, compat in cls.VERSIONS:
            if features & mask == mask:
                return version, compat
        return cls.VERSION, cls.COMPAT

    def encode_payload(self, features: int = feature_bits.PACIFIC) -> tuple[int, int, bytes]:
        """The header's version and compat version, and the front segment. Raises WireError."""
        version, compat = self.version_for(features)
        pack = type(self).PACK
        if pack is not None and version == self.VERSION:
            front = pack(self)
            if front is not None:
                return version, compat, front
        out = bytearray()
        try:
            self._enc_payload(out, features, version)
        except (_struct.error, TypeError, ValueError, AttributeError, OverflowError) as error:
            path, _ = locate(error.__traceback__)
            raise WireError(f"cannot encode: {error}", path=path or type(self).__name__) from error
        return version, compat, bytes(out)

    @classmethod
    def decode_payload(
        cls,
        front: bytes | bytearray | memoryview,
        version: int,
        features: int = feature_bits.PACIFIC,
    ) -> Self:
        """The message from its front segment, as encoded in header version `version`."""
        buf = front if isinstance(front, bytes) else bytes(front)
        if cls.UNPACK is not None and version == cls.VERSION:
            found = cls.UNPACK(buf, 0, len(buf))
            if found is not None:
                return cast("Self", found[0])
        try:
            value, _ = cls._dec_payload(buf, 0, len(buf), features, version)
        except WireError as error:
            if not error.path:
                error.path, offset = locate(error.__traceback__)
                error.path = error.path or cls.__name__
                error.offset = offset if error.offset is None else error.offset
            raise
        except (_struct.error, IndexError) as error:
            path, offset = locate(error.__traceback__)
            raise Truncated(
                "ends inside the payload", offset=offset, path=path or cls.__name__
            ) from None
        value.header_version = version
        return value

    def _enc_payload(self, out: bytearray, features: int, v: int) -> None:
        """Appends the payload (made by `message`; a hand-written message brings its own)."""
        raise TypeError(f"{type(self).__name__} is not declared with @message")

    @classmethod
    def _dec_payload(
        cls, buf: bytes, pos: int, end: int, features: int, v: int
    ) -> tuple[Self, int]:
        """Reads the payload (made by `message`; a hand-written message brings its own)."""
        raise TypeError(f"{cls.__name__} is not declared with @message")


def received(cls: type[Message], *, data: str = "data") -> list[Item]:
    """What an UNPACK gives a message beside its payload; `data` is where that keeps its data."""
    return [
        same("tid", 0),
        same("priority", cls.PRIORITY),
        same("header_version", cls.VERSION),
        same("middle", b""),
        same(data, b"" if data == "data" else None),
        same("connection", None),
    ]


def message(
    number: int,
    *,
    version: int = 1,
    compat: int = 1,
    by_feature: tuple[tuple[int, int, int], ...] = (),
    reads: int = 0,
    priority: int = PRIO_DEFAULT,
    by_hand: bool = False,
) -> Callable[[type[_M]], type[_M]]:
    """Declares a message of that number.

    `version`/`compat` are what goes into the header; `by_feature` as for `struct`. `reads` is the
    newest compat version that can be read (the newest version declared, unless said otherwise).
    `by_hand`: the class brings `_enc_payload` and `_dec_payload` (and is a dataclass by itself).
    """

    def declare(cls: type[_M]) -> type[_M]:
        if by_hand:
            made = cls
        else:
            made = struct(version=version, compat=compat, by_feature=by_feature, external=True)(cls)
        made.TYPE, made.VERSION, made.COMPAT = number, version, compat
        made.VERSIONS, made.PRIORITY = by_feature, priority
        newest = [v for _, v, _ in by_feature]
        made.READS = reads or max(version, made._denc_newest, *newest)
        if number in MESSAGES and MESSAGES[number].__qualname__ != made.__qualname__:
            raise TypeError(f"message {number} is declared twice: {MESSAGES[number]!r}, {made!r}")
        MESSAGES[number] = made
        return made

    return declare


def load_all() -> None:
    """Imports every module of messages, so that `MESSAGES` is complete."""
    for module in pkgutil.iter_modules(spirula.messages.__path__, "spirula.messages."):
        importlib.import_module(module.name)


def decode_message(
    number: int,
    version: int,
    compat: int,
    front: bytes | bytearray | memoryview,
    middle: bytes | bytearray | memoryview = b"",
    data: bytes | bytearray | memoryview = b"",
    features: int = feature_bits.PACIFIC,
) -> Message:
    """The typed message of a frame's header fields and segments.

    Raises UnknownMessage, IncompatibleVersion or another WireError; takes no memory beyond a small
    multiple of the segments. `middle` and `data` are kept as they are handed in.
    """
    cls = MESSAGES.get(number)
    if cls is None:
        load_all()
        cls = MESSAGES.get(number)
        if cls is None:
            raise UnknownMessage(f"message type {number} is not known")
    if compat > cls.READS:
        raise IncompatibleVersion(
            f"version {version} needs a reader of {compat}, this one knows {cls.READS}",
            path=cls.__name__,
        )
    decoded = cls.decode_payload(front, version, features)
    if middle:
        decoded.middle = middle
    if data:
        decoded.data = data
    return decoded


@struct(external=True)
class PaxosServiceMessage(Message):
    """Base of what is sent to a monitor's services; every one begins with these three.

    `version` is the map version that the sender has; the other two routed replies in releases long
    gone and are always -1 and 0 (upstream `src/messages/PaxosServiceMessage.h`).
    """

    version: u64
    deprecated_session_mon: s16 = default(-1)
    deprecated_session_mon_tid: u64
