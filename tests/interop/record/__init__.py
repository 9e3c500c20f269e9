"""Recording of real Ceph traffic on loopback, from which the golden message vectors are chosen.

Not a test and not used by any: `python -m tests.interop.record --help` makes the vectors anew.
How it fits together is told in `tests/golden/messages/README.md`.
"""
