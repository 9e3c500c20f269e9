"""What a daemon leaves behind when a bug ends it: a report for `ceph crash post`.

A folder per crash in `crash_dir`, as upstream's daemons make it: `meta` says who and where, `log`
has the last entries of the log, and `done` that both are complete. `ceph-crash` and the manager's
module `crash` post what is done. Keys: upstream `src/global/signal_handler.cc`.
"""

from __future__ import annotations

import json
import os
import platform
import traceback
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from spirula.conf import version
from spirula.conf.config import Config

UPSTREAM_FOLDER = "/var/lib/ceph/crash"
"""Where reports of all clusters of a host are kept, unless `crash_dir` says otherwise."""
_OS_KEYS = {
    "os_name": "NAME",
    "os_id": "ID",
    "os_version_id": "VERSION_ID",
    "os_version": "VERSION",
}


def describe(entity: str, error: BaseException, now: float) -> dict[str, Any]:
    """The report about an exception that ended a daemon (`osd.3`), at a time since 1970."""
    stamp = f"{datetime.fromtimestamp(now, UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
    uname = platform.uname()
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    return {
        "crash_id": f"{stamp}_{uuid.uuid4()}",
        "timestamp": stamp,
        "process_name": f"spirula-{entity.partition('.')[0]}",
        "entity_name": entity,
        "ceph_version": version.CEPH_VERSION,
        "utsname_hostname": uname.node,
        "utsname_sysname": uname.system,
        "utsname_release": uname.release,
        "utsname_version": uname.version,
        "utsname_machine": uname.machine,
        **{key: release[name] for key, name in _OS_KEYS.items() if name in release},
        "exception": "".join(traceback.format_exception_only(error)).strip(),
        # Functions in brackets and the place behind them, as upstream's frames have it: what is in
        # the brackets up to the plus makes the signature of a crash.
        "backtrace": [
            f"({frame.name}()+{frame.lineno}) [{frame.filename}]"
            for frame in reversed(traceback.extract_tb(error.__traceback__))
        ],
    }


def write(folder: Path, report: dict[str, Any], log_lines: Iterable[str] = ()) -> Path:
    """Puts a report into a folder of reports, which is made if need be. OSError where it cannot."""
    place = folder / str(report["crash_id"])
    place.mkdir(mode=0o700, parents=True)
    (folder / "posted").mkdir(exist_ok=True)
    (place / "meta").write_text(json.dumps(report, indent=4) + "\n")
    (place / "log").write_text("".join(f"{line}\n" for line in log_lines))
    (place / "done").touch()
    return place


def leave_report(
    config: Config, error: BaseException, now: float, log_lines: Iterable[str]
) -> Path | None:
    """Leaves a report where `crash_dir` says; None where nothing can be written there."""
    folder = config.get_str("crash_dir")
    if not folder:
        return None
    try:
        return write(Path(folder), describe(config.identity.name, error, now), log_lines)
    except OSError:
        return None


def waiting(folder: Path) -> dict[Path, str]:
    """Reports that are complete and not posted yet: what `meta` says, by their folders."""
    found: dict[Path, str] = {}
    try:
        places = sorted(folder.iterdir())
    except OSError:
        return found
    for place in places:
        if (place / "done").exists() and os.access(place / "meta", os.R_OK):
            found[place] = (place / "meta").read_text(errors="replace")
    return found


def set_aside(place: Path) -> None:
    """A report was posted: it is kept beside those that wait."""
    posted = place.parent / "posted"
    posted.mkdir(exist_ok=True)
    place.rename(posted / place.name)
