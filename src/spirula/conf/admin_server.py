"""The admin socket itself: an asyncio server on a unix socket, and a client for it.

The edge of `spirula.conf.admin_commands`. A daemon calls `AdminSocket.start` once its event loop
runs; the real `ceph daemon` and `ceph --admin-daemon` talk to it. Framing: upstream
src/common/admin_socket.cc (the reply is a 4-byte big-endian length and that many bytes).
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
import stat
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

from spirula.conf.admin_commands import MAX_REQUEST_BYTES, CommandTable, RequestReader
from spirula.errors import CephError, Exists, InputOutput, InvalidArgument

MAX_PATH_BYTES = 107
"""Longest path of a unix socket."""
MAX_CLIENTS = 64
"""Connections that are served at the same time; more are closed at once."""
REQUEST_TIMEOUT_S = 30.0
"""How long a client may take to send its request or to take the reply."""
MAX_REPLY_BYTES = 256 << 20
PING_TIMEOUT_S = 5.0
_LENGTH = struct.Struct(">I")


class AdminSocket:
    """Serves a command table on a unix socket until `close`.

    `on_error` is told of failures, for the log. A socket file that nobody listens on any more is
    replaced; one that answers is left alone.
    """

    def __init__(
        self,
        path: str,
        table: CommandTable,
        *,
        mode: int | None = None,
        owner: tuple[int, int] | None = None,
        on_error: Callable[[str], None] | None = None,
    ) -> None:
        self.path = path
        self.table = table
        self.mode = mode
        self.owner = owner
        self.on_error = on_error
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._inode: tuple[int, int] | None = None

    async def start(self) -> None:
        """Binds and listens. Raises Exists when a live daemon owns the path, InvalidArgument when
        the path is too long, else the CephError of the errno.
        """
        if len(os.fsencode(self.path)) > MAX_PATH_BYTES:
            raise InvalidArgument(
                f"the unix socket path {self.path} is longer than {MAX_PATH_BYTES} bytes"
            )
        listener = self._bind()
        try:
            self._inode = self._claim()
        except OSError as error:
            listener.close()
            raise _errno(error, f"cannot set the owner or mode of {self.path}") from error
        self._server = await asyncio.start_unix_server(self._accepted, sock=listener)

    def _bind(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            try:
                listener.bind(self.path)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                self._remove_stale()
                listener.bind(self.path)
            listener.setblocking(False)
        except OSError as error:
            listener.close()
            raise _errno(error, f"cannot bind the unix socket {self.path}") from error
        except CephError:
            listener.close()
            raise
        return listener

    def _claim(self) -> tuple[int, int]:
        """Sets mode and owner; gives what tells our socket file from another one."""
        if self.mode is not None:
            Path(self.path).chmod(self.mode)
        if self.owner is not None:
            os.chown(self.path, *self.owner)
        info = Path(self.path).stat()
        return info.st_dev, info.st_ino

    def _remove_stale(self) -> None:
        if not stat.S_ISSOCK(Path(self.path).lstat().st_mode):
            raise Exists(f"{self.path} is not a socket")
        if _somebody_listens(self.path):
            raise Exists(f"{self.path} is in use")
        Path(self.path).unlink()

    async def close(self) -> None:
        """Stops serving and removes the socket file, if it is still ours."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._remove_ours()

    def _remove_ours(self) -> None:
        try:
            info = Path(self.path).stat()
            if (info.st_dev, info.st_ino) == self._inode:
                Path(self.path).unlink()
        except FileNotFoundError:
            pass
        except OSError as error:
            self._tell(f"cannot remove {self.path}: {error.strerror}")

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= MAX_CLIENTS:
            self._tell(f"more than {MAX_CLIENTS} clients")
            writer.close()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                request = await _read_request(reader)
            if request is None:
                return
            outcome = await self.table.execute(request)
            reply = outcome.for_socket()
            writer.write(_LENGTH.pack(len(reply)))
            writer.write(reply)
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                await writer.drain()
        except TimeoutError:
            self._tell("client was too slow")
        except InvalidArgument as error:
            self._tell(error.message)
        except OSError as error:
            self._tell(f"lost a client: {error.strerror}")
        finally:
            writer.close()

    def _tell(self, text: str) -> None:
        if self.on_error is not None:
            self.on_error(text)


async def _read_request(reader: asyncio.StreamReader) -> str | None:
    pending = RequestReader()
    while True:
        data = await reader.read(4096)
        if not data:
            return None
        request = pending.feed(data)
        if request is not None:
            return request


def _somebody_listens(path: str) -> bool:
    """Whether a connection is taken; a busy daemon counts, though it may not answer in time."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(PING_TIMEOUT_S)
        try:
            connection.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
        return True


def _errno(error: OSError, what: str) -> CephError:
    return CephError.from_errno(error.errno or errno.EIO, f"{what}: {error.strerror}")


def ask(
    path: str,
    command: str | Mapping[str, object],
    *,
    timeout_s: float | None = REQUEST_TIMEOUT_S,
) -> bytes:
    """Sends one command (a prefix, or the whole object) and gives the reply's bytes; blocks.

    Works with real daemons too. Errors of the command are part of the reply (`ERROR: ...`).
    Raises the CephError of the errno when the socket cannot be used, InputOutput for half a reply.
    """
    request = {"prefix": command} if isinstance(command, str) else dict(command)
    payload = json.dumps(request).encode() + b"\0"
    if len(payload) > MAX_REQUEST_BYTES:
        raise InvalidArgument("request too long")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.connect(path)
            connection.sendall(payload)
            (length,) = _LENGTH.unpack(_receive(connection, _LENGTH.size))
            if length > MAX_REPLY_BYTES:
                raise InputOutput(f"a reply of {length} bytes is refused")
            return _receive(connection, length)
        except OSError as error:
            raise _errno(error, f"admin socket {path}") from error


def _receive(connection: socket.socket, size: int) -> bytes:
    out = bytearray()
    while len(out) < size:
        data = connection.recv(min(size - len(out), 1 << 20))
        if not data:
            raise InputOutput("the daemon ended the connection")
        out += data
    return bytes(out)


def ping(path: str) -> bool:
    """Whether a daemon answers on the socket at `path`."""
    try:
        return ask(path, "0", timeout_s=PING_TIMEOUT_S) != b""
    except CephError:
        return False
