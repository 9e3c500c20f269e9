"""The options of `spirula ceph`: names and meanings of upstream's `ceph`.

What is not an option here is a word of the command, or an option of the configuration, which
`targets.open_cluster` takes out.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

FORMATS = ("json", "json-pretty", "xml", "xml-pretty", "plain", "yaml")
WATCHED = ("debug", "info", "sec", "warn", "error")

LOCAL_COMMANDS = """
ping mon.ID             ask a monitor how it is, with or without a quorum;
                        mon.* asks all of them
daemon TYPE.ID|PATH COMMAND
                        a command by the admin socket of a daemon of this host
                        (`help` lists them); --admin-daemon PATH does the same
daemonperf TYPE.ID|PATH [PATTERNS] [PRIORITY] [INTERVAL [COUNT]]
daemonperf TYPE.ID|PATH list|ls [PATTERNS] [PRIORITY]
                        its performance counters, line by line, or what there is
                        of them; PATTERNS are globs parted by commas, PRIORITY is
                        critical, interesting, useful, uninteresting or debugonly
'{"prefix": ...}'       a command as a JSON object, sent as it is
"""


def make_parser() -> argparse.ArgumentParser:
    """The parser of options that may stand anywhere among the words."""
    parser = argparse.ArgumentParser(
        prog="spirula ceph",
        usage="spirula ceph [options] COMMAND ... | tell TARGET COMMAND ...",
        description="Commands to a Ceph or Spirula cluster. Options of the configuration "
        "(-m, -k, --keyring, --key, --NAME VALUE) are taken as well. "
        "Without a command they are read from the standard input.",
        add_help=False,
    )
    add = parser.add_argument
    add("--completion", action="store_true", help=argparse.SUPPRESS)
    add("-h", "--help", action="store_true", help="this, and the cluster's commands that begin so")
    add("-c", "--conf", metavar="FILE", help="configuration file")
    add("-i", "--in-file", metavar="FILE", help="send what is in it (-: standard input)")
    add("-o", "--out-file", metavar="FILE", help="write the output there (-: standard output)")
    add("--setuser", metavar="USER", help="whom the output file shall belong to")
    add("--setgroup", metavar="GROUP", help="the group it shall belong to")
    add("--id", "--user", dest="client_id", metavar="ID", help="log in as client.ID")
    add("-n", "--name", dest="client_name", metavar="TYPE.ID", help="log in as TYPE.ID")
    add("--cluster", metavar="NAME", help="the cluster's name")
    add("--admin-daemon", metavar="PATH", help="ask the admin socket there")
    add("-s", "--status", action="store_true", help="the cluster's status")
    add("-w", "--watch", action="store_true", help="status, then the cluster log as it grows")
    for level in WATCHED:
        add(f"--watch-{level}", action="store_true", help=f"the same, from level {level} on")
    add("-W", "--watch-channel", metavar="CHANNEL", help="cluster, audit, cephadm, or * for all")
    add("-v", "--version", action="store_true", help="tell the version")
    add("--verbose", action="store_true", help="tell what is sent")
    add("--concise", dest="verbose", action="store_false", help="do not (the default)")
    add("-f", "--format", choices=FORMATS, help="how the cluster shall answer")
    add("--connect-timeout", type=int, metavar="SECONDS", help="how long to try to log in")
    add("--block", action="store_true", help="osd scrub, osd deep-scrub: wait until it is done")
    add("-p", "--period", type=float, default=1, metavar="SECONDS", help="between repeated answers")
    return parser


def level_of(options: argparse.Namespace) -> str | None:
    """From which level on the cluster log is watched; None where it is not."""
    named = [level for level in WATCHED if getattr(options, f"watch_{level}")]
    if named:
        return max(named)
    return "info" if options.watch or options.watch_channel else None


def separate_injected(words: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """Words before `injectargs`, and those from there on: they are options of somebody else."""
    if "injectargs" not in words:
        return list(words), None
    at = list(words).index("injectargs")
    return list(words[:at]), [word for word in words[at:] if word != "--"]
