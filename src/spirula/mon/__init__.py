"""The monitor: a few of them agree on the cluster's maps and tell everybody.

`quorum` is how they agree; `store` names what stands where in each one's key/value store.
"""
