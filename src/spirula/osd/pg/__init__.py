"""A placement group on one OSD: its log and info, its requests, its replicas, and how it peers.

`state` is the record that all of it works on; `dispatch` is where messages come in.
"""
