"""Every recorded message of a real cluster decodes, and encodes to the same bytes again.

The recordings and how they were made: `tests/golden/messages/README.md`.
"""

from __future__ import annotations

import pytest

from spirula.messages.base import MESSAGES, UnknownMessage, decode_message, load_all
from tests.golden.vectors import Vector, by_type

load_all()

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

# Not declared yet. A name leaves this list when its message is declared; it is to become empty.
NOT_YET = frozenset(
    {
        "MBackfillReserve",
        "MOSDAlive",
        "MOSDBeacon",
        "MOSDBoot",
        "MOSDECSubOpRead",
        "MOSDECSubOpReadReply",
        "MOSDECSubOpWrite",
        "MOSDECSubOpWriteReply",
        "MOSDFailure",
        "MOSDForceRecovery",
        "MOSDFull",
        "MOSDMap",
        "MOSDMarkMeDead",
        "MOSDMarkMeDown",
        "MOSDOp",
        "MOSDOpReply",
        "MOSDPGBackfill",
        "MOSDPGCreate2",
        "MOSDPGCreated",
        "MOSDPGInfo2",
        "MOSDPGLease",
        "MOSDPGLeaseAck",
        "MOSDPGLog",
        "MOSDPGNotify",
        "MOSDPGNotify2",
        "MOSDPGPull",
        "MOSDPGPush",
        "MOSDPGPushReply",
        "MOSDPGQuery2",
        "MOSDPGReadyToMerge",
        "MOSDPGRecoveryDelete",
        "MOSDPGRecoveryDeleteReply",
        "MOSDPGRemove",
        "MOSDPGScan",
        "MOSDPGTemp",
        "MOSDPGTrim",
        "MOSDPGUpdateLogMissing",
        "MOSDPGUpdateLogMissingReply",
        "MOSDPing",
        "MOSDRepOp",
        "MOSDRepOpReply",
        "MOSDRepScrub",
        "MOSDRepScrubMap",
        "MOSDScrub2",
        "MOSDScrubReserve",
        "MPGStats",
        "MRecoveryReserve",
        "MWatchNotify",
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
        elif name in NOT_YET:
            marks = [pytest.mark.xfail(raises=UnknownMessage, reason="not declared yet")]
        out.append(pytest.param(number, id=name, marks=marks))
    return out


def _describe(vector: Vector) -> str:
    return (
        f"{vector.name} v{vector.version}/{vector.compat_version} "
        f"{vector.source}>{vector.target} of {len(vector.front)} bytes, run {vector.run}"
    )


@pytest.mark.parametrize("number", _types())
def test_recorded_messages_reencode_byte_for_byte(number: int) -> None:
    for vector in by_type()[number]:
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
        version, compat, front = decoded.encode_payload(vector.features)
        assert front == vector.front, _describe(vector)
        assert (version, compat) == (vector.version, vector.compat_version), _describe(vector)
        assert (decoded.middle, decoded.data) == (vector.middle, vector.data), _describe(vector)


def test_forwarded_messages_decode_and_pack_to_the_same_bytes() -> None:
    carried = 0
    for name in ("MForward", "MRoute"):
        (number,) = (n for n, found in by_type().items() if found[0].name == name)
        for vector in by_type()[number]:
            outer = decode_message(
                number,
                vector.version,
                vector.compat_version,
                vector.front,
                features=vector.features,
            )
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
    pairs = {(a, b) for a in daemons for b in daemons}
    assert pairs - kinds == {("client", "client"), ("mgr", "mgr")} - kinds
    assert {n for n, found in by_type().items() if found[0].name in OF_THE_METADATA_SERVER} <= (
        set(by_type()) - set(MESSAGES)
    )
