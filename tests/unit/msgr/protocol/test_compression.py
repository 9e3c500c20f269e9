"""On-wire compression: agreed on or off, and what goes over the wire then."""

from __future__ import annotations

import pytest

from spirula.errors import LimitExceeded, ProtocolViolation, WireError
from spirula.kernels.compressors import BY_NAME
from spirula.msgr.policies import Policy
from spirula.msgr.protocol.compression import CompressionConfig, CompressionMethod
from spirula.msgr.protocol.events import Failed
from spirula.msgr.protocol.frames import FrameFlag, FrameLimits, Tag
from spirula.msgr.protocol.handshake import REVISION_1, HandshakeConfig
from spirula.types.entity import EntityType
from tests.unit.msgr.world import World

CODECS = {CompressionMethod[name.upper()]: codec() for name, codec in BY_NAME.items()}
SNAPPY, ZLIB, ZSTD = CompressionMethod.SNAPPY, CompressionMethod.ZLIB, CompressionMethod.ZSTD
TEXT = b"the same thing over and over again, " * 500


def config(*methods, peers=EntityType.OSD, secure=True, supported=None, limits=None):
    compression = CompressionConfig(
        peers=peers, methods={method: CODECS[method] for method in methods}, secure=secure
    )
    extra = {"supported": supported} if supported is not None else {}
    return HandshakeConfig(
        EntityType.OSD, compression=compression, limits=limits or FrameLimits(), **extra
    )


def opened(ours, theirs, *, secure=False):
    world = World(secure=secure)
    world.add("a", Policy.lossless_peer(), config=ours)
    world.add("b", Policy.lossless_peer(), config=theirs)
    world.session("a", "b")
    world.run()
    (wire,) = world.wires
    world.sent_bytes.clear()
    return world, wire


def on_wire(world):
    return sum(len(piece) for _, _, piece in world.sent_bytes)


@pytest.mark.parametrize("secure", [False, True], ids=["crc", "secure"])
@pytest.mark.parametrize("method", list(CODECS), ids=BY_NAME)
def test_what_both_know_is_used(secure, method):
    world, wire = opened(config(method), config(*CODECS), secure=secure)
    assert wire.client.handshake.compression_method == method
    world.send("a", "b", TEXT, data=TEXT * 10)
    world.run()
    assert world.messages("b") == [TEXT]
    assert world.told["b"][-1].data == TEXT * 10
    assert on_wire(world) < len(TEXT)


def test_the_accepting_side_chooses_by_its_own_order():
    _, wire = opened(config(SNAPPY, ZLIB), config(ZLIB, SNAPPY))
    assert wire.client.handshake.compression_method == ZLIB
    assert wire.server.handshake.compression_method == ZLIB


@pytest.mark.parametrize(
    ("ours", "theirs", "secure"),
    [
        (config(), config(ZLIB), False),
        (config(ZLIB), config(), False),
        (config(ZLIB), config(SNAPPY), False),
        (config(ZLIB, peers=EntityType.MON), config(ZLIB), False),
        (config(ZLIB), config(ZLIB, peers=EntityType.MON), False),
        (config(ZLIB, secure=False), config(ZLIB), True),
        (config(ZLIB), config(ZLIB, secure=False), True),
        (config(ZLIB), config(ZLIB, supported=REVISION_1), False),
    ],
    ids=[
        "not asked for",
        "not allowed",
        "nothing in common",
        "not with this peer",
        "not with this client",
        "we do not compress what is encrypted",
        "they do not",
        "a release before it",
    ],
)
def test_otherwise_nothing_is_compressed(ours, theirs, secure):
    world, wire = opened(ours, theirs, secure=secure)
    assert wire.client.handshake.compression_method == 0
    world.send("a", "b", TEXT)
    world.run()
    assert world.messages("b") == [TEXT]
    assert on_wire(world) > len(TEXT)


def test_small_messages_are_not_worth_it():
    world, wire = opened(config(ZLIB), config(ZLIB))
    world.send("a", "b", b"x" * 900, b"x" * 1100)
    link = wire.client
    pieces = [bytes(piece) for piece in link.data_to_send()]
    sizes = sorted(len(piece) for piece in pieces)
    assert sizes[0] < 200
    assert sizes[-1] > 900


def test_a_compressed_frame_without_agreement_is_refused():
    world, wire = opened(config(), config())
    out = []
    wire.client.channel.writer.frame(Tag.MESSAGE, [b"whatever"], FrameFlag.COMPRESSED, out)
    wire.pipes[0] += b"".join(out)
    world.deliver(wire, 0, len(wire.pipes[0]))
    (failed,) = [event for event in world.told["b"] if isinstance(event, Failed)]
    assert isinstance(failed.error, ProtocolViolation)
    assert failed.error.rule == "compression.not-negotiated"


@pytest.mark.parametrize(
    ("segments", "error"),
    [
        ([CODECS[ZLIB].compress(bytes(41)), CODECS[ZLIB].compress(bytes(5000))], LimitExceeded),
        ([b"not compressed at all"], WireError),
        ([CODECS[ZLIB].compress(bytes(40))], WireError),
    ],
    ids=["a bomb", "garbage", "a header that is too short"],
)
def test_what_does_not_decompress_ends_the_link(segments, error):
    limits = FrameLimits(front=4999)
    world, wire = opened(config(ZLIB), config(ZLIB, limits=limits))
    out = []
    wire.client.channel.writer.frame(Tag.MESSAGE, segments, FrameFlag.COMPRESSED, out)
    wire.pipes[0] += b"".join(out)
    world.deliver(wire, 0, len(wire.pipes[0]))
    (failed,) = [event for event in world.told["b"] if isinstance(event, Failed)]
    assert isinstance(failed.error, error)
