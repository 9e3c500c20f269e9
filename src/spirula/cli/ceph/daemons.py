"""Commands by the admin socket of a daemon of this host: `daemon`, `--admin-daemon`.

The socket is found as the daemon's own configuration says. Works with real daemons and with ours.
"""

from __future__ import annotations

import argparse
import os
import stat
import sys
from collections.abc import Sequence
from errno import EINVAL
from pathlib import Path

from spirula.cli.ceph.descriptions import parse_descriptions
from spirula.cli.ceph.matching import NoSuchCommand, find_command
from spirula.cli.ceph.performance import Watcher, parse_request
from spirula.conf.admin_server import ask
from spirula.conf.load import load
from spirula.errors import CephError, InvalidArgument


def run_daemon_command(options: argparse.Namespace, words: Sequence[str]) -> int | None:
    """Carry the command out if it is for an admin socket: 0 or an errno. None if it is not."""
    if options.admin_daemon:
        return _tell(options.admin_daemon, words, options.format)
    if not words or words[0] not in {"daemon", "daemonperf"}:
        return None
    verb, *rest = words
    wanted = 3 if verb == "daemon" else 2
    if len(words) < wanted:
        print(f"{verb} requires at least {wanted} arguments", file=sys.stderr)
        return EINVAL
    try:
        path = rest[0] if "/" in rest[0] else socket_of(options, rest[0])
    except CephError as error:
        print(f"Can't get admin socket path: {error}", file=sys.stderr)
        return EINVAL
    if verb == "daemon":
        return _tell(path, rest[1:], options.format)
    try:
        request = parse_request(rest[1:])
        Watcher(path, request).run()
    except CephError as error:
        print(f"daemonperf: {error.message}", file=sys.stderr)
        return error.errno
    return 0


def _tell(path: str, words: Sequence[str], output_format: str | None) -> int:
    try:
        signatures = parse_descriptions(ask(path, "get_command_descriptions"))
    except CephError as error:
        print(
            f"admin_socket: exception getting command descriptions: {_reason(error)}",
            file=sys.stderr,
        )
        return EINVAL
    try:
        command = find_command(signatures, words)
        if output_format:
            command["format"] = output_format
        # What takes its time there is waited for: a compaction, a flush.
        answer = ask(path, command, timeout_s=None)
    except NoSuchCommand as error:
        print(error, "admin_socket: invalid command", sep="\n", file=sys.stderr)
        return EINVAL
    except CephError as error:
        print(f"admin_socket: exception: {_reason(error)}", file=sys.stderr)
        return EINVAL
    sys.stdout.flush()
    sys.stdout.buffer.write(answer)
    sys.stdout.buffer.flush()
    return 0


def _reason(error: CephError) -> str:
    return f"[Errno {error.errno}] {os.strerror(error.errno)} ({error.message})"


def socket_of(options: argparse.Namespace, name: str) -> str:
    """The admin socket of a daemon: `osd.0`, or `client.admin.4711` with its process's id."""
    path = _configured(options, name)
    try:
        if stat.S_ISSOCK(Path(path).stat().st_mode):
            return path
    except OSError:
        pass
    daemon, _, pid = name.rpartition(".")
    return _configured(options, daemon, pid) if daemon and pid.isdecimal() else path


def _configured(options: argparse.Namespace, name: str, pid: str = "") -> str:
    if "." not in name:
        raise InvalidArgument(f"{name!r} is no daemon: name it as osd.0, or give the socket's path")
    words = ["--name", name]
    if options.conf:
        words += ["-c", options.conf]
    if options.cluster:
        words += ["--cluster", options.cluster]
    environ = {**os.environ, "PID": pid} if pid else None
    config = load(words, daemon=not name.startswith("client."), environ=environ).config
    return config.get_str("admin_socket")
