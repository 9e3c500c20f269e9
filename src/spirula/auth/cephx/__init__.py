"""cephx: proof of a shared key to the monitors, tickets from them, authorizers for services.

`protocol` has the sealed pieces, `check` what makes a ticket good, `authorizer` both ends of a
connection to a service, `tickets` and `client` a principal's side, `key_server` and `service` the
monitor's. Upstream: `doc/dev/cephx_protocol.rst`, `src/auth/cephx/`.
"""
