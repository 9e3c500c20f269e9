"""Runs Debian's `ceph` many times in one process: starting Python each time would cost minutes.

Reads a JSON list of [words, input] from the standard input, writes [code, output, complaints] for
each, line by line. Runs with the system's Python: `ceph` needs modules of Debian.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import os
import shutil
import sys
import tempfile
import traceback


def load_ceph():
    path = shutil.which("ceph")
    loader = importlib.machinery.SourceFileLoader("debians_ceph", path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def run(ceph, words, given):
    """One run of `ceph.main`, with files in place of its streams: librados writes there as well."""
    streams, argv = (sys.stdin, sys.stdout, sys.stderr), sys.argv
    for stream in streams[1:]:
        stream.flush()
    kept = [os.dup(number) for number in range(3)]
    files = [tempfile.TemporaryFile() for _ in range(3)]  # noqa: SIM115 - closed below
    files[0].write(given.encode())
    files[0].seek(0)
    for number, file in enumerate(files):
        os.dup2(file.fileno(), number)
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, closefd=False)  # noqa: SIM115 - they are closed below
        for number, mode in enumerate(("r", "w", "w"))
    )
    sys.argv = ["ceph", *words]
    try:
        code = ceph.main()
    except SystemExit as ended:
        code = ended.code
    except Exception:  # noqa: BLE001 - whatever falls over there is told
        traceback.print_exc()
        code = 1
    handle, ceph.cluster_handle = ceph.cluster_handle, None
    if handle is not None and handle.state == "connected":
        handle.shutdown()
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.close()
    (sys.stdin, sys.stdout, sys.stderr), sys.argv = streams, argv
    for number, file in enumerate(kept):
        os.dup2(file, number)
        os.close(file)
    told = []
    for file in files:
        file.seek(0)
        told.append(file.read().decode("utf-8", "backslashreplace"))
        file.close()
    return [code, *told[1:]]


if __name__ == "__main__":
    program = load_ceph()
    for task, given_to_it in json.load(sys.stdin):
        print(json.dumps(run(program, task, given_to_it)), flush=True)
    os._exit(0)  # threads of sessions that were never opened go on
