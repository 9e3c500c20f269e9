"""Object classes: code that runs inside OSDs, on one object and within one transaction.

A class is a module of plain functions declared with `@method` (`declare`). They work on an
`ObjectHandle` (`handle`), which the OSD's operations provide; `registry` finds classes by name. The
classes that come with Spirula are modules of this folder, named like them (`2pc_queue` is
`two_phase_queue`). Users' own ones, and `lua`, run in a process of their own (`isolated`).
"""
