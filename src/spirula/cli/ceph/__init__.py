"""`spirula ceph`: commands to a cluster and its daemons, as upstream's `ceph` takes and prints.

`main` is the entry; `descriptions` and `matching` make a command of words and serve tests as well.
"""
