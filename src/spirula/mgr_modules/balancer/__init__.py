"""The module `balancer`: evens out what OSDs hold (upmap, crush-compat) or serve (read).

`score` judges, `optimize` makes plans, `module` has the commands and does it from time to time.
"""
