"""Placement as a library of its own: the map, its bytes, and (later) the mapper and its tools."""
