"""Declaring object classes: the decorators `method` and `object_filter`, and what they make.

    @method("add", read=True, write=True)
    def add(handle: ObjectHandle, request: AddOp) -> None:
        ...

The annotations say how the client's input is decoded (a declared type, or `bytes`; no second
parameter: it is not looked at) and how the result is encoded (a declared type, `bytes`, `Reply`, or
nothing). Upstream's counterparts are `cls_register_cxx_method` and `ClassHandler::ClassMethod`.
Used by the modules of classes; `registry` collects what they declare.
"""

from __future__ import annotations

import errno
import inspect
import traceback
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntFlag
from types import ModuleType
from typing import Any, Final, NamedTuple, TypeVar

from spirula.classes.handle import ObjectHandle
from spirula.denc import Struct
from spirula.errors import CephError, WireError

_F = TypeVar("_F", bound=Callable[..., Any])

_MARK: Final = "__object_class_methods__"
_FILTER_MARK: Final = "__object_class_filters__"


class MethodFlag(IntFlag):
    """What a method does to its object (CLS_METHOD_*); PROMOTE: it cannot be passed to a tier."""

    READ = 1
    WRITE = 2
    PROMOTE = 8


class Reply(NamedTuple):
    """What a method answers: bytes, and a return code.

    Codes below zero are errnos; unlike a raised CephError, they may come with data. Of operations
    that write, clients see data and codes above zero only if they asked for it (RETURNVEC).
    """

    data: bytes = b""
    code: int = 0


class ObjectFilter(NamedTuple):
    """Chooses objects of a listing: by their name and an attribute.

    Objects without the attribute are left out if `reject_empty` (as upstream's PGLSFilter).
    """

    xattr: str
    accepts: Callable[[str, bytes], bool]
    reject_empty: bool = True


@dataclass(frozen=True, slots=True)
class Method:
    """A method of a class; `run` takes the handle and the client's bytes."""

    cls: str
    name: str
    flags: MethodFlag
    run: Callable[[ObjectHandle, bytes], Reply]

    def call(self, handle: ObjectHandle, indata: bytes) -> Reply:
        """Runs the method. Never raises: refusals are codes, and so are bugs of the class (EIO).

        As upstream, a method that reads or writes without having declared it fails (EIO).
        """
        reads, writes = handle.num_read, handle.num_write
        try:
            reply = self.run(handle, indata)
        except CephError as error:
            reply = Reply(code=-error.errno)
        except Exception as error:  # noqa: BLE001  # whatever a class does, its OSD goes on
            for entry in traceback.format_exception(error):
                for line in entry.splitlines():
                    handle.log(0, line)
            handle.log(0, f"method {self.cls}.{self.name} failed by a bug")
            reply = Reply(code=-errno.EIO)
        if handle.num_read > reads and not self.flags & MethodFlag.READ:
            handle.log(
                0, f"method {self.cls}.{self.name} tried to read object but is not marked RD"
            )
            return Reply(code=-errno.EIO)
        if handle.num_write > writes and not self.flags & MethodFlag.WRITE:
            handle.log(
                0, f"method {self.cls}.{self.name} tried to update object but is not marked WR"
            )
            return Reply(code=-errno.EIO)
        return reply


@dataclass(slots=True)
class ObjectClass:
    """A loaded class. `allowed`: capabilities that do not name it (`allow rwx`) permit its calls.

    `version` is (major, minor).
    """

    name: str
    version: tuple[int, int] = (1, 0)
    allowed: bool = False
    methods: dict[str, Method] = field(default_factory=dict)
    filters: dict[str, Callable[[bytes], ObjectFilter]] = field(default_factory=dict)

    def method(self, name: str) -> Method:
        """The method; CephError with EOPNOTSUPP if there is none of this name."""
        try:
            return self.methods[name]
        except KeyError:
            raise CephError.from_errno(
                errno.EOPNOTSUPP, f"object class {self.name} has no method {name!r}"
            ) from None

    def filter(self, name: str, params: bytes) -> ObjectFilter:
        """A filter for listings, made of its parameters; EINVAL if these are bad, or the name."""
        make = self.filters.get(name)
        if make is None:
            raise CephError.from_errno(
                errno.EINVAL, f"object class {self.name} has no filter {name!r}"
            )
        try:
            return make(params)
        except WireError as error:
            raise CephError.from_errno(errno.EINVAL, str(error)) from error


