"""A cluster for tests: `with Cluster(osds=3) as cluster: handle = cluster.rados()`.

What users import in their own tests. `spirula.testing.plugin` has the pytest fixtures.
"""

from __future__ import annotations

from spirula.testing.cluster import Cluster

__all__ = ["Cluster"]
