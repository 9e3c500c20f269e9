"""`crash ...`: reports of daemons that crashed, kept until they are old, and told of while new.

Reports are posted as JSON, by hand or by `ceph-crash`; what daemons of ours write of their own end
is in `spirula.conf.crash_report`. Each is kept under `crash/ID`. Commands, keys and texts: upstream
`src/pybind/mgr/crash/module.py`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from spirula.commands.arguments import text
from spirula.commands.reply import Reply
from spirula.commands.table import Commands
from spirula.conf import crash_report
from spirula.errors import InvalidArgument
from spirula.mgr.commands.dispatch import Request
from spirula.mgr_modules.module import Module
from spirula.mgr_modules.options import Option
from spirula.mgr_modules.tables import Table

Crash = dict[str, Any]

_DAY_S = 86400
_PREFIX = "crash/"
_AGES_DAYS = (1, 3, 7)
_SHOWN_IN_HEALTH = 30
_LONGEST_WAIT_S, _SHORTEST_WAIT_S = 600, 60
_FORMATS = ("%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%d %H:%M:%S.%f")
_ASSERTION = re.compile(r"(?s)(.*) thread .* time .*(: .*)\n")


class Crashes(Module):
    """The module `crash`."""

    COMMANDS = Commands("mgr")
    OPTIONS = (
        Option("warn_recent_interval", 14 * _DAY_S, "How long a crash is new", kind="secs"),
        Option("retain_interval", 365 * _DAY_S, "How long reports are kept", kind="secs"),
        Option("collect", default=True, help="Whether reports of the manager's host are posted"),
    )

    def serve(self) -> None:
        """Posts what daemons have left, forgets old reports and tells of new ones."""
        while True:
            if self.option("collect"):
                self.collect(str(self.host.option("crash_dir") or ""))
            with self.lock:
                self._prune(self.option("retain_interval"))
                self._tell()
            often = self.option("warn_recent_interval") / 100
            if not self.wait(min(_LONGEST_WAIT_S, max(often, _SHORTEST_WAIT_S))):
                return

    def collect(self, folder: str) -> None:
        """Posts the reports in a folder of the manager's host, if it is this cluster's alone.

        Upstream's folder is for all clusters of a host, and for `ceph-crash`.
        """
        if not folder or folder == crash_report.UPSTREAM_FOLDER:
            return
        for place, meta in crash_report.waiting(Path(folder)).items():
            try:
                self._post(meta)
            except InvalidArgument as error:
                self.log.warning("%s: %s", place, error.message)
            with suppress(OSError):  # somebody else has set it aside
                crash_report.set_aside(place)

    # ------------------------------------------------------------------------------- what is kept

    def reports(self) -> dict[str, Crash]:
        """All reports, by their ids."""
        found = {}
        for key, kept in self.host.store_prefix(_PREFIX).items():
            try:
                found[key.removeprefix(_PREFIX)] = dict(json.loads(kept))
            except (TypeError, ValueError):
                self.log.warning("%s is no report of a crash", key)
        return dict(sorted(found.items()))

    def _report(self, ident: str) -> Crash:
        crash = self.reports().get(ident)
        if crash is None:
            raise InvalidArgument(f"crash info: {ident} not found")
        return crash

    def _keep(self, ident: str, crash: Crash | None) -> None:
        self.host.store_set(_PREFIX + ident, None if crash is None else json.dumps(crash))

    def _prune(self, age_s: float) -> None:
        for ident, crash in self.reports().items():
            if self._age(crash) >= age_s:
                self._keep(ident, None)

    def _age(self, crash: Crash) -> float:
        """How old a report is, in seconds; a report without a time that can be read is new."""
        try:
            return self.host.now() - parse_time(str(crash.get("timestamp"))).timestamp()
        except ValueError:
            return 0.0

    def _tell(self) -> None:
        """The health check of what crashed lately and was not archived."""
        recent = [
            crash
            for crash in self.reports().values()
            if self._age(crash) < self.option("warn_recent_interval") and "archived" not in crash
        ]
        detail = [
            f"{crash.get('entity_name', 'unidentified daemon')} crashed on host"
            f" {crash.get('utsname_hostname', '(unknown)')}"
            f" at {crash.get('timestamp', 'unknown time')}"
            for crash in recent
        ]
        if len(recent) > _SHOWN_IN_HEALTH:
            more = len(recent) - _SHOWN_IN_HEALTH
            detail = [*detail[:_SHOWN_IN_HEALTH], f"and {more} more"]
        check = {
            "severity": "warning",
            "summary": f"{len(recent)} daemons have recently crashed",
            "count": len(recent),
            "detail": detail,
        }
        self.host.set_health_checks({"RECENT_CRASH": check} if recent else {})

    # ----------------------------------------------------------------------------------- commands

    @COMMANDS.add("crash post", perm="rw", help="keep a report of a crash (-i FILE, JSON)")
    def post(self, request: Request) -> Reply:
        """Keeps a report; one that is kept already stays as it is."""
        self._post(request.data)
        return Reply()

    def _post(self, data: str | bytes) -> None:
        try:
            crash = json.loads(data)
            for name in ("crash_id", "timestamp"):
                if name not in crash:
                    raise ValueError(f"missing '{name}' field")
            parse_time(str(crash["timestamp"]))
        except (TypeError, ValueError) as error:
            raise InvalidArgument(f"malformed crash metadata: {error}") from None
        if "backtrace" in crash:
            crash["stack_sig"] = signature(crash["backtrace"], crash.get("assert_msg"))
        with self.lock:
            if crash["crash_id"] not in self.reports():
                self._keep(str(crash["crash_id"]), crash)
                self._tell()

    @COMMANDS.add("crash info", id=text(), perm="r", help="show a report")
    def info(self, request: Request, id: str) -> Reply:
        """All that a report says."""
        shown = json.dumps(self._report(id), indent=4, sort_keys=True)
        return Reply(data=shown.encode())

    @COMMANDS.add("crash ls", perm="r", help="list all reports")
    def ls(self, request: Request) -> Reply:
        """New and archived ones."""
        return _listed(request, list(self.reports().values()))

    @COMMANDS.add("crash ls-new", perm="r", help="list the reports that nobody has archived")
    def ls_new(self, request: Request) -> Reply:
        """New ones."""
        new = [crash for crash in self.reports().values() if "archived" not in crash]
        return _listed(request, new)

    @COMMANDS.add("crash stat", perm="r", help="count reports by age")
    def stat(self, request: Request) -> Reply:
        """How many there are, and how many are older than so many days."""
        reports = self.reports()
        lines = [f"{len(reports)} crashes recorded"]
        for days in _AGES_DAYS:
            old = [i for i, crash in reports.items() if self._age(crash) >= days * _DAY_S]
            head = [f"{len(old)} older than {days} days old:"] if old else []
            lines.append("\n".join(head + old))
        return Reply(data="\n".join(lines).encode())

    @COMMANDS.add(
        "crash json_report", hours=text(), perm="r", help="count crashes of late, by program"
    )
    def json_report(self, request: Request, hours: str) -> Reply:
        """How many of each program crashed within so many hours; upstream puts it beside."""
        limit = _whole("<hours>", hours) * 3600
        recent = [crash for crash in self.reports().values() if self._age(crash) <= limit]
        counts = Counter(str(crash.get("process_name") or "unknown") for crash in recent)
        return Reply(json.dumps(counts, sort_keys=True))

    @COMMANDS.add("crash rm", id=text(), perm="rw", help="forget a report")
    def rm(self, request: Request, id: str) -> Reply:
        """One report; one that there is not is gone already."""
        with self.lock:
            if id in self.reports():
                self._keep(id, None)
                self._tell()
        return Reply()

    @COMMANDS.add("crash prune", keep=text(), perm="rw", help="forget reports older than KEEP days")
    def prune(self, request: Request, keep: str) -> Reply:
        """Old reports."""
        with self.lock:
            self._prune(_whole("keep", keep) * _DAY_S)
            self._tell()
        return Reply()

    @COMMANDS.add("crash archive", id=text(), perm="w", help="have health say no more of a crash")
    def archive(self, request: Request, id: str) -> Reply:
        """One report."""
        with self.lock:
            self._archive(id, self._report(id))
            self._tell()
        return Reply()

    @COMMANDS.add("crash archive-all", perm="w", help="have health say no more of any crash")
    def archive_all(self, request: Request) -> Reply:
        """All reports."""
        with self.lock:
            for ident, crash in self.reports().items():
                self._archive(ident, crash)
            self._tell()
        return Reply()

    def _archive(self, ident: str, crash: Crash) -> None:
        if not crash.get("archived"):
            now = datetime.fromtimestamp(self.host.now(), UTC).replace(tzinfo=None)
            self._keep(ident, {**crash, "archived": str(now)})


def parse_time(stamp: str) -> datetime:
    """A report's time, which is UTC. ValueError for one that cannot be read."""
    stamp = stamp.rstrip("Z")
    try:
        found = datetime.strptime(stamp, _FORMATS[0]).replace(tzinfo=UTC)
    except ValueError:
        found = datetime.strptime(stamp, _FORMATS[1]).replace(tzinfo=UTC)
    return found


def signature(backtrace: list[str], assertion: str | None) -> str:
    """What crashes at the same place have in common: a hash of the names of functions.

    Addresses, offsets and threads are left out, so that it is the same on other hosts.
    """
    made = hashlib.sha256()
    for line in backtrace:
        frame = str(line).rsplit(" ", 1)[0][1:-1]
        made.update(frame.split("+")[0].encode())
    if assertion:
        found = _ASSERTION.match(assertion)
        made.update(("".join(found.groups()) if found else assertion).encode())
    return made.hexdigest()


def _whole(name: str, word: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise InvalidArgument(f"{name} argument must be integer") from None


def _listed(request: Request, crashes: list[Crash]) -> Reply:
    if not request.is_plain:
        return Reply(data=json.dumps(crashes, indent=4, sort_keys=True).encode())
    table = Table(("ID", "ENTITY", "NEW"), "llc")
    for crash in crashes:
        new = "" if "archived" in crash else "*"
        table.add(crash["crash_id"], crash.get("entity_name", "unknown"), new)
    return Reply(data=str(table).encode())
