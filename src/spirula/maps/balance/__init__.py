"""The balancer's arithmetic: exceptions (upmaps) that even out what each OSD holds or serves.

`upmaps` moves PGs, `reads` moves primaries. Libraries only: when to balance, and how much at a
time, is decided by who calls (the manager, `osdmaptool`).
"""
