"""The module `exporter`: sends every `interval` seconds where it is told to, and answers checks."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from spirula.commands.arguments import text
from spirula.commands.reply import Reply, said
from spirula.commands.table import Commands
from spirula.errors import InputOutput, InvalidArgument
from spirula.mgr.commands.dispatch import Request
from spirula.mgr_modules.exporter import graphite, influx
from spirula.mgr_modules.exporter.check import check
from spirula.mgr_modules.exporter.points import Point, cluster_numbers, collect
from spirula.mgr_modules.host import Host
from spirula.mgr_modules.module import Module
from spirula.mgr_modules.options import Option

COMMANDS = Commands("mgr")
_SECRET = ("influx_password", "influx_token")
_HIDDEN = "********"


@dataclass(slots=True)
class Sent:
    """How sending to one kind of server went last: when, how many numbers, and what went wrong."""

    at: float = 0.0
    points: int = 0
    error: str = ""


class Exporter(Module):
    """The module. `sent` is by the kind of server."""

    COMMANDS: ClassVar[Commands] = COMMANDS
    OPTIONS: ClassVar[tuple[Option, ...]] = (
        Option("interval", 30, "seconds between two times of sending", "secs", 5),
        Option("graphite_host", "", "Graphite's host; nothing is sent there if empty"),
        Option("graphite_port", 2003, "the port of its plain text protocol", "uint", 1, 65535),
        Option("graphite_prefix", "ceph", "what paths begin with"),
        Option("influx_hostname", "", "InfluxDB's host; nothing is sent there if empty"),
        Option("influx_port", 8086, "its port", "uint", 1, 65535),
        Option("influx_database", "ceph", "the database, or with a token the bucket"),
        Option("influx_username", "", "who writes"),
        Option("influx_password", "", "that user's password"),
        Option("influx_org", "", "the organization, with a token"),
        Option("influx_token", "", "a token for InfluxDB 2, in the place of a user"),
        Option("influx_ssl", default=False, help="whether it speaks TLS"),
        Option("influx_verify_ssl", default=True, help="whether its certificate has to be good"),
        Option("influx_batch_size", 5000, "most numbers in one request", "uint", 1, 100_000),
    )

    def __init__(self, name: str, host: Host) -> None:
        super().__init__(name, host)
        self.sent: dict[str, Sent] = {}

    def serve(self) -> None:
        """Sends from time to time."""
        while True:
            self.send()
            if not self.wait(float(self.option("interval"))):
                return

    def sinks(self) -> dict[str, Callable[[list[Point], float], int]]:
        """The servers that options name: how numbers of a time are sent there."""
        found: dict[str, Callable[[list[Point], float], int]] = {}
        if self.option("graphite_host"):
            found["graphite"] = lambda points, now: graphite.send(
                points,
                str(self.option("graphite_host")),
                int(self.option("graphite_port")),
                str(self.option("graphite_prefix")),
                now,
            )
        if self.option("influx_hostname"):
            found["influx"] = lambda points, now: influx.send(
                points, self.influx_server(), now, int(self.option("influx_batch_size"))
            )
        return found

    def influx_server(self) -> influx.Server:
        """InfluxDB, as options have it."""
        return influx.Server(
            host=str(self.option("influx_hostname")),
            port=int(self.option("influx_port")),
            database=str(self.option("influx_database")),
            username=str(self.option("influx_username")),
            password=str(self.option("influx_password")),
            org=str(self.option("influx_org")),
            token=str(self.option("influx_token")),
            tls=bool(self.option("influx_ssl")),
            verify_tls=bool(self.option("influx_verify_ssl")),
        )

    def send(self) -> dict[str, Sent]:
        """Collects and sends to all servers; health tells of those that did not take it."""
        sinks = self.sinks()
        done: dict[str, Sent] = {}
        if sinks:
            now = self.host.now()
            points = list(collect(self.host))
            for kind, send in sinks.items():
                done[kind] = Sent(now)
                try:
                    done[kind].points = send(points, now)
                except OSError as error:
                    done[kind].error = str(error)
                    self.log.warning("nothing is sent to %s: %s", kind, error)
        with self.lock:
            self.sent = done
        self.host.set_health_checks(
            {
                f"MGR_{kind.upper()}_SEND_FAILED": {
                    "severity": "warning",
                    "summary": f"Failed to send data to {_NAMES[kind]}",
                    "count": 1,
                    "detail": [one.error],
                }
                for kind, one in done.items()
                if one.error
            }
        )
        return done

    def settings(self) -> dict[str, Any]:
        """All options, secrets hidden."""
        shown = {one.name: self.option(one.name) for one in self.OPTIONS}
        return {
            name: _HIDDEN if name in _SECRET and value else value for name, value in shown.items()
        }


_NAMES = {"graphite": "Graphite", "influx": "InfluxDB"}


@COMMANDS.add(
    "exporter check",
    ignore=text(required=False, repeated=True),
    perm="r",
    help="the cluster's state as a plugin for Nagios tells it; the exit code is 0 for OK, 1 for "
    "WARNING, 2 for CRITICAL, 3 for UNKNOWN. Health checks that are named do not count",
)
def run_check(module: Exporter, request: Request, ignore: list[str]) -> Reply:
    """A line, and as a result the negative exit code: `ceph` exits with it."""
    host = module.host
    health = json.loads(host.get("health")["json"] or "{}")
    ready = bool((host.get("pg_ready") or {}).get("pg_ready", True))
    verdict = check(health, cluster_numbers(host), ignore, current=ready)
    return said(data=verdict.text, rc=-verdict.code)


@COMMANDS.add("exporter send", perm="rw", help="send all numbers now")
def send_now(module: Exporter, request: Request) -> Reply:
    """Sends at once, and says where and how much."""
    done = module.send()
    if not done:
        raise InvalidArgument(
            "no server is named: set graphite_host or influx_hostname (exporter config-set)"
        )
    lines = [
        f"{kind}: {one.error}" if one.error else f"{kind}: {one.points} numbers sent"
        for kind, one in done.items()
    ]
    if any(one.error for one in done.values()):
        raise InputOutput("; ".join(lines))
    return said("; ".join(lines))


@COMMANDS.add("exporter status", perm="r", help="show how sending went last")
def status(module: Exporter, request: Request) -> Reply:
    """By the kind of server."""
    with module.lock:
        return said(data=request.show({kind: asdict(one) for kind, one in module.sent.items()}))


@COMMANDS.add("exporter config-show", perm="r", help="show the options")
def config_show(module: Exporter, request: Request) -> Reply:
    """All options; passwords are hidden."""
    return said(data=json.dumps(module.settings(), sort_keys=True))


@COMMANDS.add("exporter config-set", key=text(), value=text(), perm="rw", help="set an option")
def config_set(module: Exporter, request: Request, key: str, value: str) -> Reply:
    """As `config set mgr mgr/exporter/KEY VALUE`."""
    if key not in {one.name for one in module.OPTIONS}:
        raise InvalidArgument(f"{key} is a unknown configuration option")
    if not value:
        raise InvalidArgument("Value should not be empty or None")
    try:
        module.set_option(key, value)
    except ValueError as error:
        raise InvalidArgument(str(error)) from error
    return said(f"Configuration option {key} updated")
