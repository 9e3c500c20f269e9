"""The process of an isolated class: it loads the class, and runs its methods for a daemon.

Started by `isolated` as `python -m spirula.classes.worker NAME WHERE`. It gets no more memory than
MAX_MEMORY_BYTES, and the kernel ends it when a call takes too long, should the daemon be gone.
Output of the class goes to stderr; the real stdout is the pipe to the daemon.
"""

from __future__ import annotations

import errno
import importlib
import importlib.util
import os
import resource
import signal
import sys
import traceback
from collections.abc import Collection, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, Final

from spirula.classes.declare import ObjectClass, class_of
from spirula.classes.handle import ObjectSize
from spirula.classes.pipe import content_length, frame, value_of
from spirula.errors import CephError
from spirula.types.base import UTime
from spirula.types.entity import EntityInst
from spirula.types.object_info import WatchItem

MAX_MEMORY_BYTES: Final = 512 << 20
"""Address space of the process."""


class Channel:
    """The pipe to the daemon."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self.source, self.sink = source, sink

    def send(self, value: Any) -> None:
        self.sink.write(frame(value))
        self.sink.flush()

    def receive(self) -> Any:
        """The next value; ends the process where the daemon has ended."""
        head = self.source.read(4)
        if len(head) < 4:
            raise SystemExit(0)
        return value_of(self.source.read(content_length(head)))


class RemoteHandle:
    """An ObjectHandle whose object is in the daemon."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.now = UTime()

    def _ask(self, what: str, *words: Any) -> Any:
        self.channel.send(["ask", what, list(words)])
        match self.channel.receive():
            case ["ok", value]:
                return value
            case ["error", int() as code, str() as message]:
                raise CephError.from_errno(code, message)
            case other:
                raise SystemExit(f"the daemon answers {other!r}")

    @property
    def num_read(self) -> int:
        return int(self._ask("num_read"))

    @property
    def num_write(self) -> int:
        return int(self._ask("num_write"))

    def create(self, exclusive: bool) -> None:
        self._ask("create", exclusive)

    def remove(self) -> None:
        self._ask("remove")

    def stat(self) -> ObjectSize:
        return ObjectSize(*self._ask("stat"))

    def read(self, offset: int, length: int, op_flags: int = 0) -> bytes:
        return bytes(self._ask("read", offset, length, op_flags))

    def write(self, offset: int, data: bytes, op_flags: int = 0) -> None:
        self._ask("write", offset, data, op_flags)

    def write_full(self, data: bytes) -> None:
        self._ask("write_full", data)

    def replace(self, offset: int, data: bytes) -> None:
        self._ask("replace", offset, data)

    def truncate(self, size: int) -> None:
        self._ask("truncate", size)

    def write_zero(self, offset: int, length: int) -> None:
        self._ask("write_zero", offset, length)

    def snap_revert(self, snapid: int) -> None:
        self._ask("snap_revert", snapid)

    def getxattr(self, name: str) -> bytes:
        return bytes(self._ask("getxattr", name))

    def getxattrs(self) -> dict[str, bytes]:
        return dict(self._ask("getxattrs"))

    def setxattr(self, name: str, value: bytes) -> None:
        self._ask("setxattr", name, value)

    def map_get_keys(self, start_after: str, max_to_get: int) -> tuple[list[str], bool]:
        keys, more = self._ask("map_get_keys", start_after, max_to_get)
        return keys, more

    def map_get_vals(
        self, start_after: str, filter_prefix: str, max_to_get: int
    ) -> tuple[dict[str, bytes], bool]:
        entries, more = self._ask("map_get_vals", start_after, filter_prefix, max_to_get)
        return entries, more

    def map_get_all_vals(self) -> tuple[dict[str, bytes], bool]:
        entries, more = self._ask("map_get_all_vals")
        return entries, more

    def map_get_val(self, key: str) -> bytes:
        return bytes(self._ask("map_get_val", key))

    def map_get_vals_by_keys(self, keys: Collection[str]) -> dict[str, bytes]:
        return dict(self._ask("map_get_vals_by_keys", list(keys)))

    def map_read_header(self) -> bytes:
        return bytes(self._ask("map_read_header"))

    def map_set_val(self, key: str, value: bytes) -> None:
        self._ask("map_set_val", key, value)

    def map_set_vals(self, entries: Mapping[str, bytes]) -> None:
        self._ask("map_set_vals", dict(entries))

    def map_write_header(self, header: bytes) -> None:
        self._ask("map_write_header", header)

    def map_remove_key(self, key: str) -> None:
        self._ask("map_remove_key", key)

    def map_remove_range(self, key_begin: str, key_end: str) -> None:
        self._ask("map_remove_range", key_begin, key_end)

    def map_clear(self) -> None:
        self._ask("map_clear")

    def get_request_origin(self) -> EntityInst:
        origin: EntityInst = self._ask("get_request_origin")
        return origin

    def list_watchers(self) -> list[WatchItem]:
        return list(self._ask("list_watchers"))

    def get_client_features(self) -> int:
        return int(self._ask("get_client_features"))

    def current_version(self) -> int:
        return int(self._ask("current_version"))

    def current_subop_num(self) -> int:
        return int(self._ask("current_subop_num"))

    def get_features(self) -> int:
        return int(self._ask("get_features"))

    def get_required_osd_release(self) -> int:
        return int(self._ask("get_required_osd_release"))

    def get_min_compatible_client(self) -> int:
        return int(self._ask("get_min_compatible_client"))

    def get_snapset_seq(self) -> int:
        return int(self._ask("get_snapset_seq"))

    def get_osd_min_alloc_size(self) -> int:
        return int(self._ask("get_osd_min_alloc_size"))

    def get_pool_stripe_width(self) -> int:
        return int(self._ask("get_pool_stripe_width"))

    def call(self, cls: str, method: str, indata: bytes) -> bytes:
        return bytes(self._ask("call", cls, method, indata))

    def chunk_write_and_set(
        self, offset: int, data: bytes, op_flags: int, set_indata: bytes
    ) -> None:
        self._ask("chunk_write_and_set", offset, data, op_flags, set_indata)

    def has_chunk(self, fp_oid: str) -> bool:
        return bool(self._ask("has_chunk", fp_oid))

    def gen_random_bytes(self, size: int) -> bytes:
        return bytes(self._ask("gen_random_bytes", size))

    def log(self, level: int, message: str) -> None:
        self.channel.send(["log", level, message])


