"""Where a client must come from: networks, and texts that are none."""

from __future__ import annotations

import pytest

from spirula.auth.caps.network import Network
from spirula.types.entity import EntityAddr


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        ("10.0.0.0/8", ["10.0.0.0", "10.255.255.255"], ["9.255.255.255", "11.0.0.0", "::a00:1"]),
        ("10.1.2.3/8", ["10.9.9.9"], ["11.1.2.3"]),
        ("10.1.2.3/32", ["10.1.2.3"], ["10.1.2.2"]),
        ("10.1.2.3/99", ["10.1.2.3"], ["10.1.2.2"]),
        ("10.1.2.3/0", ["0.0.0.0", "255.255.255.255"], ["::"]),
        ("10.0.0.0/08", ["10.1.1.1"], ["11.1.1.1"]),
        ("fe80::/10", ["fe80::1", "febf::1"], ["fec0::1", "254.128.0.1"]),
        ("::1/128", ["::1"], ["::2", "0.0.0.1"]),
        ("::1/999", ["::1"], ["::2"]),
        ("::/0", ["::1", "::ffff:10.0.0.1"], ["10.0.0.1"]),
    ],
)
def test_contains(network: str, inside: list[str], outside: list[str]) -> None:
    assert Network(network).valid
    for host in inside:
        assert Network(network).contains(EntityAddr.of(host, 6789)), host
    for host in outside:
        assert not Network(network).contains(EntityAddr.of(host, 6789)), host
    assert not Network(network).contains(None)
    assert not Network(network).contains(EntityAddr())


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.0",
        "10.0.0.0/",
        "/8",
        "10.0.0/8",
        "10.0.0.0.0/8",
        "10.0.0.256/8",
        "010.0.0.0/8",
        "10.0.0.0/8/8",
        "10.0.0.0/a",
        "10.0.0.0/4294967296",
        "10.0.0.0/99999999999999999999",
        "[::1]/128",
        "::g/8",
        "dead",
        "",
    ],
)
def test_what_is_no_network_contains_nobody(text: str) -> None:
    network = Network(text)
    assert not network.valid
    for host in ("10.0.0.0", "0.0.0.0", "::1", "::"):
        assert not network.contains(EntityAddr.of(host, 0))
    assert not network.contains(EntityAddr())
    assert not network.contains(None)
