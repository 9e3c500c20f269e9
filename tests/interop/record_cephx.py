"""Records logins and authorizers with real daemons: `python -m tests.interop.record_cephx FILE`.

Writes what `tests/golden/test_cephx.py` replays: for each release that can be had here and each
connection mode, all payloads of a login, of one that keeps its global id, and of a connection to an
OSD, with the key and the random bytes that our side used. The clusters and their keys are gone
afterwards. Releases: the machine's own, and the one of `newer` where there is one.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from spirula.auth.handshake import AuthOutcome, AuthRequest
from spirula.types.entity import EntityType
from tests.interop import newer, realcluster
from tests.interop.realcluster import RealCluster
from tests.interop.test_cephx import ADMIN, Peer, monitor_of, osd_of


class Recorded:
    """A client's handshake that writes down what goes through it."""

    def __init__(self, inner, steps: list[list[str]]) -> None:
        self.inner, self.steps = inner, steps

    def request(self) -> AuthRequest:
        request = self.inner.request()
        self.steps.append(["request", request.payload.hex()])
        return request

    def on_bad_method(self, refusal):
        raise AssertionError(f"refused: {refusal}")

    def on_more(self, payload: bytes) -> bytes:
        answer = self.inner.on_more(payload)
        self.steps.append(["more", payload.hex(), answer.hex()])
        return answer

    def on_done(self, global_id: int, mode: int, payload: bytes) -> AuthOutcome:
        outcome = self.inner.on_done(global_id, mode, payload)
        secrets = [outcome.session_key.hex(), outcome.connection_secret.hex()]
        self.steps.append(["done", str(global_id), payload.hex(), *secrets])
        return outcome


async def record(cluster: RealCluster, mode: str) -> dict[str, object]:
    drawn: list[str] = []

    def random(size: int) -> bytes:
        drawn.append(os.urandom(size).hex())
        return bytes.fromhex(drawn[-1])

    key = cluster.key_of("client.admin")
    peer = Peer(ADMIN, key, mode)
    peer.auth.random = random
    steps: list[list[str]] = []
    handshake = peer.auth.handshake
    peer.auth.handshake = lambda kind: Recorded(handshake(kind), steps)
    started = time.time()
    monitor = await peer.connect(EntityType.MON, monitor_of(cluster))
    monitor.mark_down()
    await peer.connect(EntityType.MON, monitor_of(cluster))
    await peer.connect(EntityType.OSD, osd_of(cluster))
    await peer.messenger.shutdown()
    return {
        "release": cluster.version,
        "mode": mode,
        "key": key,
        "time": started,
        "random": drawn,
        "steps": steps,
    }


def main(path: str) -> None:
    makers: list[Callable[..., AbstractContextManager[RealCluster]]] = []
    if realcluster.why_not() is None:
        makers.append(realcluster.real_cluster_of)
    if newer.why_not() is None:
        makers.append(newer.newer_cluster_of)
    recordings = []
    for maker in makers:
        with maker(osds=1) as cluster:
            recordings += [asyncio.run(record(cluster, mode)) for mode in ("crc", "secure")]
    Path(path).write_text(json.dumps(recordings, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
