"""The messenger: connections between entities that speak msgr2.1.

`protocol` is the pure core, `policies` says what sessions promise to whom, `tcp` is the asyncio
driver with which daemons and clients send and receive messages.
"""
