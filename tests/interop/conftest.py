"""Tests here talk to a real Ceph, or drive its programs; where there is none they are skipped.

`real_cluster` is one cluster for all tests that ask for it: it takes some seconds to start, so
tests leave it as they found it (own pools, own names). Tests that hurt a cluster or need another
shape take `real_ceph` and start their own: `with real_ceph(mons=3, mode="secure") as cluster: ...`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.interop.realcluster import RealCluster, real_cluster_of, why_not

HERE = Path(__file__).parent
START_AND_TEST_TIMEOUT_S = 300


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Mark what stands here, and leave time for the cluster to start.

    Tests of a module that says `IN_ORDER = True` build on one another: they stay in their order.
    """
    places = [at for at, item in enumerate(items) if getattr(item.module, "IN_ORDER", False)]
    in_order = sorted((items[at] for at in places), key=lambda item: (item.path, item.location[1]))
    for at, item in zip(places, in_order, strict=True):
        items[at] = item
    for item in items:
        if HERE not in item.path.parents:
            continue
        item.add_marker(pytest.mark.interop)
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(START_AND_TEST_TIMEOUT_S))


@pytest.fixture(scope="session")
def real_ceph() -> Callable[..., AbstractContextManager[RealCluster]]:
    """Start a real cluster of one's own; skips where Ceph's packages are absent."""
    if reason := why_not():
        pytest.skip(reason)
    return real_cluster_of


@pytest.fixture(scope="session")
def real_cluster(
    real_ceph: Callable[..., AbstractContextManager[RealCluster]],
) -> Iterator[RealCluster]:
    """A real cluster shared by all tests: 1 monitor, 3 OSDs, cephx, the release's own modes."""
    with real_ceph() as cluster:
        yield cluster
