"""The statistics of a cluster: of all PGs, OSDs and pools, their sums, and what they look like.

A manager keeps a `record.PGMap` and sends its digest to the monitors; both show it to people.
"""
