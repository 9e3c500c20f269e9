"""How monitors agree: probing, elections, Paxos, leases, synchronising a store that lags.

`member.Member` is the whole of it for one monitor, without IO: messages, deadlines and clocks go
in; what to make durable, and what to send and tell after that, comes out. The monitor daemon and
the simulations drive it. Nothing here knows what the values are that are agreed on.
"""
