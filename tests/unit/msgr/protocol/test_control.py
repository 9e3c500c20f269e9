"""Control frames: known bytes, and every declaration there and back."""

from __future__ import annotations

import pytest

from spirula.errors import WireError
from spirula.msgr.protocol import control
from spirula.msgr.protocol.frames import Tag
from spirula.types.base import UTime
from spirula.types.entity import EntityAddr, EntityAddrVec

ADDR = EntityAddr.parse("v2:127.0.0.1:3300/7")
ADDR_IMAGE = "01 0101 1c000000 02000000 07000000 10000000 0200 0ce4 7f000001" + "00" * 8
ADDRS = EntityAddrVec([ADDR])

FRAMES = [
    (control.Hello(8, ADDR), "08" + ADDR_IMAGE),
    (
        control.AuthRequestFrame(2, [2, 1], b"xy"),
        "02000000 02000000 02000000 01000000 02000000 7879",
    ),
    (
        control.AuthBadMethodFrame(1, -95, [2], [1]),
        "01000000 a1ffffff 01000000 02000000 01000000 01000000",
    ),
    (control.AuthMoreFrame(b"m"), "01000000 6d"),
    (control.AuthDoneFrame(4120, 2, b""), "1810000000000000 02000000 00000000"),
    (control.AuthSignature(bytes(range(32))), bytes(range(32)).hex()),
    (control.CompressionRequest(True, [1]), "01 01000000 01000000"),
    (control.CompressionDone(False, 0), "00 00000000"),
    (
        control.ClientIdent(ADDRS, ADDR, -1, 1, 2, 3, 1, 5),
        "02 01000000"
        + ADDR_IMAGE * 2
        + "ffffffffffffffff"
        + "".join(f"{n:02x}00000000000000" for n in (1, 2, 3, 1, 5)),
    ),
    (
        control.ServerIdent(ADDRS, 0, 1, 2, 3, 1, 5),
        "02 01000000" + ADDR_IMAGE + "".join(f"{n:02x}00000000000000" for n in (0, 1, 2, 3, 1, 5)),
    ),
    (control.IdentMissingFeatures(1 << 59), "0000000000000008"),
    (
        control.SessionReconnect(ADDRS, 1, 2, 3, 4, 5),
        "02 01000000" + ADDR_IMAGE + "".join(f"{n:02x}00000000000000" for n in (1, 2, 3, 4, 5)),
    ),
    (control.SessionReset(True), "01"),
    (control.SessionRetry(3), "0300000000000000"),
    (control.SessionRetryGlobal(4), "0400000000000000"),
    (control.SessionReconnectOk(5), "0500000000000000"),
    (control.Wait(), ""),
    (control.Keepalive(UTime(1, 2)), "01000000 02000000"),
    (control.Ack(9), "0900000000000000"),
]
frames = pytest.mark.parametrize(
    ("frame", "image"), FRAMES, ids=[type(frame).__name__ for frame, _ in FRAMES]
)


@frames
def test_known_bytes(frame, image):
    assert frame.encode().hex() == image.replace(" ", "")


@frames
def test_there_and_back(frame, image):
    assert type(frame).decode(bytes.fromhex(image)) == frame


@frames
def test_fields_of_later_releases_are_ignored(frame, image):
    assert type(frame).decode(bytes.fromhex(image) + b"later") == frame


@frames
def test_cut_off_anywhere_it_is_refused(frame, image):
    encoded = bytes.fromhex(image)
    for size in range(len(encoded)):
        with pytest.raises(WireError):
            type(frame).decode(encoded[:size])


def test_every_tag_has_its_payload():
    assert set(control.CONTROL_FRAMES) == set(Tag) - {Tag.MESSAGE}
