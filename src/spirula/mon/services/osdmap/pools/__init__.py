"""Pools: making, showing, setting and removing them; erasure-code profiles, cache tiers."""
