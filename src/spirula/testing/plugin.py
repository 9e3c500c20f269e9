"""pytest's fixtures: `ceph_cluster`, one per worker for all tests, and `ceph_pool`, one per test.

Found by pytest where Spirula is installed; nothing is imported before a test asks for a fixture.
The options `--ceph-osds` and `--ceph-mons` say how large the cluster is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from spirula.rados import Ioctx
    from spirula.testing.cluster import Cluster


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options."""
    group = parser.getgroup("ceph", "clusters for tests (spirula)")
    group.addoption("--ceph-osds", type=int, default=1, help="OSDs of `ceph_cluster` (1)")
    group.addoption("--ceph-mons", type=int, default=1, help="monitors of `ceph_cluster` (1)")
    group.addoption(
        "--ceph-dangerously-do-not-sync",
        action="store_true",
        help="keep the cluster's data in memory: quicker, and gone with the machine",
    )
    group.addoption(
        "--ceph-in-process",
        action="store_true",
        help="run the cluster's daemons in a thread of the test's process, all in memory",
    )


@pytest.fixture(scope="session")
def ceph_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster for all tests of this process: leave it as you found it."""
    from spirula.testing.cluster import Cluster  # noqa: PLC0415 - for tests that use it alone

    option = request.config.getoption
    with Cluster(
        osds=option("--ceph-osds"),
        mons=option("--ceph-mons"),
        dangerously_do_not_sync=option("--ceph-dangerously-do-not-sync"),
        in_process=option("--ceph-in-process"),
    ) as cluster:
        yield cluster


@pytest.fixture
def ceph_pool(ceph_cluster: Cluster) -> Iterator[Ioctx]:
    """A new, empty pool: its I/O context. It is removed after the test."""
    name = f"test-{uuid4().hex[:12]}"
    with ceph_cluster.rados() as handle:
        handle.create_pool(name)
        try:
            with handle.open_ioctx(name) as ioctx:
                yield ioctx
        finally:
            handle.delete_pool(name)
