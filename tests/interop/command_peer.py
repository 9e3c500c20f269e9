"""Runs commands on a real cluster, in the distribution's Python, which has Ceph's `rados` module.

Called as `python3 command_peer.py CONF [MON_HOST]`, with a list of [command, input in base64] as
JSON on the standard input; prints a list of [rc, status line, output in base64].
"""

from __future__ import annotations

import base64
import json
import sys

import rados

cluster = rados.Rados(conffile=sys.argv[1])
if len(sys.argv) > 2:
    cluster.conf_set("mon_host", sys.argv[2])
cluster.connect(timeout=20)
answers = []
for command, data in json.load(sys.stdin):
    rc, output, outs = cluster.mon_command(json.dumps(command), base64.b64decode(data), timeout=30)
    answers.append([rc, outs, base64.b64encode(output).decode()])
cluster.shutdown()
json.dump(answers, sys.stdout)
