"""Making and running whole clusters on one machine: `spirula up`, `down`, `status`, `logs`.

`layout` is what stands where under the cluster's directory, `create` makes it, `processes` starts
and ends daemons, `ready` asks whether they answer. Called by `cli.up`, `cli.cluster` and, later, by
`testing`.
"""
