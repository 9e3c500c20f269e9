"""Configuration, logging, performance counters and the admin socket of every daemon and client.

Nothing is imported here: `spirula.conf.config.Config`, `spirula.conf.load.load`,
`spirula.conf.log.Log`, `spirula.conf.perf.PerfCounters` and `spirula.conf.admin_server` are the
doors.
"""
