"""The OSD map service of a monitor: who the OSDs are, what pools there are, and where data goes.

`service` holds the state and ties the parts together. `initial` makes the first map; `commit` and
`finish` write a change, `trimming` and `pruning` remove old epochs; `publish` sends maps; `boot`,
`failure`, `reports` and `snap_messages` deal with what OSDs say, `ticking` with time, `health` with
what is wrong. The rest are commands by family. Follows upstream `src/mon/OSDMonitor.{h,cc}`.
"""
