"""Tools for the store of a stopped OSD: PGs exported, imported and removed; for `spirula store`."""
