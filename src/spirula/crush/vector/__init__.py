"""The mapping for many inputs at once, in numpy: whole pools, whole clusters.

`VectorMapper` gives what `spirula.crush.mapper.Mapper` gives, input by input. `mapper` walks the
rules, `choose` picks items in buckets, `tables` lays the map out in arrays, `hashing` is the hash.
"""

from __future__ import annotations

from spirula.crush.vector.mapper import VectorMapper

__all__ = ["VectorMapper"]
