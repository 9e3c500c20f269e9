"""Clients with a model beside them, on a real cluster: the model is right."""

from __future__ import annotations

import asyncio
import os
import random
import time

import pytest

from spirula.cli.credentials import find_key
from spirula.client.session import open_session
from spirula.conf.load import load
from spirula.types.object_info import ObjectLocator
from tests.interop.realcluster import RealCluster
from tests.rados_model import ModelClient, run_clients


async def run_models(conf: str, pool: str, *, seed: int, clients: int, steps: int) -> int:
    """Clients with models on a cluster; how many steps were done."""
    config = load(["-c", conf]).config
    session = await open_session(
        config, find_key(config), clock=time.time, random_bytes=os.urandom, timeout_s=60
    )
    try:
        await session.objecter.newest_map()
        pools = session.objecter.maps.osdmap.pool_name
        locator = ObjectLocator(next(number for number, name in pools.items() if name == pool))
        rng = random.Random(seed)
        made = [
            ModelClient(
                session.objecter,
                locator,
                random.Random(rng.random()),
                f"client {n}",
                monitors=session.monitors,
            )
            for n in range(clients)
        ]
        await run_clients(made, steps)
        return sum(client.done for client in made)
    finally:
        await session.close()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_real_cluster_does_what_the_model_says(real_cluster: RealCluster, seed: int) -> None:
    pool = f"model-{seed}"
    real_cluster.run("ceph", "osd", "pool", "create", pool, "8", "8")
    work = run_models(str(real_cluster.conf), pool, seed=seed, clients=6, steps=120)
    try:
        assert asyncio.run(asyncio.wait_for(work, 300)) == 6 * 120
    finally:
        real_cluster.run("ceph", "osd", "pool", "rm", pool, pool, "--yes-i-really-really-mean-it")
