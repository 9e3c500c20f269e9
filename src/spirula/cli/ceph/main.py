"""`spirula ceph`: reads the command line, asks whom it is for what they can do, sends, and prints.

Options, output, complaints and exit codes are those of upstream's `ceph` (`src/ceph.in`): 0, or the
errno that the cluster answered, 22 for a command that nobody knows, 1 where there is no session.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from errno import EACCES, EINVAL

import spirula
from spirula.cli.ceph import interactive
from spirula.cli.ceph.daemons import run_daemon_command
from spirula.cli.ceph.descriptions import Signature, parse_descriptions
from spirula.cli.ceph.files import OutputFile, read_input
from spirula.cli.ceph.helping import command_table, completions, heading
from spirula.cli.ceph.kinds import Refused
from spirula.cli.ceph.matching import Command
from spirula.cli.ceph.options import LOCAL_COMMANDS, level_of, make_parser, separate_injected
from spirula.cli.ceph.scrubs import Scrubs
from spirula.cli.ceph.sending import carry_out, complain
from spirula.cli.ceph.targets import (
    MONITORS,
    Answer,
    Target,
    all_of,
    find_target,
    send,
    why_no_target,
)
from spirula.errors import CephError
from spirula.rados import Rados
from spirula.rados.errors import Error, ObjectNotFound, PermissionDeniedError

HELP_TIMEOUT_S = 5
COMPLETION_TIMEOUT_S = 3


def main(argv: list[str]) -> int:
    """Run one command, or those on the standard input; the exit code."""
    extra = os.environ.get("CEPH_ARGS", "").split()
    at = argv.index("injectargs") if "injectargs" in argv else len(argv)
    words = [*argv[:at], *(word for word in extra if "--admin-socket" not in word), *argv[at:]]
    before, injected = separate_injected(words)
    parser = make_parser()
    options, words = parser.parse_known_args(before)
    if options.version:
        print(f"spirula ceph version {spirula.__version__}")
        return 0
    done = run_daemon_command(options, words)
    if done is not None:
        return done
    if options.help:
        print(heading("General usage:"))
        parser.print_help()
        print(heading("Local commands:") + LOCAL_COMMANDS)
    cluster, words = open_handle(options, words)
    if cluster is None:
        return 1
    try:
        return _connected(cluster, options, words, injected)
    finally:
        cluster.shutdown()


def open_handle(
    options: argparse.Namespace, words: Sequence[str]
) -> tuple[Rados | None, list[str]]:
    """A handle that is configured, not connected, and the words that are no options of it."""
    name = options.client_name or f"client.{options.client_id or 'admin'}"
    try:
        cluster = Rados(name=name, clustername=options.cluster or "")
        missing = _read_file(cluster, options.conf)
        left = cluster.conf_parse_argv(list(words)) or []
        if missing is not None and not cluster.conf_get("mon_host"):
            raise missing
    except Error as error:
        print(f"Error initializing cluster client: {_why(error)}", file=sys.stderr)
        return None, []
    if "--" in left:
        left.remove("--")
    return cluster, left


def _read_file(cluster: Rados, path: str | None) -> Error | None:
    """Read the configuration; what was wrong, where no file was named and none was found."""
    try:
        cluster.conf_read_file(path or "")
    except ObjectNotFound as error:
        if path:
            raise
        return error
    return None


def _why(error: Error) -> str:
    cause = error.__cause__
    told = f" ({cause})" if isinstance(cause, CephError) else ""
    return f"{error}{told}"


def _connected(
    cluster: Rados, options: argparse.Namespace, words: list[str], injected: list[str] | None
) -> int:
    if words[:1] == ["ping"] and not options.help:
        return _ping(cluster, words, options.connect_timeout)
    timeout_s = options.connect_timeout or (HELP_TIMEOUT_S if options.help else 0)
    try:
        cluster.connect(COMPLETION_TIMEOUT_S if options.completion else timeout_s)
    except PermissionDeniedError as error:
        print(f"{_why(error)}: check the keyring, and the caps of this name", file=sys.stderr)
        return EACCES
    except Error as error:
        print(f"{_why(error)}: check mon_host, and that a quorum is up", file=sys.stderr)
        return 1
    try:
        if options.help:
            return _help(cluster, words)
        if len(words) > 2 and words[0] == "tell" and words[2] == "help":
            return _help(cluster, words[:2], colon="")
        level = level_of(options)
        if level is not None:
            return _watch(cluster, level, options.watch_channel or "cluster")
        return _command(cluster, options, words, injected)
    except CephError as error:
        complain(-error.errno, error.message)
        return error.errno


# ------------------------------------------------------------------------- what is no command there


def _ping(cluster: Rados, words: Sequence[str], timeout_s: int | None) -> int:
    if len(words) < 2 or not words[1].startswith("mon."):
        print('"ping" requires a monitor: "ping mon.<id>", or "ping mon.*"', file=sys.stderr)
        return 1
    name = words[1].removeprefix("mon.")
    try:
        cluster.connect(timeout_s or 0)
        if name != "*":
            print(cluster.ping_monitor(name))
            return 0
        for target in all_of(cluster, Target("mon", "*")):
            try:
                answer = cluster.ping_monitor(target.which or "")
            except Error:
                answer = "Error connecting to monitor."
            print(f"{target}\n{answer}")
    except Error as error:
        print(f"mon.{name}: {_why(error)}", file=sys.stderr)
        return 1
    return 0


def _describe(cluster: Rados, target: Target) -> Answer:
    return send(cluster, target, {"prefix": "get_command_descriptions"})


def _help(cluster: Rados, words: list[str], colon: str = ":") -> int:
    target = MONITORS
    if len(words) >= 2 and words[0] == "tell":
        problem = why_no_target(cluster, words[1])
        if problem:
            print(problem, file=sys.stderr)
            print(f"there is no target {words[1]}", file=sys.stderr)
            return 1
        target, words = find_target(words), words[2:]
        print(heading(f"Tell {target.kind} commands{colon}"), end="")
    else:
        print(heading("Monitor commands:"), end="")
    if target.which == "*":
        target = all_of(cluster, target)[0]
    status, output, complaint = _describe(cluster, target)
    if status < 0:
        print(f"{target} does not describe its commands: {complaint}", file=sys.stderr)
        print("Check that this name has caps for it.", file=sys.stderr)
        return -status
    print(command_table(parse_descriptions(output), " ".join(words)), end="")
    return 0


def _watch(cluster: Rados, level: str, channel: str) -> int:
    """The status, then the cluster log, until interrupted."""
    status, output, complaint = send(cluster, MONITORS, {"prefix": "status"})
    if status < 0:
        print(f"status query failed: {complaint}", file=sys.stderr)
        return -status
    print(output.decode("utf-8", "replace"), flush=True)

    def show(_: object, line: bytes, where: bytes, *rest: object) -> None:
        if channel in {where.decode(), "*"}:
            print(line.decode("utf-8", "replace"), flush=True)

    cluster.monitor_log2(level, show, 0)
    try:
        signal.pause()
    except KeyboardInterrupt:
        return 0
    return 0


# -------------------------------------------------------------------------------------- a command


def _command(
    cluster: Rados, options: argparse.Namespace, words: list[str], injected: list[str] | None
) -> int:
    try:
        data = read_input(options.in_file) if options.in_file else b""
        out = OutputFile(options.out_file, options.setuser, options.setgroup)
    except CephError as error:
        print(error.message, file=sys.stderr)
        return 1
    if options.status:
        words.insert(0, "status")
    try:
        target = find_target(words)
    except Refused as error:
        print(f"error handling command target: {error}", file=sys.stderr)
        return 1
    scrubs = Scrubs(cluster, words) if options.block and Scrubs.applies(words) else None
    if words[:1] == ["tell"]:
        words = injected or words[2:]
        if not words:
            print("tell takes a target and a command: tell osd.0 version", file=sys.stderr)
            return EINVAL
    elif injected:
        words += injected
    with out:
        code = _for_all(cluster, options, target, words, data, out)
    if scrubs is not None:
        scrubs.wait()
    return code


def _for_all(
    cluster: Rados,
    options: argparse.Namespace,
    target: Target,
    words: list[str],
    data: bytes,
    out: OutputFile,
) -> int:
    code = 0
    targets = all_of(cluster, target)
    for one in targets:
        marked = f"{one}: " if len(targets) > 1 and not out.path else ""
        status, output, complaint = _describe(cluster, one)
        if status < 0:
            output, complaint = b"", f"problem getting command descriptions from {one}"
        elif options.completion:
            print("\n".join(completions(parse_descriptions(output), words)))
            return 0
        elif _is_object(words):
            status, output, complaint = send(cluster, one, _as_object(words[0], options), data)
        elif not words:
            signatures = parse_descriptions(output)
            status, output, complaint = interactive.run(cluster, options, signatures, data)
        else:
            signatures = parse_descriptions(output)
            if options.verbose:
                _tell_all(signatures)
            status, output, complaint = carry_out(cluster, options, one, signatures, words, data)
        out.write(output, marked, spaced=(options.format or "").startswith("json"))
        if status < 0:
            complain(status, complaint)
            code = -status
        elif complaint:
            print(marked + complaint, file=sys.stderr)
    return code


def _tell_all(signatures: Sequence[Signature]) -> None:
    for signature in sorted(signatures, key=lambda each: each.tag):
        print(f"{signature.tag}: {signature.concise}")


def _is_object(words: Sequence[str]) -> bool:
    return len(words) == 1 and words[0].lstrip().startswith("{")


def _as_object(text: str, options: argparse.Namespace) -> Command:
    try:
        command = json.loads(text)
    except ValueError as error:
        raise CephError.from_errno(EINVAL, f"not a JSON object: {error}") from error
    if not isinstance(command, dict) or not isinstance(command.get("prefix"), str):
        raise CephError.from_errno(EINVAL, 'the JSON object has no "prefix"')
    if options.format:
        command.setdefault("format", options.format)
    return command
