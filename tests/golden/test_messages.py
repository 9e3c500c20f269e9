"""Every recorded message of a real 16.2 cluster decodes, and encodes to the same bytes again; those
that a later release sent to clients of 16.2 decode.

The recordings and how they were made: `tests/golden/messages/README.md`.
"""

from __future__ import annotations

import pytest

from spirula.messages.base import MESSAGES, Message, UnknownMessage, decode_message, load_all
from spirula.messages.quorum import MForward, MRoute
from tests.golden.vectors import Vector, by_type

load_all()

NEWER = "newer"
"""The run in which a later release spoke: its messages must be understood, not imitated."""

# Spoken only among metadata servers and their clients; declared together with the server.
OF_THE_METADATA_SERVER = frozenset(
    {
        "MCacheExpire",
        "MClientCapRelease",
        "MClientCaps",
        "MClientLease",
        "MClientMetrics",
        "MClientQuota",
        "MClientReconnect",
        "MClientReply",
        "MClientRequest",
        "MClientRequestForward",
        "MClientSession",
        "MClientSnap",
        "MDentryLink",
        "MDentryUnlink",
        "MDirUpdate",
        "MDiscover",
        "MDiscoverReply",
        "MExportCaps",
        "MExportCapsAck",
        "MExportDir",
        "MExportDirAck",
        "MExportDirCancel",
        "MExportDirDiscover",
        "MExportDirDiscoverAck",
        "MExportDirFinish",
        "MExportDirNotify",
        "MExportDirNotifyAck",
        "MExportDirPrep",
        "MExportDirPrepAck",
        "MGatherCaps",
        "MHeartbeat",
        "MLock",
        "MMDSCacheRejoin",
        "MMDSFindIno",
        "MMDSFindInoReply",
        "MMDSFragmentNotify",
        "MMDSFragmentNotifyAck",
        "MMDSLoadTargets",
        "MMDSMetrics",
        "MMDSOpenIno",
        "MMDSOpenInoReply",
        "MMDSPeerRequest",
        "MMDSPing",
        "MMDSResolve",
        "MMDSResolveAck",
        "MMDSScrub",
        "MMDSScrubStats",
        "MMDSSnapUpdate",
        "MMDSTableRequest",
    }
)


def _types() -> list[pytest.param]:
    out = []
    for number, found in by_type().items():
        name = found[0].name
        marks = []
        if name in OF_THE_METADATA_SERVER:
            reason = "declared together with the metadata server"
            marks = [pytest.mark.xfail(raises=UnknownMessage, strict=True, reason=reason)]
        out.append(pytest.param(number, id=name, marks=marks))
    return out


def _describe(vector: Vector) -> str:
    return (
        f"{vector.name} v{vector.version}/{vector.compat_version} "
        f"{vector.source}>{vector.target} of {len(vector.front)} bytes, run {vector.run}"
    )


def _decode(vector: Vector) -> Message:
    decoded = decode_message(
        vector.type,
        vector.version,
        vector.compat_version,
        vector.front,
        vector.middle,
        vector.data,
        vector.features,
    )
    assert type(decoded).__name__ == vector.name
    assert (decoded.middle, decoded.data) == (vector.middle, vector.data), _describe(vector)
    return decoded


@pytest.mark.parametrize("number", _types())
def test_recorded_messages_reencode_byte_for_byte(number: int) -> None:
    for vector in by_type()[number]:
        decoded = _decode(vector)
        if vector.run == NEWER:
            continue
        version, compat, front = decoded.encode_payload(vector.features)
        assert front == vector.front, _describe(vector)
        assert (version, compat) == (vector.version, vector.compat_version), _describe(vector)


def test_forwarded_messages_decode_and_pack_to_the_same_bytes() -> None:
    carried = 0
    for name in ("MForward", "MRoute"):
        (number,) = (n for n, found in by_type().items() if found[0].name == name)
        for vector in by_type()[number]:
            if vector.run == NEWER:
                continue
            outer = _decode(vector)
            assert isinstance(outer, MForward | MRoute)
            inside = outer.msg
            if inside is None:
                continue
            features = vector.features & getattr(outer, "con_features", vector.features)
            if inside.type not in MESSAGES:
                continue
            message = inside.unpack(features)
            again = type(inside).pack(message, inside.src, features, seq=inside.seq)
            again.data_off = inside.data_off
            assert again == inside, _describe(vector)
            carried += 1
    assert carried > 20


def test_the_recordings_hold_every_conversation() -> None:
    kinds = {(v.source, v.target) for found in by_type().values() for v in found}
    daemons = ("mon", "osd", "mgr", "client")
    silent = {("client", "client"), ("mgr", "mgr")}
    assert {(a, b) for a in daemons for b in daemons} - silent <= kinds
