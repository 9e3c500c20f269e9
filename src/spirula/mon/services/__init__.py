"""What monitors keep and agree on, a service each: maps, keys, configuration, log, health.

`base` is what they share. Each service stands on Paxos: it holds the committed state, and at the
leader what is to be committed next.
"""