def method(
    name: str, *, read: bool = False, write: bool = False, promote: bool = False
) -> Callable[[_F], _F]:
    """Declares a function of a module to be a method of the module's class."""
    flags = MethodFlag(0)
    for flag, given in (
        (MethodFlag.READ, read),
        (MethodFlag.WRITE, write),
        (MethodFlag.PROMOTE, promote),
    ):
        if given:
            flags |= flag

    def declare(function: _F) -> _F:
        declared = getattr(function, _MARK, ())
        setattr(function, _MARK, (*declared, (name, flags)))
        return function

    return declare


def object_filter(name: str) -> Callable[[_F], _F]:
    """Declares a function to make a filter of listings: it takes the parameters' bytes."""

    def declare(function: _F) -> _F:
        setattr(function, _FILTER_MARK, name)
        return function

    return declare


def class_of(module: ModuleType) -> ObjectClass:
    """The class that a module declares.

    It is named like the module unless the module has a `NAME`, and has version 1.0 unless the
    module has a `VERSION`. TypeError if the module declares nothing, or wrongly.
    """
    name = getattr(module, "NAME", module.__name__.rpartition(".")[2])
    made = ObjectClass(name, getattr(module, "VERSION", (1, 0)))
    for function in vars(module).values():
        if not inspect.isfunction(function) or function.__module__ != module.__name__:
            continue
        for method_name, flags in getattr(function, _MARK, ()):
            if method_name in made.methods:
                raise TypeError(f"object class {name} declares method {method_name!r} twice")
            made.methods[method_name] = Method(name, method_name, flags, runner(function))
        if hasattr(function, _FILTER_MARK):
            made.filters[getattr(function, _FILTER_MARK)] = function
    if not made.methods and not made.filters:
        raise TypeError(f"{module.__name__} declares no methods: see spirula.classes.declare")
    return made


def runner(function: Callable[..., Any]) -> Callable[[ObjectHandle, bytes], Reply]:
    """`function` with its input decoded and its result encoded, as its annotations say."""
    hints = typing.get_type_hints(function)
    parameters = list(inspect.signature(function).parameters)
    if not 1 <= len(parameters) <= 2:
        raise TypeError(f"{function.__name__} takes a handle and, if it likes, its input")
    encode = _encoder(hints.get("return"), function.__name__)
    if len(parameters) == 1:
        return lambda handle, indata: encode(function(handle), handle)
    kind = hints.get(parameters[1])
    if kind is bytes:
        return lambda handle, indata: encode(function(handle, indata), handle)
    if not (inspect.isclass(kind) and issubclass(kind, Struct)):
        raise TypeError(f"{function.__name__}: input is a declared type or bytes, not {kind!r}")

    def run(handle: ObjectHandle, indata: bytes) -> Reply:
        try:
            request = kind.decode(indata)
        except WireError as error:
            handle.log(1, f"{function.__name__}: cannot decode the input: {error}")
            return Reply(code=-errno.EINVAL)
        return encode(function(handle, request), handle)

    return run


def _encoder(kind: Any, name: str) -> Callable[[Any, ObjectHandle], Reply]:
    if kind is Reply:
        return lambda reply, handle: reply
    if kind is bytes:
        return lambda data, handle: Reply(data)
    if kind is type(None):
        return lambda nothing, handle: Reply()
    if inspect.isclass(kind) and issubclass(kind, Struct):
        return lambda value, handle: Reply(value.encode(handle.get_client_features()))
    raise TypeError(f"{name}: the result is a declared type, bytes, Reply or None, not {kind!r}")