def load(name: str, where: str) -> ModuleType:
    """The module of a class: from a file or a folder, or an importable one by its name."""
    if os.sep not in where:
        return importlib.import_module(where)
    path = Path(where)
    package = path.is_dir()
    spec = importlib.util.spec_from_file_location(
        name,
        path / "__init__.py" if package else path,
        submodule_search_locations=[str(path)] if package else None,
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{where} is not a module of Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def serve(loaded: ObjectClass, channel: Channel) -> None:
    """Runs methods until the daemon closes the pipe."""
    handle = RemoteHandle(channel)
    while True:
        match channel.receive():
            case ["run", str() as name, bytes() as indata, UTime() as now, int() as limit_ms]:
                handle.now = now
                # The default action of the alarm is death: nothing in the class can delay it.
                signal.setitimer(signal.ITIMER_REAL, 2 * limit_ms / 1000)
                code, data = run(loaded, name, indata, handle)
                signal.setitimer(signal.ITIMER_REAL, 0)
                channel.send(["done", code, data])
            case other:
                raise SystemExit(f"the daemon sends {other!r}")


def run(loaded: ObjectClass, name: str, indata: bytes, handle: RemoteHandle) -> tuple[int, bytes]:
    """Code and data of one call; what the class raises becomes a code."""
    try:
        reply = loaded.methods[name].run(handle, indata)
    except CephError as error:
        return -error.errno, b""
    except MemoryError:
        handle.log(0, f"method {loaded.name}.{name} takes too much memory")
        return -errno.ENOMEM, b""
    except Exception as error:  # noqa: BLE001  # told to the daemon, whatever it is
        for entry in traceback.format_exception(error):
            for line in entry.splitlines():
                handle.log(0, line)
        return -errno.EIO, b""
    return reply.code, bytes(reply.data)


def main(words: list[str]) -> None:
    """Loads the class and serves."""
    name, where = words
    channel = Channel(sys.stdin.buffer, os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        module = load(name, where)
        loaded = class_of(module)
    except Exception as error:  # noqa: BLE001  # told to the daemon, whatever it is
        channel.send(["failed", f"{type(error).__name__}: {error}"])
        return
    if not hasattr(module, "NAME"):
        loaded.name = name
    methods = [[method.name, int(method.flags)] for method in loaded.methods.values()]
    channel.send(["class", loaded.name, list(loaded.version), methods])
    serve(loaded, channel)


if __name__ == "__main__":
    main(sys.argv[1:])
