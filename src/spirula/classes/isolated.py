"""Running classes that are not part of Spirula in processes of their own, one for each class.

Python code cannot be stopped from within its process when it loops inside a C function or takes
all memory; a process can. The daemon starts it at the class's first use, sends it each call, and
answers what the method asks of its handle while it waits. A process that takes too long, dies or
sends nonsense is killed, the call fails, and the next call starts a new one. Meanwhile the daemon
waits: MAX_CALL_S is the longest that a call can hold it up. Used by `registry`; the other side is
`worker`.
"""

from __future__ import annotations

import errno
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from spirula.classes.declare import Method, MethodFlag, ObjectClass, Reply
from spirula.classes.handle import ObjectHandle
from spirula.classes.pipe import content_length, frame, value_of
from spirula.errors import CephError, InputOutput, WireError

MAX_CALL_S: Final = 1.0
"""Seconds that one call of a method may take, the work that it asks of the OSD included."""
MAX_LOAD_S: Final = 10.0
"""Seconds until a class must be loaded."""
MAX_CALL_BYTES: Final = 256 << 20
"""Bytes that one call of a method may send to its OSD, all its changes together."""

HANDLE_CALLS: Final = frozenset({
    name
    for name in vars(ObjectHandle)
    if not name.startswith("_") and callable(getattr(ObjectHandle, name))
})  # fmt: skip
HANDLE_COUNTS: Final = frozenset({"num_read", "num_write"})

Log = Callable[[int, str], None]


@dataclass(slots=True)
class Worker:
    """The process of one class. `where` is the module's name or its file's path."""

    name: str
    where: str
    log: Log
    _process: subprocess.Popen[bytes] | None = None
    _sent: int = 0

    def start(self) -> ObjectClass:
        """Starts the process and loads the class; InputOutput if that fails."""
        self._sent = 0
        # -P: what lies in the daemon's folder is no module. A session of its own: what ends the
        # daemon at a terminal does not end it first.
        command = [sys.executable, "-P", "-m", "spirula.classes.worker", self.name, self.where]
        try:
            self._process = subprocess.Popen(  # noqa: S603  # the module is ours, the rest words
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise InputOutput(f"cannot start its process: {error}") from error
        answer = self._receive(time.monotonic() + MAX_LOAD_S)
        match answer:
            case ["class", str() as name, [int() as major, int() as minor], list() as methods]:
                return self._described(name, (major, minor), methods)
            case ["failed", str() as reason]:
                self.stop()
                raise InputOutput(reason)
            case _:
                self.stop()
                raise InputOutput("its process does not answer as it should")

    def stop(self) -> None:
        """Ends the process, if there is one."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()

    def run(self, method: str, handle: ObjectHandle, indata: bytes) -> Reply:
        """Runs a method in the process; CephErrors as the method or the guard raises them."""
        if self._process is None:
            self.start()
        self._sent = 0
        deadline = time.monotonic() + MAX_CALL_S
        try:
            limit_ms = int(MAX_CALL_S * 1000)
            self._send(["run", method, indata, handle.now, limit_ms], deadline)
            while True:
                match self._receive(deadline):
                    case ["done", int() as code, bytes() as data]:
                        return Reply(data, code)
                    case ["ask", str() as what, list() as words]:
                        self._send(_answer(handle, what, words), deadline)
                    case ["log", int() as level, str() as message]:
                        handle.log(level, message)
                    case _:
                        raise InputOutput("its process sends what nobody asked for")
        except (CephError, WireError) as error:
            self.stop()
            handle.log(0, f"method {self.name}.{method} was stopped: {error}")
            if isinstance(error, CephError):
                raise
            raise InputOutput(str(error)) from error
        except BaseException:
            self.stop()
            raise

    def _described(self, name: str, version: tuple[int, int], methods: list[Any]) -> ObjectClass:
        made = ObjectClass(name, version)
        for row in methods:
            match row:
                case [str() as method, int() as flags]:
                    made.methods[method] = Method(
                        self.name, method, MethodFlag(flags), self._runner(method)
                    )
                case _:
                    raise InputOutput("its process describes its methods badly")
        return made

    def _runner(self, method: str) -> Callable[[ObjectHandle, bytes], Reply]:
        return lambda handle, indata: self.run(method, handle, indata)

    def _send(self, value: Any, deadline: float) -> None:
        rest = memoryview(frame(value))
        descriptor = self._descriptor("stdin")
        os.set_blocking(descriptor, False)
        while rest:
            self._wait(descriptor, select.POLLOUT, deadline)
            try:
                rest = rest[os.write(descriptor, rest) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise InputOutput("its process has ended") from None

    def _receive(self, deadline: float) -> Any:
        length = content_length(self._read(4, deadline))
        self._sent += length
        if self._sent > MAX_CALL_BYTES:
            raise CephError.from_errno(
                errno.EFBIG, f"a call changes more than {MAX_CALL_BYTES} bytes"
            )
        return value_of(self._read(length, deadline))

    def _read(self, length: int, deadline: float) -> bytes:
        descriptor = self._descriptor("stdout")
        got = bytearray()
        while len(got) < length:
            self._wait(descriptor, select.POLLIN, deadline)
            part = os.read(descriptor, min(length - len(got), 1 << 20))
            if not part:
                raise InputOutput("its process has ended: out of memory, or out of time")
            got += part
        return bytes(got)

    def _wait(self, descriptor: int, event: int, deadline: float) -> None:
        # Not select(), whose descriptors end at 1024.
        poll = select.poll()
        poll.register(descriptor, event)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise CephError.from_errno(errno.ETIMEDOUT, f"class {self.name} takes too long")

    def _descriptor(self, which: str) -> int:
        stream = getattr(self._process, which, None)
        if stream is None:
            raise InputOutput("its process has ended")
        descriptor: int = stream.fileno()
        return descriptor


def _answer(handle: ObjectHandle, what: str, words: list[Any]) -> list[Any]:
    """What a handle answers to a method in another process, as it goes there."""
    if what in HANDLE_COUNTS:
        return ["ok", getattr(handle, what)]
    if what not in HANDLE_CALLS:
        raise InputOutput(f"its process asks for {what!r}, which handles have not got")
    try:
        return ["ok", getattr(handle, what)(*words)]
    except CephError as error:
        return ["error", error.errno, error.message]
    except TypeError as error:
        return ["error", errno.EINVAL, str(error)]


@dataclass(slots=True)
class Workshop:
    """The processes of one daemon's isolated classes."""

    _workers: dict[str, Worker] = field(default_factory=dict)

    def load(self, name: str, where: str, log: Log) -> ObjectClass:
        """Starts a class's process; InputOutput if it cannot be loaded."""
        worker = Worker(name, where, log)
        try:
            loaded = worker.start()
        except BaseException:
            worker.stop()
            raise
        self._workers[name] = worker
        return loaded

    def close(self) -> None:
        """Ends all processes."""
        for worker in self._workers.values():
            worker.stop()
        self._workers.clear()
