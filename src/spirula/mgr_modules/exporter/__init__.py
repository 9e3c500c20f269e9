"""The module `exporter`: sends the cluster's numbers to Graphite and InfluxDB, and answers checks.

`points` collects, `graphite` and `influx` send, `check` is a plugin's verdict as Nagios and its kin
read it, `module` has the options and commands. Not upstream's: it has a module for each.
"""
