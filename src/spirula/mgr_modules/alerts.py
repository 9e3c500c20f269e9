"""`alerts`: mails people when the cluster's health changes.

Options and the mail's parts: upstream `src/pybind/mgr/alerts/module.py`.

    ceph mgr module enable alerts
    ceph config set mgr mgr/alerts/smtp_host mail.example.com
    ceph config set mgr mgr/alerts/smtp_destination admin@example.com
    ceph config set mgr mgr/alerts/smtp_sender ceph@example.com
"""

from __future__ import annotations

import json
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formataddr, formatdate, make_msgid
from typing import Any

from spirula.commands.reply import Reply
from spirula.commands.table import Commands
from spirula.mgr.commands.dispatch import Request
from spirula.mgr_modules.module import Module
from spirula.mgr_modules.options import Option

Document = dict[str, Any]
_TIMEOUT_S = 30
_IMPLICIT_TLS_PORT = 465


class Alerts(Module):
    """The module `alerts`."""

    COMMANDS = Commands("mgr")
    OPTIONS = (
        Option("interval", 60, "How often health is looked at", kind="secs"),
        Option("smtp_host", "", "The mail server; nothing is sent without one"),
        Option("smtp_destination", "", "Who gets mails; several with commas"),
        Option("smtp_port", _IMPLICIT_TLS_PORT, "The mail server's port"),
        Option("smtp_ssl", default=True, help="Whether to talk TLS with it from the start"),
        Option("smtp_user", "", "Whom to log in as"),
        Option("smtp_password", "", "The password, where one is needed to log in"),
        Option("smtp_sender", "", "The address that mails come from"),
        Option("smtp_from_name", "Ceph", "The name beside that address"),
    )

    def serve(self) -> None:
        """Looks at health and mails what has changed."""
        last: Document = {}
        while True:
            health = self._health()
            changes = compare(last, health)
            if changes:
                self.send(health, changes)
            last = health
            if not self.wait(self.option("interval")):
                return

    def _health(self) -> Document:
        return dict(json.loads(self.host.get("health")["json"] or "{}"))

    @COMMANDS.add("alerts send", perm="r", help="mail the cluster's health now")
    def send_now(self, request: Request) -> Reply:
        """All that health says; health itself says where that cannot be mailed."""
        return Reply(self.send(self._health(), {}))

    def send(self, health: Document, changes: Document) -> str:
        """Mails health, and first what is new. Gives what went wrong; empty if nothing did."""
        error = ""
        if not self.option("smtp_host"):
            self.log.warning("nobody is told of health: smtp_host is not set")
            error = "nothing is sent: set mgr/alerts/smtp_host"
            self.host.set_health_checks({})
            return error
        try:
            self._deliver(self.mail(health, changes))
        except (OSError, smtplib.SMTPException, ValueError) as refused:
            error = str(refused) or repr(refused)
        check = {
            "severity": "warning",
            "summary": "unable to send alert email",
            "count": 1,
            "detail": [error],
        }
        self.host.set_health_checks({"ALERTS_SMTP_ERROR": check} if error else {})
        return error

    def mail(self, health: Document, changes: Document) -> EmailMessage:
        """The mail about a state of health and what has changed. ValueError for bad addresses."""
        status = str(health.get("status", ""))
        mail = EmailMessage()
        mail["From"] = formataddr((self.option("smtp_from_name"), self.option("smtp_sender")))
        mail["Subject"] = status
        mail["To"] = self.option("smtp_destination")
        mail["Message-Id"] = make_msgid()
        mail["Date"] = formatdate(self.host.now())
        parts = [f"{status}\n"]
        parts += [
            f"\n--- {kind.capitalize()} ---\n{_lines(checks)}" for kind, checks in changes.items()
        ]
        parts.append(f"\n\n=== Full health status ===\n{_lines(health.get('checks', {}))}")
        mail.set_content("".join(parts))
        return mail

    def _deliver(self, mail: EmailMessage) -> None:
        host, port = self.option("smtp_host"), self.option("smtp_port")
        server: smtplib.SMTP
        if self.option("smtp_ssl"):
            context = ssl.create_default_context()
            server = smtplib.SMTP_SSL(host, port, timeout=_TIMEOUT_S, context=context)
        else:
            server = smtplib.SMTP(host, port, timeout=_TIMEOUT_S)
        with server:
            if self.option("smtp_password"):
                server.login(self.option("smtp_user"), self.option("smtp_password"))
            wanted = [one.strip() for one in self.option("smtp_destination").split(",")]
            server.send_message(mail, self.option("smtp_sender"), [one for one in wanted if one])


def compare(last: Document, health: Document) -> dict[str, Document]:
    """The checks that are `new`, `updated` (there is more of it) or `cleared`."""
    before, after = last.get("checks", {}), health.get("checks", {})
    found = {
        "new": {code: one for code, one in after.items() if code not in before},
        "updated": {
            code: one
            for code, one in after.items()
            if code in before and _count(one) > _count(before[code])
        },
        "cleared": {code: one for code, one in before.items() if code not in after},
    }
    return {kind: checks for kind, checks in found.items() if checks}


def _count(check: Document) -> int:
    return int(check["summary"].get("count", 0))


def _lines(checks: Document) -> str:
    """Checks in print: `[WARN] OSD_DOWN: 1 osds down` and what there is to say of each."""
    lines = []
    for code, check in checks.items():
        severity = check["severity"].partition("_")[2]
        lines.append(f"[{severity}] {code}: {check['summary']['message']}\n")
        lines += [f"        {one['message']}\n" for one in check.get("detail", ())]
    return "".join(lines)
