"""The manager: what people see of a cluster, and the modules that tend it.

`daemon` puts one together from ports, `manager` routes messages, `state` is the record that all
parts work on. `daemons` are sessions of those who report, `health` the checks, `commands` what
`ceph` asks, `host` runs modules.
"""
