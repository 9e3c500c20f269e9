"""Where daemons keep things: the key/value store of monitors, in memory and on disk.

`keyvalue` is the port, with an in-memory engine that simulations crash; `sqlite` is the durable
engine. Daemons import `keyvalue`; whoever builds a daemon picks the engine.
"""
