"""PGs that real OSDs and ours keep together are thrashed: with `make thrash` alone, it takes long.

Monitors and the manager are real, so is every OSD but one. The clients are those of the other
thrashers; in the end all PGs are scrubbed deeply by whoever leads them.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import tempfile
from pathlib import Path
from signal import SIGKILL
from types import MappingProxyType, SimpleNamespace

import pytest

from tests.interop.realcluster import why_not
from tests.interop.test_osd_beside_real import Mixed
from tests.thrash.thrasher import QUICK, Thrasher

OSDS, SECONDS = 3, 20
OPTIONS = {
    **QUICK,
    "mon osd min down reporters": "1",
    "mon osd min up ratio": "0.1",
    "mgr pool": "false",
    "osd pool default min size": "2",
}


class Daemons:
    """The daemons of a cluster of both kinds, for the thrasher."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.layout = SimpleNamespace(conf=cluster.conf)

    @property
    def pids(self):
        return [*self.osds(), *self.mons(), *self.mgrs()]

    def is_alive(self, name):
        daemon = self.cluster.daemons.get(name)
        return daemon is not None and daemon.poll() is None

    def signal(self, name, number):
        with contextlib.suppress(ProcessLookupError):
            self.cluster.daemons[name].send_signal(number)

    async def start(self, name):
        self.cluster.launch(name)

    async def end(self, name, number=SIGKILL):
        await asyncio.to_thread(self.cluster.kill, name, how=number)

    def osds(self):
        return [f"osd.{number}" for number in range(OSDS)]

    def mons(self):
        return ["mon.a"]

    def mgrs(self):
        return ["mgr.x"]


class MixedThrasher(Thrasher):
    """One that leaves the number of OSDs as it is.

    A primary of 16.2 does not have a copy that was away drop what of an omap went by a range of
    keys, or as a copy without omap took its place: clients with models do without both.
    """

    steps = MappingProxyType({"copies": False, "omap_ranges": False})

    async def add_or_remove_osd(self):
        """Rather another kill: a new OSD of either kind is what other tests begin with."""
        await self.kill_osd()


async def thrash(cluster, seed, seconds):
    thrasher = MixedThrasher(Daemons(cluster), seed)
    try:
        await thrasher.begin()
        await thrasher.thrash(seconds)
        await thrasher.finish()
    finally:
        await thrasher.close()
    print(f"{thrasher.done} steps of clients")


@pytest.mark.interop
@pytest.mark.slow
@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
@pytest.mark.timeout(1200)
def test_osds_of_both_kinds_are_thrashed_together(scale):
    if scale == 1:
        pytest.skip("`make thrash` does it")
    with tempfile.TemporaryDirectory(prefix="spirula-", ignore_cleanup_errors=True) as folder:
        cluster = Mixed(Path(folder), osds=OSDS, objectstore="bluestore", options=OPTIONS)
        try:
            cluster.start()
            asyncio.run(thrash(cluster, random.Random(scale).random(), SECONDS * scale))
        except BaseException:
            print(f"what daemons logged: {folder}")
            raise
        finally:
            cluster.stop()
