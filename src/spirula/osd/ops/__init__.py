"""What a client's vector of operations does to an object of a PG.

`context` holds the records that operations work on, `execute` runs a vector, `prepare` turns what
it did into a transaction and log entries. Called by `osd.pg.pipeline`; knows the PG by the ports
in `context` alone.
"""
