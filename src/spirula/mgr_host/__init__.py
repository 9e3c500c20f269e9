"""Runs a manager's modules, upstream's unchanged and our own, each in threads of its own.

`loader` finds and imports them, `ceph_module` is what upstream's import by that name, `maps` the
views of maps that they get, `views` the documents, `host` and `running` what starts and asks them.
"""
