"""Frame writers and readers of all four formats, made as the two ends of a connection make them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import pytest

from spirula.msgr.protocol.frames import FrameLimits, FrameWriter, make_writer
from spirula.msgr.protocol.reader import FrameReader
from spirula.msgr.protocol.secure import session_keys

SECRET = hashlib.sha512(b"what both ends know").digest()


@dataclass(frozen=True)
class Format:
    secure: bool
    revision1: bool

    def __str__(self):
        return f"{'secure' if self.secure else 'crc'}-rev{int(self.revision1)}"

    def ends(self, limits=None) -> tuple[FrameWriter, FrameReader]:
        """The client's writer and the server's reader."""
        reader = FrameReader(limits or FrameLimits())
        if not self.secure:
            reader.use(None, revision1=self.revision1)
            return make_writer(None, revision1=self.revision1), reader
        _, sealer = session_keys(SECRET, client=True, revision1=self.revision1)
        opener, _ = session_keys(SECRET, client=False, revision1=self.revision1)
        reader.use(opener, revision1=self.revision1)
        return make_writer(sealer, revision1=self.revision1), reader


CRC_1 = Format(secure=False, revision1=True)
CRC_0 = Format(secure=False, revision1=False)
SECURE_1 = Format(secure=True, revision1=True)
SECURE_0 = Format(secure=True, revision1=False)
FORMATS = (CRC_1, CRC_0, SECURE_1, SECURE_0)

all_formats = pytest.mark.parametrize("form", FORMATS, ids=str)


def written(writer: FrameWriter, tag: int, segments: list[bytes], flags: int = 0) -> bytes:
    out: list[bytes] = []
    size = writer.frame(tag, segments, flags, out)
    frame = b"".join(out)
    assert len(frame) == size
    return frame


def written_message(writer: FrameWriter, *segments: bytes) -> bytes:
    header, front, middle, data = (*segments, b"", b"", b"")[:4]
    out: list[bytes] = []
    size = writer.message(header, front, middle, data, out)
    frame = b"".join(out)
    assert len(frame) == size
    return frame
