"""A cluster of processes is thrashed for a while: nothing is lost, nothing is done twice.

`make thrash` does it for longer. What fails shows what was done to the cluster, and when.
"""

from __future__ import annotations

import asyncio

import pytest

from spirula.cluster.layout import Layout
from tests.interop.spirulacluster import our_cluster, settings
from tests.thrash.daemons import Daemons
from tests.thrash.thrasher import QUICK, Thrasher, check_stores

SECONDS = 20


async def thrash(folder, seed, seconds):
    """One run; where its PGs are in the end."""
    daemons = Daemons(Layout.load(folder))
    least = 3 * seconds
    await daemons.open()
    thrasher = Thrasher(daemons, seed)
    try:
        await thrasher.begin()
        await thrasher.thrash(seconds)
        await thrasher.progress(max(least - thrasher.done, 0))
        await thrasher.finish()
        places = thrasher.places()
        for name in daemons.osds():
            await daemons.end(name, 15)
    finally:
        await thrasher.close()
        await daemons.close()
    print(f"{thrasher.done} steps of clients")
    assert thrasher.done >= least
    return places


@pytest.mark.timeout(600)
def test_a_thrashed_cluster(scale):
    with our_cluster(3, *settings(QUICK), osds=4, mgrs=1) as cluster:
        places = asyncio.run(thrash(cluster.folder, scale, SECONDS * scale))
        assert check_stores(cluster.folder, places) > 5
