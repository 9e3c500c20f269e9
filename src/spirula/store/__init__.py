"""Where daemons keep things: key/value stores of monitors, and object stores of OSDs.

`keyvalue` is the port of the first, with an in-memory engine that simulations crash; `sqlite` is
its durable engine. `objectstore` is the port of the second, `execute` has the rules by which
transactions are carried out, `memory` is the store that simulations crash, `disk` the one that
lasts. `osd_meta`, `pg_meta` and `snap_mapper` know what OSDs keep beside clients' objects, `tools`
work on the store of a stopped OSD. Daemons import the ports; whoever builds a daemon picks the
engine.
"""
