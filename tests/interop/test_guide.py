"""The guide to objects, as a reader would try it."""

from __future__ import annotations

from spirula.testing import Cluster
from tests.try_guide import run


def test_what_the_guide_shows_is_so() -> None:
    with Cluster(osds=2, dangerously_do_not_sync=True) as cluster:
        failed, tried = run(str(cluster.conf))
    assert not failed
    assert tried > 30
