"""The object class `hello`: an example of what classes can do, and a template for one's own.

Its methods show reading, writing, both, answers and errors of each; two break the rules. Clients:
tests of librados and this project's own. Behaviour: upstream `src/cls/hello/cls_hello.cc`.
"""

from __future__ import annotations

import errno
from typing import Final

from spirula.classes.declare import ObjectFilter, Reply, method, object_filter
from spirula.classes.handle import ObjectHandle
from spirula.denc import Struct, string, struct
from spirula.errors import Exists, InvalidArgument, NotFound

LONGEST_NAME: Final = 100
_LONGEST_GREETING: Final = 1100


def _greeting(name: bytes) -> bytes:
    if len(name) > LONGEST_NAME:
        raise InvalidArgument("that is a long name")
    return b"Hello, %b!" % (name or b"world")


@method("say_hello", read=True)
def say_hello(handle: ObjectHandle, request: bytes) -> bytes:
    """Greets, whatever the object holds."""
    return _greeting(request)


@method("record_hello", write=True, promote=True)
def record_hello(handle: ObjectHandle, request: bytes) -> None:
    """Makes an object with a greeting, and notes who asked for it."""
    greeting = _greeting(request)
    try:
        handle.stat()
    except NotFound:
        pass
    else:
        raise Exists("there is something already")
    handle.write_full(greeting)
    handle.setxattr("said_by", str(handle.get_request_origin()).encode())


# The second name is the one for clients before octopus.
@method("write_return_data", write=True)
@method("writes_dont_return_data", write=True)
def write_return_data(handle: ObjectHandle, request: bytes) -> Reply:
    """Writes and answers something; with any input it fails, and answers that, too."""
    handle.setxattr("foo", b"bar")
    if request:
        return Reply(b"too much input data!", -errno.EINVAL)
    return Reply(b"you might see this", 42)


@method("write_too_much_return_data", write=True)
def write_too_much_return_data(handle: ObjectHandle) -> Reply:
    """Answers more than operations that write may (osd_max_write_op_reply_len)."""
    handle.setxattr("foo", b"bar")
    return Reply(b"you should not see this because it is toooooo long. " * 10, 42)


@method("replay", read=True)
def replay(handle: ObjectHandle) -> bytes:
    """Answers the recorded greeting."""
    return handle.read(0, _LONGEST_GREETING)


@method("turn_it_to_11", read=True, write=True, promote=True)
def turn_it_to_11(handle: ObjectHandle, request: bytes) -> None:
    """Says it in capitals, and notes who asked for it."""
    if request:
        raise InvalidArgument("takes no input")
    handle.write_full(handle.read(0, _LONGEST_GREETING).upper())
    handle.setxattr("amplified_by", str(handle.get_request_origin()).encode())


@method("bad_reader", write=True)
def bad_reader(handle: ObjectHandle) -> bytes:
    """Reads without having declared it."""
    return handle.read(0, 100)


@method("bad_writer", read=True)
def bad_writer(handle: ObjectHandle, request: bytes) -> None:
    """Writes without having declared it."""
    handle.write_full(request)


@struct
class FilterParams(Struct):
    """The parameters of the filter: an attribute, and the value it must have."""

    xattr: string
    value: string


@object_filter("hello")
def hello_filter(params: bytes) -> ObjectFilter:
    """Objects whose attribute has a value."""
    wanted = FilterParams.decode(params)
    value = wanted.value.encode("utf-8", "surrogateescape")
    return ObjectFilter(wanted.xattr, lambda _name, data: data == value)
