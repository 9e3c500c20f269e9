"""Logins and connections that real daemons took part in, replayed.

`cephx/recordings.json` was written by `python -m tests.interop.record_cephx` with Ceph 16.2.15
(key type aes) and 20.2.4 (aes256k). Given the same random bytes our side must say the same again,
byte for byte, and make the same keys of what the daemons answered.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spirula.auth.client import AuthClient
from spirula.auth.crypto import KeyType, key_from_text
from spirula.auth.registry import AuthRegistry
from spirula.errors import PermissionDenied
from spirula.types.auth import PrincipalName
from spirula.types.entity import EntityType

RECORDINGS = json.loads(Path(__file__).with_name("cephx").joinpath("recordings.json").read_text())
ADMIN = PrincipalName.parse("client.admin")
WANT = EntityType.MON | EntityType.OSD | EntityType.MGR
PEERS = (EntityType.MON, EntityType.MON, EntityType.OSD)
MODES = {"crc": 1, "secure": 2}

pytestmark = [
    pytest.mark.golden,
    pytest.mark.parametrize(
        "recording", RECORDINGS, ids=lambda one: f"{one['release']}-{one['mode']}"
    ),
]


def client_of(recording) -> AuthClient:
    drawn = iter(recording["random"])

    def random(size: int) -> bytes:
        value = bytes.fromhex(next(drawn))
        assert len(value) == size
        return value

    mode = recording["mode"]
    registry = AuthRegistry.from_options(
        EntityType.CLIENT, {"ms_client_mode": mode, "ms_mon_client_mode": mode}
    )
    key = key_from_text(recording["key"])
    return AuthClient(ADMIN, key, registry, WANT, clock=lambda: recording["time"], random=random)


def connections(recording):
    """The steps of each of the three connections."""
    found = []
    for step in recording["steps"]:
        if step[0] == "request":
            found.append([])
        found[-1].append(step)
    return found


def replay(client, recording, steps, peer_type):
    (_, request), (_, more, answer), (_, global_id, done, *secrets) = steps
    handshake = client.handshake(peer_type)
    assert handshake.request().payload.hex() == request
    assert handshake.on_more(bytes.fromhex(more)).hex() == answer
    mode = MODES[recording["mode"]]
    outcome = handshake.on_done(int(global_id), mode, bytes.fromhex(done))
    assert [outcome.session_key.hex(), outcome.connection_secret.hex()] == secrets
    return outcome


def test_the_same_bytes_again(recording):
    client = client_of(recording)
    ids = []
    for steps, peer_type in zip(connections(recording), PEERS, strict=True):
        outcome = replay(client, recording, steps, peer_type)
        ids.append(outcome.global_id)
        assert len(outcome.connection_secret) == (64 if recording["mode"] == "secure" else 0)
    assert ids[0] == ids[1] == ids[2] == client.global_id
    newer = not recording["release"].startswith("16.")
    assert {t.session_key.type for t in client.tickets.tickets.values()} == {
        KeyType.AES256K if newer else KeyType.AES
    }


def test_a_damaged_answer_is_refused(recording):
    """One bit of each byte that aes256k protects; under aes, of the first block."""
    newer = not recording["release"].startswith("16.")
    steps = connections(recording)[0]
    (_, _), (_, more, _), (_, global_id, done, *_) = steps
    # What the client opens first: its half of the first ticket, after 20 bytes of headings.
    payload = bytes.fromhex(done)
    size = int.from_bytes(payload[16:20], "little")
    for at in range(20, 20 + (size if newer else 16)):
        client = client_of(recording)
        handshake = client.handshake(EntityType.MON)
        handshake.request()
        handshake.on_more(bytes.fromhex(more))
        damaged = payload[:at] + bytes([payload[at] ^ 1]) + payload[at + 1 :]
        with pytest.raises(PermissionDenied):
            handshake.on_done(int(global_id), MODES[recording["mode"]], damaged)
        assert client.global_id == 0
