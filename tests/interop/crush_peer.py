"""Runs commands on a real cluster, in the distribution's Python, which has Ceph's `rados` module.

Called as `python3 crush_peer.py CONF` with a list of commands as JSON on the standard input; prints
a list of [return code, output in base64].
"""

from __future__ import annotations

import base64
import json
import sys

import rados

cluster = rados.Rados(conffile=sys.argv[1])
cluster.connect(timeout=20)
answers = []
for command in json.load(sys.stdin):
    code, output, _ = cluster.mon_command(json.dumps(command), b"", timeout=30)
    answers.append([code, base64.b64encode(output).decode()])
cluster.shutdown()
json.dump(answers, sys.stdout)
