"""Compressed frames between us and an OSD of a release that knows them (17.2 on, see `newer`)."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator

import pytest

from spirula.cli.credentials import find_key
from spirula.client.session import open_session
from spirula.conf.load import load
from spirula.msgr.wire import Wire
from spirula.types.entity import EntityType
from tests.interop import newer
from tests.interop.realcluster import RealCluster

ALGORITHMS = ["snappy", "zlib", "zstd", "lz4"]


@pytest.fixture(scope="module")
def compressing() -> Iterator[RealCluster]:
    if reason := newer.why_not():
        pytest.skip(reason)
    with newer.newer_cluster_of(osds=1) as cluster:
        cluster.ceph("config", "set", "osd", "ms_osd_compress_mode", "force")
        cluster.ceph("config", "set", "osd", "ms_compress_secure", "true")
        yield cluster


async def config_of_osd(cluster: RealCluster, *options: str) -> tuple[dict[str, str], int]:
    """The OSD's configuration, asked for by `tell`, and how many bytes came in for it."""
    received = 0
    update = Wire.buffer_updated

    def counted(wire: Wire, nbytes: int) -> None:
        nonlocal received
        if wire.connection is not None and wire.connection.peer_name.type == EntityType.OSD:
            received += nbytes
        update(wire, nbytes)

    # OSDs compress for OSDs only, so that is what we log in as
    config = load(["-c", str(cluster.conf), "-n", "osd.0", *options]).config
    config.set("key", cluster.ceph("auth", "print-key", "osd.0").strip())
    session = await open_session(
        config, find_key(config), clock=time.time, random_bytes=os.urandom, timeout_s=20
    )
    try:
        # Our side is too short to be compressed: 20.2.4 takes a compressed command from an OSD,
        # answers it, and then fails an assertion about its throttle.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Wire, "buffer_updated", counted)
            reply = await session.tell("osd.0", {"prefix": "config show"}, timeout_s=20)
        return json.loads(reply.check()), received
    finally:
        await session.close()


@pytest.mark.parametrize("mode", ["crc", "secure"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_large_messages_travel_compressed(
    compressing: RealCluster, algorithm: str, mode: str
) -> None:
    compressing.ceph("config", "set", "osd", "ms_osd_compression_algorithm", algorithm)
    common = ["--ms_cluster_mode", mode, "--ms_compress_secure", "true"]
    plain, plain_size = asyncio.run(config_of_osd(compressing, *common))
    force = ["--ms_osd_compress_mode", "force", "--ms_osd_compression_algorithm", algorithm]
    packed, packed_size = asyncio.run(config_of_osd(compressing, *common, *force))
    assert packed.keys() == plain.keys()
    assert packed_size < plain_size / 2
