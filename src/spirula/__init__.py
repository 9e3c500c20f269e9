"""Ceph in Python, wire-compatible with Ceph 16.2 and newer.

This module stays empty on purpose: `import spirula` must cost nothing, so that tools and tests can
ask for the version. Import what you need from the packages below it.
"""

from __future__ import annotations

__version__ = "0.1.0"
