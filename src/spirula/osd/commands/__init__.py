"""Commands for one OSD: `ceph tell osd.N ...` and `ceph daemon osd.N ...`, which are the same.

`tell` carries them to the table that the admin socket uses; the other modules register theirs in
it. Names and documents are upstream's (`src/osd/OSD.cc`, asok_command).
"""
