"""Addresses that leave something out."""

from __future__ import annotations

import struct

import pytest

from spirula.errors import WireError
from spirula.types.entity import EntityAddr

INET, INET6 = 2, 10


def encoded(family: int, rest: bytes) -> bytes:
    sockaddr = family.to_bytes(2, "little") + rest
    head = struct.pack("<BBBIIII", 1, 1, 1, 12 + len(sockaddr), 2, 7, len(sockaddr))
    return head + sockaddr


@pytest.mark.parametrize("size", range(14))
def test_what_an_ip_address_leaves_out_is_zero(size: int) -> None:
    whole = EntityAddr.of("10.1.2.3", 6800, nonce=7)
    addr = EntityAddr.decode(encoded(INET, whole.sockaddr[:size]))
    assert addr.sockaddr == whole.sockaddr[:size].ljust(14, b"\0")
    assert str(addr).startswith("v2:")
    assert addr.plain()["addr"] == f"{addr.host}:{addr.port}"
    assert (addr == whole) == (size >= 6)


@pytest.mark.parametrize("size", range(26))
def test_the_same_of_the_sixth_version(size: int) -> None:
    whole = EntityAddr.of("fe80::1:2", 6800, nonce=7)
    addr = EntityAddr.decode(encoded(INET6, whole.sockaddr[:size]))
    assert len(addr.sockaddr) == 26
    assert addr.host
    assert (addr == whole) == (size >= 22)


def test_more_than_the_family_has_is_refused() -> None:
    with pytest.raises(WireError):
        EntityAddr.decode(encoded(INET, bytes(15)))
