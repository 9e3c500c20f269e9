"""A small HTTP server for pages that are made when they are asked for, in threads of its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TEXT = "text/plain; version=0.0.4; charset=utf-8"
HTML = "text/html; charset=utf-8"
_JOIN_S = 5.0
_PATIENCE_S = 30
"""How long a client may take for its request."""


@dataclass(frozen=True, slots=True)
class Page:
    """What is answered."""

    body: str
    kind: str = HTML
    status: int = 200


def front_page(metrics_uri: str) -> Page:
    """A page with a link to the metrics."""
    return Page(
        "<!DOCTYPE html>\n<html>\n<head><title>Ceph Exporter</title></head>\n<body>\n"
        f"<h1>Ceph Exporter</h1>\n<p><a href='{metrics_uri}'>Metrics</a></p>\n</body>\n</html>\n"
    )


def any_address() -> str:
    """All addresses of this host: `::`, or `0.0.0.0` where there is no IPv6."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return "0.0.0.0"  # noqa: S104 - what the option says; people narrow it
    return "::"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


class PageServer:
    """Answers GET at an address with what `respond` gives for a path.

    OSError when the port is taken. `port` is the one in use, also where 0 was asked for.
    """

    def __init__(self, address: str, port: int, respond: Callable[[str], Page]) -> None:
        class Handler(_Handler):
            page = staticmethod(respond)

        class Server(_Server):
            address_family = socket.AF_INET6 if ":" in address else socket.AF_INET

        self._server = Server((address, port), Handler)
        self.address, self.port = address, int(self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, name=f"http-{self.port}", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """No more answers; on return the port is free."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(_JOIN_S)


class _Handler(BaseHTTPRequestHandler):
    page: Callable[[str], Page]
    protocol_version = "HTTP/1.1"
    timeout = _PATIENCE_S

    def version_string(self) -> str:
        """What the server calls itself."""
        return "Ceph-Prometheus"

    def do_GET(self) -> None:
        """A page."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """What a page would be."""
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        page = self.page(self.path.partition("?")[0])
        body = page.body.encode()
        self.send_response(page.status)
        self.send_header("Content-Type", page.kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged: they come every few seconds, for ever."""
