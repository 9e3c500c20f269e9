"""The guide to objects, as a reader would try it."""

from __future__ import annotations

import doctest
from pathlib import Path

from spirula.testing import Cluster

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "objects.md"


def test_what_the_guide_shows_is_so() -> None:
    with Cluster(osds=2, dangerously_do_not_sync=True) as cluster:
        failed, tried = doctest.testfile(
            str(GUIDE), module_relative=False, globs={"CONF": str(cluster.conf)}
        )
    assert not failed
    assert tried > 30
