"""Sends numbers to InfluxDB over HTTP, in its line protocol: version 1 by database, 2 by bucket."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from itertools import islice
from urllib.parse import urlencode

from spirula.mgr_modules.exporter.points import Point

_PATIENCE_S = 10
_SHOWN = 300
_ESCAPES = str.maketrans({",": r"\,", "=": r"\=", " ": r"\ ", "\n": " "})


@dataclass(frozen=True, slots=True)
class Server:
    """Where to send, and as whom. With `token` the server is taken to be of version 2."""

    host: str
    port: int = 8086
    database: str = "ceph"
    username: str = ""
    password: str = ""
    org: str = ""
    token: str = ""
    tls: bool = False
    verify_tls: bool = True

    def connect(self) -> HTTPConnection:
        """A connection that is made with the first request."""
        if not self.tls:
            return HTTPConnection(self.host, self.port, timeout=_PATIENCE_S)
        context = ssl.create_default_context()
        if not self.verify_tls:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return HTTPSConnection(self.host, self.port, timeout=_PATIENCE_S, context=context)

    def headers(self) -> dict[str, str]:
        """What says who asks."""
        if self.token:
            return {"Authorization": f"Token {self.token}"}
        if not self.username:
            return {}
        both = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        return {"Authorization": f"Basic {both}"}

    def write_path(self) -> str:
        """Where points are written to. They are of milliseconds."""
        if self.token:
            query = {"org": self.org, "bucket": self.database, "precision": "ms"}
            return f"/api/v2/write?{urlencode(query)}"
        return f"/write?{urlencode({'db': self.database, 'precision': 'ms'})}"


class Refused(OSError):
    """The server does not take the points."""


def line(point: Point, now: float) -> str:
    """`ceph_pool_stats,pool_id=1,... value=17 1700000000000`."""
    # Tags without a value are no tags to the server.
    tags = "".join(
        f",{key.translate(_ESCAPES)}={value.translate(_ESCAPES)}"
        for key, value in sorted(point.tags.items())
        if value
    )
    return f"{point.measurement}{tags} value={float(point.value)!r} {int(now * 1000)}"


def send(points: Iterable[Point], server: Server, now: float, batch: int) -> int:
    """Sends numbers, so many at a time; gives how many. OSError where that fails.

    A database that a server of version 1 does not have is made.
    """
    count = 0
    connection = server.connect()
    try:
        for some in _batches((line(point, now) for point in points), batch):
            body = "\n".join(some).encode()
            status, text = _post(connection, server, server.write_path(), body)
            if status == 404 and not server.token:
                _create_database(connection, server)
                status, text = _post(connection, server, server.write_path(), body)
            if status not in (200, 204):
                raise Refused(f"the server answers {status}: {text}")
            count += len(some)
    except HTTPException as error:
        raise Refused(f"the server does not speak HTTP: {error!r}") from error
    finally:
        connection.close()
    return count


def _batches(lines: Iterator[str], size: int) -> Iterator[list[str]]:
    while some := list(islice(lines, size)):
        yield some


def _post(connection: HTTPConnection, server: Server, path: str, body: bytes) -> tuple[int, str]:
    connection.request("POST", path, body, server.headers())
    answer = connection.getresponse()
    return answer.status, answer.read().decode("utf-8", "replace")[:_SHOWN]


def _create_database(connection: HTTPConnection, server: Server) -> None:
    name = server.database.replace("\\", "\\\\").replace('"', '\\"')
    query = urlencode({"q": f'CREATE DATABASE "{name}"'})
    status, text = _post(connection, server, f"/query?{query}", b"")
    if status != 200:
        raise Refused(f"the database {server.database} cannot be made: {status} {text}")
