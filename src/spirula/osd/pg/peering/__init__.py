"""How the OSDs of a PG agree on what it holds, and begin to serve it.

                      advance (new interval)
    any state  ─────────────────────────────────────────►  RESET
    RESET   ──activate_map, not the primary─►  STRAY  ──info or log of the primary─►  REPLICA_ACTIVE
    RESET   ──activate_map, the primary─────►  GET_INFO
    GET_INFO ──all infos─►  GET_LOG  ──the newest log is here─►  GET_MISSING
    GET_INFO ──too many are down─►  DOWN         GET_LOG ──no copy is complete─►  INCOMPLETE
    GET_LOG ──others should serve─►  WAIT_ACTING_CHANGE
    GET_MISSING ──logs of the replicas compared─►  WAIT_UP_THRU  ──the map says so─►  ACTIVE
    ACTIVE  (all replicas have it on disk: bits ACTIVE or PEERED of PG.state)

`machine` holds the table of states and events; `intervals` what a new map means, `infos` and
`choose` who is asked and whose history counts, `merge` how logs become one, `activate` the start.
"""
