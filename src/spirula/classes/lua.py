"""The object class `lua`: runs programs in Lua that clients send, on the object.

A call names a program, the function in it to call, and that one's input. Programs see Lua 5.3
without what reaches outside, and the modules `objclass` and `bufferlist`, which `lua_prelude.lua`
makes. This module runs in a process of its own (`isolated`), which bounds time and memory. Not
permitted by the default of `osd_class_load_list`, as upstream. Behaviour: upstream
`src/cls/lua/cls_lua.cc`.
"""

from __future__ import annotations

import errno
import json
import os
import struct as _struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from lupa import lua53

from spirula.classes.declare import Reply, method
from spirula.classes.handle import ObjectHandle, subop_version
from spirula.errors import CephError, InvalidArgument
from spirula.types.cls.lua import EvalOp

MAX_LUA_MEMORY_BYTES: Final = 128 << 20
"""Bytes that a program may use: less than its process has, so that it can say what is wrong."""

PRELUDE: Final = Path(__file__).with_name("lua_prelude.lua").read_bytes()
_NAMES: Final = (
    "EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT"
    " EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY EFBIG ENOSPC ESPIPE"
    " EROFS EMLINK EPIPE EDOM ERANGE EOPNOTSUPP"
)
ERRNOS: Final = " ".join(f"{name}={getattr(errno, name)}" for name in _NAMES.split()).encode()
"""What `objclass` has numbers for, and EOPNOTSUPP."""

_U64: Final = 0xFFFFFFFFFFFFFFFF
_LENGTH: Final = _struct.Struct("<I")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _packed(strings: Iterable[bytes]) -> bytes:
    return b"".join(part for data in strings for part in (_LENGTH.pack(len(data)), data))


def _unpacked(data: bytes) -> Iterable[bytes]:
    pos = 0
    while pos < len(data):
        end = pos + 4 + _LENGTH.unpack_from(data, pos)[0]
        yield data[pos + 4 : end]
        pos = end


def _entries(entries: dict[str, bytes]) -> bytes:
    return _packed(part for key, value in entries.items() for part in (_bytes(key), value))


def _write(handle: ObjectHandle, offset: int, length: int, data: bytes) -> None:
    if length & _U64 != len(data):
        raise InvalidArgument("the length is not that of the data")
    handle.write(offset & _U64, data)


def _stat(handle: ObjectHandle) -> tuple[int, int]:
    size, mtime = handle.stat()
    return size, mtime.sec


def _set_vals(handle: ObjectHandle, packed: bytes) -> None:
    strings = list(_unpacked(packed))
    handle.map_set_vals({_text(k): v for k, v in zip(strings[::2], strings[1::2], strict=True)})


_CALLS: Final[dict[bytes, Callable[..., Any]]] = {
    b"errnos": lambda h: ERRNOS,
    b"log": lambda h, level, message: h.log(level, message.decode("utf-8", "replace")),
    b"create": lambda h, exclusive: h.create(exclusive),
    b"remove": lambda h: h.remove(),
    b"stat": _stat,
    b"read": lambda h, offset, length: h.read(offset & _U64, length & _U64),
    b"write": _write,
    b"write_full": lambda h, data: h.write_full(data),
    b"getxattr": lambda h, name: h.getxattr(_text(name)),
    b"getxattrs": lambda h: _entries(h.getxattrs()),
    b"setxattr": lambda h, name, data: h.setxattr(_text(name), data),
    b"map_clear": lambda h: h.map_clear(),
    b"map_get_keys": lambda h, after, most: _packed(
        map(_bytes, h.map_get_keys(_text(after), most & _U64)[0])
    ),
    b"map_get_vals": lambda h, after, prefix, most: _entries(
        h.map_get_vals(_text(after), _text(prefix), most & _U64)[0]
    ),
    b"map_read_header": lambda h: h.map_read_header(),
    b"map_write_header": lambda h, data: h.map_write_header(data),
    b"map_get_val": lambda h, key: h.map_get_val(_text(key)),
    b"map_set_val": lambda h, key, data: h.map_set_val(_text(key), data),
    b"map_set_vals": _set_vals,
    b"map_remove_key": lambda h, key: h.map_remove_key(_text(key)),
    b"current_version": lambda h: h.current_version(),
    b"current_subop_num": lambda h: h.current_subop_num(),
    b"current_subop_version": lambda h: subop_version(h).encode(),
}


def _no_attributes(obj: object, name: object, setting: object) -> object:
    raise AttributeError("programs do not reach into Python")


def run(handle: ObjectHandle, request: EvalOp) -> Reply:
    """Runs a program; its errors are EIO, or the errno of the operation that failed."""

    def host(name: bytes, *words: Any) -> tuple[Any, ...]:
        try:
            result = _CALLS[name](handle, *words)
        except CephError as error:
            return False, -error.errno, os.strerror(error.errno).encode()
        return (True, *result) if isinstance(result, tuple) else (True, result)

    machine = lua53.LuaRuntime(
        encoding=None,
        register_eval=False,
        register_builtins=False,
        unpack_returned_tuples=True,
        attribute_filter=_no_attributes,
        max_memory=MAX_LUA_MEMORY_BYTES,
    )
    start, failure = machine.execute(PRELUDE, host)
    try:
        code, output = start(_bytes(request.script), _bytes(request.handler), request.input)
    except lua53.LuaMemoryError:
        handle.log(0, "the program needs too much memory")
        return Reply(code=-errno.ENOMEM)
    except lua53.LuaError as error:
        handle.log(0, f"error: {error}")
        code, output = failure(), b""
        if code is None:
            code = -errno.EIO
        elif code >= 0:
            code = -errno.EFAULT
    return Reply(bytes(output), int(code))


@method("eval_bufferlist", read=True, write=True)
def eval_bufferlist(handle: ObjectHandle, request: EvalOp) -> Reply:
    """Runs a program."""
    return run(handle, request)


@method("eval_json", read=True, write=True)
def eval_json(handle: ObjectHandle, request: bytes) -> Reply:
    """Runs a program given as JSON: `{"script": ..., "handler": ..., "input": ...}`."""
    text = _text(request.partition(b"\0")[0]).lstrip()
    try:
        # What follows the first value is not looked at.
        given, _ = json.JSONDecoder(strict=False).raw_decode(text)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"unparseable JSON: {error}") from error
    if not isinstance(given, dict):
        raise InvalidArgument("input not a JSON object")
    words = [given.get("script"), given.get("handler"), given.get("input", "")]
    if not all(isinstance(word, str) for word in words):
        raise InvalidArgument("script, handler and input are strings")
    script, handler, data = words
    try:
        return run(handle, EvalOp(script, handler, _bytes(data)))
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"no text: {error}") from error
