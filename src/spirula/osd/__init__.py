"""The OSD: keeps objects, serves clients and other OSDs.

`daemon.make_osd` builds one from its ports; `osd` holds it together. What it does with client
operations is in `ops`, what a placement group is and does in `pg`.
"""
