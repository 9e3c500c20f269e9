"""The module `pg_autoscaler`: brings pools to the number of PGs that their share of data asks for.

`targets` works the numbers out, `checks` tells what is wrong about them, `module` does it.
"""
