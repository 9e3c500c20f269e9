"""Showing an OSD map: as documents for JSON and XML, and as the plain text that people know.

`document` and `plain` are what `ceph osd dump` prints, `tree` is `ceph osd tree`, `summary` is
`ceph osd stat`. Keys, their order and the lines are upstream's, since scripts read them.
"""
