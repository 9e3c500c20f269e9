"""Requests to OSDs: where an object is, sending, sending again, watching.

`osdmaps` follows the map, `target` says where a request goes, `objecter` carries requests out,
`linger` keeps watches alive. Used by clients and, for copies between objects, by OSDs.
"""
