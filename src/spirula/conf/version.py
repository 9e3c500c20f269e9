"""Which release of Ceph Spirula's daemons say they are, and how they print it.

Software that asks (`ceph versions`, managers' modules) expects `ceph version 16.2.15 (REVISION)
pacific (stable)`; where upstream has its revision we say who we are.
"""

from __future__ import annotations

import spirula
from spirula.conf.admin_builtin import Version

CEPH_VERSION = "16.2.15"
RELEASE = "pacific"
RELEASE_NUMBER = 16
REVISION = f"spirula-{spirula.__version__}"
PRETTY = f"ceph version {CEPH_VERSION} ({REVISION}) {RELEASE} (stable)"


def daemon_version() -> Version:
    """What `version` answers on an admin socket."""
    return Version(CEPH_VERSION, RELEASE, "stable", REVISION)
