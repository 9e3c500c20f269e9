"""The module `prometheus`: the cluster's numbers for Prometheus, under upstream's names.

`families` is the format, `cluster`, `daemons` and `counters` collect, `history` remembers health
checks, `server` answers over HTTP, `module` has the options and commands.
"""
