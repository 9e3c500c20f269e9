"""Debian's `ceph_argparse` on many lines of words in one process; runs with the system's Python.

Reads a JSON object from the standard input: `descriptions` as a daemon tells them, and `lines`,
lists of words. Writes, for each line, [the command, its complaints], or null where it raised.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys

import ceph_argparse


def validated(signatures, words):
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            command = ceph_argparse.validate_command(signatures, list(words))
    except Exception:  # noqa: BLE001 - any of its bugs is none of ours
        return None
    return [command, told.getvalue()]


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    known = ceph_argparse.parse_json_funcsigs(json.dumps(asked["descriptions"]), "cli")
    json.dump([validated(known, words) for words in asked["lines"]], sys.stdout)
