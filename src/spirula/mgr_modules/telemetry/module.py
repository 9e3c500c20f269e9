"""`telemetry`: shows what upstream's module would send to its project. This one sends nothing.

There is no address, no code that could send, and no option that turns it on; `telemetry show`
prints the report for whoever wants to look at it or hand it on. Commands and keys: upstream
`src/pybind/mgr/telemetry/module.py`.
"""

from __future__ import annotations

import json
from typing import Any

from spirula.commands.arguments import choices, text
from spirula.commands.reply import Reply
from spirula.commands.table import Commands
from spirula.errors import InvalidArgument, NotPermitted
from spirula.mgr.commands.dispatch import Request
from spirula.mgr_modules.logs import LOG_OPTIONS
from spirula.mgr_modules.module import Module
from spirula.mgr_modules.options import Option
from spirula.mgr_modules.telemetry.report import (
    CHANNELS,
    Document,
    basic_report,
    crash_report,
    device_report,
    frame,
)

_NEVER = (
    "Spirula sends nothing to anybody, so there is nothing to turn on. 'ceph telemetry show' prints"
    " the report; whoever wants to share it can do so by hand."
)
_DEVICES_APART = (
    "\n \nDevice report is generated separately. To see it run 'ceph telemetry show-device'."
)


class Telemetry(Module):
    """The module `telemetry`."""

    COMMANDS = Commands("mgr")
    OPTIONS = (
        Option("interval", 24, "Hours between reports; samples of devices are of twice as many"),
        Option("leaderboard", default=False, help="Whether the report asks to be on a list"),
        Option("description", "", "What the cluster is"),
        Option("contact", "", "Whose it is"),
        Option("organization", "", "Where it is"),
        Option("channel_basic", default=True, help="Show sizes and versions"),
        Option("channel_ident", default=False, help="Show description, contact, organization"),
        Option("channel_crash", default=True, help="Show reports of crashes"),
        Option("channel_device", default=True, help="Show what disks say of their health"),
    )

    def channels(self) -> list[str]:
        """The parts of the report that are chosen."""
        return [one for one in CHANNELS if self.option(f"channel_{one}")]

    def compile_report(self, channels: list[str]) -> Document:
        """The report, with the devices left out: they have one of their own."""
        report = frame(self, channels)
        if "ident" in channels:
            names = ("description", "contact", "organization")
            report |= {name: self.option(name) or None for name in names}
        if "basic" in channels:
            report |= basic_report(self)
        if "crash" in channels:
            report["crashes"] = crash_report(self)
        return report

    # What upstream's dashboard asks for, by these names.

    def get_report(self, report_type: str = "default") -> Document:
        """The report, that of devices (`device`), or both (`all`)."""
        if report_type == "device":
            return device_report(self)
        report = self.compile_report(self.channels())
        if report_type == "all":
            return {"report": report, "device_report": device_report(self)}
        return report

    def on(self) -> None:
        """Refused, with the reason."""
        raise NotPermitted(_NEVER)

    def off(self) -> None:
        """It is off."""

    # Commands.

    @COMMANDS.add("telemetry status", perm="r", help="show the options; nothing is ever sent")
    def status(self, request: Request) -> Reply:
        """As upstream's, whose options of where and how to send are empty here."""
        shown: dict[str, Any] = {
            "url": "",
            "device_url": "",
            "proxy": None,
            "enabled": False,
            "last_opt_revision": 1,
            "last_upload": None,
        }
        shown |= {one.name: self.option(one.name) for one in (*self.OPTIONS, *LOG_OPTIONS)}
        shown |= {name: shown[name] or None for name in ("description", "contact", "organization")}
        return _json(shown)

    @COMMANDS.add(
        "telemetry on",
        license=text(required=False),
        perm="rw",
        help="say that nothing is ever sent",
    )
    def turn_on(self, request: Request, license: str = "") -> Reply:
        """Refused, with the reason."""
        self.on()
        return Reply()

    @COMMANDS.add("telemetry off", perm="rw", help="leave it as it is: nothing is ever sent")
    def turn_off(self, request: Request) -> Reply:
        """It is off."""
        return Reply()

    @COMMANDS.add(
        "telemetry send",
        endpoint=choices("ceph", "device", required=False, repeated=True),
        license=text(required=False),
        perm="rw",
        help="say that nothing is ever sent",
    )
    def send(self, request: Request, endpoint: list[str], license: str = "") -> Reply:
        """Refused, with the reason."""
        raise NotPermitted(_NEVER)

    @COMMANDS.add(
        "telemetry show",
        channels=text(required=False, repeated=True),
        perm="r",
        help="show what others would send",
    )
    def show(self, request: Request, channels: list[str]) -> Reply:
        """The report, of the chosen parts or of those named."""
        unknown = set(channels) - set(CHANNELS)
        if unknown:
            names = ", ".join(sorted(unknown))
            raise InvalidArgument(f"no such channel: {names} (there are {', '.join(CHANNELS)})")
        reply = _json(self.compile_report(channels or self.channels()))
        if self.option("channel_device") and request.is_plain:
            reply.data += _DEVICES_APART.encode()
        return reply

    @COMMANDS.add("telemetry show-device", perm="r", help="show what disks say of their health")
    def show_device(self, request: Request) -> Reply:
        """The report about devices."""
        return _json(device_report(self))

    @COMMANDS.add("telemetry show-all", perm="r", help="show both reports")
    def show_all(self, request: Request) -> Reply:
        """Everything."""
        return _json(self.get_report("all"))


def _json(document: Document) -> Reply:
    return Reply(data=json.dumps(document, indent=4, sort_keys=True).encode())
