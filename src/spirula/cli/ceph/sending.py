"""One command from its words to its answer: found among the signatures, sent, asked for again.

Shared by the command line and the interactive mode.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from errno import EINTR, EINVAL, errorcode

from spirula.cli.ceph.descriptions import Signature
from spirula.cli.ceph.helping import terminal_size
from spirula.cli.ceph.matching import Command, NoSuchCommand, find_command
from spirula.cli.ceph.targets import Answer, Target, send
from spirula.rados import Rados


def complain(status: int, text: str) -> None:
    """An error as `ceph` tells it: `Error ENOENT: ...`."""
    print(f"Error {errorcode.get(abs(status), 'Unknown')}: {text}", file=sys.stderr)


def carry_out(
    cluster: Rados,
    options: argparse.Namespace,
    target: Target,
    signatures: Sequence[Signature],
    words: Sequence[str],
    data: bytes,
) -> Answer:
    """Have the command of these words carried out, and complain where there is none."""
    try:
        command = find_command(signatures, words)
    except NoSuchCommand as error:
        print(error, file=sys.stderr)
        return -EINVAL, b"", "invalid command"
    if options.format:
        command["format"] = options.format
    if options.verbose:
        print(f"Submitting command:  {command}", file=sys.stderr)
    if command.get("poll"):
        return _poll(cluster, options, target, command, data)
    return send(cluster, target, command, data)


def _poll(
    cluster: Rados, options: argparse.Namespace, target: Target, command: Command, data: bytes
) -> Answer:
    """Ask again and again and print each answer, until interrupted or refused."""
    command["width"] = terminal_size().columns
    until_head = 0
    while True:
        command["print_header"] = until_head == 0
        if until_head == 0:
            until_head = terminal_size().lines - 3
        until_head -= 1
        try:
            status, output, complaint = send(cluster, target, command, data)
            if status:
                print(
                    f"Error: {abs(status)} {errorcode.get(abs(status), 'Unknown')}", file=sys.stderr
                )
                return status, output, complaint
            if output:
                print(output.decode("utf-8", "replace"), flush=True)
            if complaint:
                print(complaint, file=sys.stderr)
            if options.period <= 0:
                return status, output, complaint
            time.sleep(options.period)
        except KeyboardInterrupt:
            print("Interrupted")
            return EINTR, b"", ""
