"""Host names in `mon_host`, looked up for the commands that make monitor maps."""

from __future__ import annotations

import socket


def resolve(name: str) -> list[str]:
    """The addresses of a host; none, and a line of output, for one that is not known."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError as error:
        print(f"server name not found: {name} ({error.strerror})", flush=True)
        return []
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
