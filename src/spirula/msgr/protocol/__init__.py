"""msgr2 without IO: bytes and the time go in; bytes, events and the next deadline come out.

From the wire inwards: `frames` and `reader` (and `secure`, `compression`), `control` (what control
frames hold), `handshake` (from the banner to compression), `link` (one transport), `session` (what
outlives transports), `endpoint` (all sessions of an entity, and which of two racing ones wins).
"""
