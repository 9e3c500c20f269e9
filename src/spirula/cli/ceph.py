"""`spirula ceph`: sends a command to the cluster and prints what comes back.

A command is its words (`osd dump`), with arguments as `name=value`, or one JSON object as the wire
has it. Goes to the monitors, with `tell TARGET` to one daemon, with `--mgr` to the manager.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spirula.cli.credentials import find_key
from spirula.client.mon_client import Reply
from spirula.client.session import ClusterSession, open_session
from spirula.conf.load import Loaded, load
from spirula.conf.log import Logger
from spirula.conf.log_output import start_log
from spirula.errors import CephError, InvalidArgument, NotFound

DEFAULT_TIMEOUT_S = 300.0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="spirula ceph",
        usage="spirula ceph [options] WORD... | tell TARGET WORD... | JSON",
        allow_abbrev=False,
        description="Send a command to a Ceph or Spirula cluster. "
        "Options of the configuration (-c, -n, -m, --keyring, --NAME VALUE) are taken as well.",
        epilog="examples: spirula ceph -c ceph.conf osd dump -f json | "
        "spirula ceph tell osd.0 version | "
        """spirula ceph '{"prefix": "osd tree", "format": "json"}'""",
    )
    parser.add_argument("-f", "--format", help="plain, json, json-pretty, xml, xml-pretty")
    parser.add_argument("-i", "--in-file", help="send what is in this file (-: standard input)")
    parser.add_argument("-o", "--out-file", help="write the output there")
    parser.add_argument("--mgr", action="store_true", help="have the manager carry it out")
    parser.add_argument(
        "--connect-timeout", type=float, default=DEFAULT_TIMEOUT_S, metavar="SECONDS"
    )
    parser.add_argument(
        "--repeat",
        type=float,
        metavar="SECONDS",
        help="in one session, again and again, with that pause; until interrupted",
    )
    return parser


def build_command(words: Sequence[str], output_format: str | None) -> dict[str, Any]:
    """The JSON object of a command. InvalidArgument where there is none, or it is broken JSON."""
    if len(words) == 1 and words[0].lstrip().startswith("{"):
        try:
            command = json.loads(words[0])
        except ValueError as error:
            raise InvalidArgument(f"not a JSON object: {error}") from error
        if not isinstance(command, dict) or not isinstance(command.get("prefix"), str):
            raise InvalidArgument('the JSON object has no "prefix"')
    else:
        named = [word.split("=", 1) for word in words if "=" in word]
        prefix = " ".join(word for word in words if "=" not in word)
        if not prefix:
            raise InvalidArgument("no command; try 'spirula ceph status'")
        command = {"prefix": prefix, **{name: _value(text) for name, text in named}}
    if output_format is not None:
        command.setdefault("format", output_format)
    return command


def _value(text: str) -> Any:
    """An argument's value: JSON numbers, booleans and lists as such, anything else as text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, (bool, int, float, list)) else text


def _resolve(name: str) -> list[str]:
    try:
        found = socket.getaddrinfo(name, None, proto=socket.IPPROTO_TCP)
    except socket.gaierror as error:
        raise NotFound(f"cannot resolve {name!r}: {error.strerror}") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def _send(
    session: ClusterSession, args: argparse.Namespace, data: bytes, timeout_s: float
) -> Reply:
    words = list(args.words)
    if words and words[0] == "tell":
        if len(words) < 3:
            raise InvalidArgument("tell takes a target and a command: tell osd.0 version")
        command = build_command(words[2:], args.format)
        return await session.tell(words[1], command, data, timeout_s)
    command = build_command(words, args.format)
    if command["prefix"] == "mon_status":
        # Releases since 15.2 take this from `tell` only; people still type it.
        return await session.tell("mon", command, data, timeout_s)
    if args.mgr:
        return await session.mgr_command(command, data, timeout_s)
    return await session.command(command, data, timeout_s)


def _print(reply: Reply, out_file: str | None) -> int:
    if reply.status and reply.result >= 0:
        print(reply.status, file=sys.stderr)
    if out_file is not None and out_file != "-":
        Path(out_file).write_bytes(reply.output)
    elif reply.output:
        sys.stdout.buffer.write(reply.output)
        if not reply.output.endswith(b"\n"):
            sys.stdout.buffer.write(b"\n")
        sys.stdout.buffer.flush()
    if reply.result < 0:
        raise CephError.from_errno(reply.result, reply.status)
    return 0


async def _run(loaded: Loaded, args: argparse.Namespace, data: bytes, log: Logger) -> int:
    timeout_s: float = args.connect_timeout
    config = loaded.config
    session = await open_session(
        config,
        find_key(config),
        clock=time.time,
        random_bytes=os.urandom,
        resolve=_resolve,
        timeout_s=timeout_s,
        log=log,
    )
    try:
        while True:
            code = _print(await _send(session, args, data, timeout_s), args.out_file)
            if args.repeat is None:
                return code
            await asyncio.sleep(args.repeat)
    finally:
        await session.close()


def main(argv: list[str]) -> int:
    """Runs one command; 0, or an exception with the errno that the cluster answered."""
    parser = _parser()
    if not argv or "-h" in argv or "--help" in argv:
        parser.print_help()
        return 0 if argv else 22
    # Ours first: -f and -i mean something else to daemons, and the configuration knows that.
    args, others = parser.parse_known_args(argv)
    loaded = load(others, defaults={"log_to_stderr": "false"})
    for warning in loaded.warnings:
        print(warning, file=sys.stderr)
    args.words = loaded.args.rest
    data = b""
    if args.in_file is not None:
        stream = args.in_file == "-"
        data = sys.stdin.buffer.read() if stream else Path(args.in_file).read_bytes()
    log, output = start_log(loaded.config)
    try:
        return asyncio.run(_run(loaded, args, data, log.logger("ms")))
    finally:
        output.close()
