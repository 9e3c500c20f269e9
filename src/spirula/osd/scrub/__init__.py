"""Scrubs: copies of a PG's objects are compared, and made the same again where one is known to be
right. `schedule` decides when, `machine` drives one at the primary, `replica` answers it elsewhere,
`build` looks at objects, `compare` and `snapsets` judge, `findings` keeps what was found, `finish`
counts it, `repair` mends.
"""
