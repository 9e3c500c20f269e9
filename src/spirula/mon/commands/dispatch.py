"""What happens to a command: it is found, checked against the client's caps, logged, and answered.

Commands come as MMonCommand, to the cluster, and as MCommand (`ceph tell`), to one monitor. Those
that change something are for the leader, when it can write, and are answered when what they changed
is committed. Follows upstream `src/mon/Monitor.cc` (handle_command, handle_tell_command,
reply_command). Called by `monitor`.
"""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING

from spirula.auth.caps.constraint import command_arguments
from spirula.commands.reply import Reply, Retry
from spirula.commands.table import Command, CommandFlag, parse_command
from spirula.conf.admin_commands import Call
from spirula.conf.admin_commands import CommandTable as AdminTable
from spirula.conf.formatter import render
from spirula.errors import CephError, InvalidArgument
from spirula.messages.command import MCommand, MCommandReply
from spirula.messages.mon_client import MMonCommand, MMonCommandAck
from spirula.mon import containment
from spirula.mon.commands.mgr_proxy import MgrProxy
from spirula.mon.services.base import PaxosService
from spirula.types.log import CHANNEL_AUDIT, LogLevel
from spirula.types.mon import MonCommand

if TYPE_CHECKING:
    from spirula.mon.monitor import Monitor
    from spirula.mon.request import Request

_SECRET = frozenset({"config set", "config-key set", "config-key put"})
"""Commands whose arguments do not belong into the audit log."""


MAX_AUDITED_CHARACTERS = 4096
"""Of a command, in its line of the audit log."""
MAX_REFUSAL_CHARACTERS = 1024
"""Of the status line of an error, which may repeat what was sent."""


def shortened(text: str, most: int) -> str:
    """Text in one line of at most about `most` characters: what is left out is said."""
    if len(text) > most:
        text = f"{text[:most]}... ({len(text) - most} more characters)"
    return text.replace("\n", " ").replace("\r", " ") if "\n" in text or "\r" in text else text


def describe_foreign(command: MonCommand) -> dict[str, object]:
    """A command that somebody else described, such as the manager, as clients are told of it."""
    signature: list[object] = []
    for word in command.cmdstring.split():
        if "=" not in word:
            signature.append(word)
            continue
        pairs = [pair.partition("=") for pair in word.split(",")]
        signature.append(dict(sorted((key, value if eq else key) for key, eq, value in pairs)))
    return {
        "sig": signature,
        "help": command.helpstring,
        "module": command.module,
        "perm": command.req_perms,
        "flags": command.flags,
    }


def prefix_of(command: MonCommand) -> str:
    """The words that a foreign command begins with."""
    words: list[str] = []
    for word in command.cmdstring.split():
        if "=" in word:
            break
        words.append(word)
    return " ".join(words)


class CommandDispatch:
    """The commands of one monitor. `admin` is the table of its admin socket, once there is one."""

    def __init__(self, monitor: Monitor) -> None:
        self.monitor = monitor
        self.proxy = MgrProxy(monitor)
        self.admin: AdminTable | None = None
        self._tells: set[asyncio.Task[None]] = set()

    def stop(self) -> None:
        """Nothing of ours is left in the loop."""
        for task in self._tells:
            task.cancel()

    # --- commands to the cluster

    def on_command(self, request: Request) -> None:
        """An MMonCommand: find out what it is, and whether its sender may."""
        message, monitor = request.message, self.monitor
        if not isinstance(message, MMonCommand):
            return
        if message.fsid != monitor.monmap.fsid:
            self._refuse(request, -errno.EPERM, "wrong fsid")
            return
        if not message.cmd:
            self._refuse(request, -errno.EINVAL, "no command specified")
            return
        try:
            given = parse_command(message.cmd)
        except InvalidArgument as error:
            self._refuse(request, -errno.EINVAL, error.message)
            return
        prefix = given.get("prefix")
        if not isinstance(prefix, str):
            self._refuse(request, -errno.EINVAL, "command prefix not found")
            return
        if not prefix.strip():
            self._refuse(request, -errno.EINVAL, "command prefix must not be empty")
            return
        asked = given.get("format", "plain")
        request.prefix = " ".join(prefix.split())
        request.given = given
        request.format = asked if isinstance(asked, str) else "plain"
        self._find(request)

    def _find(self, request: Request) -> None:
        if request.prefix == "get_command_descriptions":
            self._answer(request, Reply(data=self.descriptions().encode()))
            return
        found = self.monitor.commands.find(request.prefix, request.given)
        if found is None:
            self._find_foreign(request)
            return
        command, owner, arguments = found
        if command.flags & CommandFlag.OBSOLETE:
            text = "command is obsolete; please check usage and/or man page"
            self._refuse(request, -errno.EOPNOTSUPP, text)
            return
        if not self._allowed(request, command.module, command.perm):
            return
        if command.flags & CommandFlag.NOFORWARD and request.session.proxy is not None:
            self._refuse(request, -errno.EINVAL, "forward for noforward command")
            return
        if isinstance(arguments, InvalidArgument):
            self._refuse(request, -errno.EINVAL, arguments.message)
            return
        self._run(request, command, owner, arguments)

    def _find_foreign(self, request: Request) -> None:
        for command in self.monitor.mgrmap.command_descs():
            if prefix_of(command) == request.prefix:
                if self._allowed(request, command.module, command.req_perms):
                    self.proxy.start(request)
                return
        self._refuse(request, -errno.EINVAL, "command not known")

    def _allowed(self, request: Request, module: str, perm: str) -> bool:
        """Whether the client may; it is told if not. Either is in the audit log, once."""
        session = request.session
        arguments = command_arguments(request.given)
        allowed = session.may_run(module, request.prefix, arguments, perm)
        if session.proxy is None or not allowed:
            self._audit(request, perm, "dispatch" if allowed else " access denied")
        if not allowed:
            self._refuse(request, -errno.EACCES, "access denied")
        return allowed

    def _audit(self, request: Request, perm: str, what: str) -> None:
        if request.prefix in _SECRET or not isinstance(request.message, MMonCommand):
            return
        session = request.session
        level = LogLevel.INFO if "w" in perm or "x" in perm else LogLevel.DEBUG
        words = f"[{shortened(', '.join(request.message.cmd), MAX_AUDITED_CHARACTERS)}]"
        # As upstream, which quotes it at the end only.
        shown = f"'{words}'" if what == "finished" else words
        self.monitor.clog(level, f"{session.origin} cmd={shown}: {what}", CHANNEL_AUDIT)

    # --- running them

    def _run(
        self, request: Request, command: Command, owner: object, arguments: dict[str, object]
    ) -> None:
        """Call the handler, now or as soon as the state that it needs can be read or changed."""
        monitor = self.monitor
        if request.is_stale:
            return

        def again() -> None:
            self._run(request, command, owner, arguments)

        if not command.flags & CommandFlag.NOFORWARD:
            service = owner if isinstance(owner, PaxosService) else monitor.monmap_service
            if not service.is_readable:
                request.mark(f"{service.NAME}:wait_for_readable")
                monitor.wait_readable(again, (service, 0))
                return
            if command.writes and not monitor.is_leader:
                monitor.forward(request)
                return
            if command.writes and not self._all_writeable():
                request.mark(f"{service.NAME}:wait_for_writeable")
                monitor.wait_writeable(again)
                return

        try:
            reply = command.handler(owner, request, **arguments)
        except Retry:
            request.mark("wait_for_finished_proposal")
            monitor.when_committed(again, again)
            return
        except CephError as error:
            self._answer(request, Reply(error.message, rc=-error.errno))
            return
        except Exception as error:  # noqa: BLE001 - a bug, which must not end the monitor
            self.fail(request, containment.contain(monitor, f"command {request.prefix!r}", error))
            return
        if reply is None:
            return
        if reply.commit:
            request.mark("wait_for_finished_proposal")
            monitor.when_committed(
                lambda: self._finish(request, command, reply),
                again,
                lambda reason: self.fail(request, reason),
            )
        else:
            self._answer(request, reply)

    def _all_writeable(self) -> bool:
        return self.monitor.is_writeable() and all(s.have_pending for s in self.monitor.services)

    def _finish(self, request: Request, command: Command, reply: Reply) -> None:
        self._audit(request, command.perm, "finished")
        self._answer(request, reply)

    def fail(self, request: Request, text: str) -> None:
        """A command has met a bug of ours."""
        if not request.answered:
            self._refuse(request, -errno.EIO, text)

    def _refuse(self, request: Request, rc: int, text: str) -> None:
        """Answer that it cannot be done."""
        self._answer(request, Reply(text, rc=rc))

    def _answer(self, request: Request, reply: Reply) -> None:
        message = request.message
        if isinstance(message, MMonCommand):
            outs = reply.outs
            if reply.rc < 0 and len(outs) > MAX_REFUSAL_CHARACTERS:
                outs = shortened(outs, MAX_REFUSAL_CHARACTERS)
            ack = MMonCommandAck(
                version=self.monitor.member.paxos.last_committed,
                r=reply.rc,
                rs=outs,
                cmd=message.cmd,
            )
            ack.data = reply.data
            request.reply(ack)

    def descriptions(self) -> str:
        """All commands, the manager's and then ours, as JSON."""
        described = [describe_foreign(command) for command in self.monitor.mgrmap.command_descs()]
        described += [command.describe() for command in self.monitor.commands.all()]
        return render({f"cmd{n:03d}": one for n, one in enumerate(described)}, "json")

    # --- commands to this monitor alone

    def on_tell(self, request: Request) -> None:
        """An MCommand (`ceph tell mon.a ...`): what the admin socket answers as well."""
        message = request.message
        if not isinstance(message, MCommand) or request.session.proxy is not None:
            return
        if message.fsid != self.monitor.monmap.fsid:
            self._answer_tell(request, -errno.EACCES, "wrong fsid")
            return
        try:
            given = parse_command(message.cmd)
        except InvalidArgument as error:
            self._answer_tell(request, -errno.EINVAL, error.message)
            return
        prefix = given.get("prefix")
        if not isinstance(prefix, str):
            self._answer_tell(request, -errno.EINVAL, "no prefix")
            return
        # Whatever a command of this name to the cluster would take: this one is to the daemon.
        if not request.session.may_run("mon", prefix, command_arguments(given), "rwx"):
            self._answer_tell(request, -errno.EACCES, "insufficient caps")
            return
        if self.admin is None:
            self._answer_tell(request, -errno.EOPNOTSUPP, "this monitor has no admin socket")
            return
        task = self.monitor.loop.create_task(self._tell(request, self.admin, given))
        self._tells.add(task)
        task.add_done_callback(self._tells.discard)

    async def _tell(self, request: Request, admin: AdminTable, given: dict[str, object]) -> None:
        try:
            outcome = await admin.execute(given, request.data)
        except Exception as error:  # noqa: BLE001 - a bug, which must not end the monitor
            text = containment.contain(self.monitor, f"tell {given.get('prefix')!r}", error)
            self._answer_tell(request, -errno.EIO, text)
            return
        told = outcome.message
        if outcome.errno < 0 and len(told) > MAX_REFUSAL_CHARACTERS:
            told = shortened(told, MAX_REFUSAL_CHARACTERS)
        self._answer_tell(request, outcome.errno, told, outcome.output)

    def _answer_tell(self, request: Request, rc: int, text: str, output: bytes = b"") -> None:
        reply = MCommandReply(r=rc, rs=text)
        reply.data = output
        request.reply(reply)

    def register_tells(self, admin: AdminTable) -> None:
        """Put those of our commands that are for one monitor into the admin socket's table."""
        self.admin = admin
        for command in self.monitor.commands.all():
            if command.flags & CommandFlag.NOFORWARD and command.prefix not in admin:
                self._register_tell(admin, command)

    def _register_tell(self, admin: AdminTable, command: Command) -> None:
        def handler(call: Call) -> bytes:
            found = self.monitor.commands.find(command.prefix, call.args)
            if found is None or isinstance(found[2], InvalidArgument):
                raise InvalidArgument("invalid command json")
            fmt = call.args.get("format", "json-pretty")
            session = self.monitor.local_session
            request = self.monitor.admin_request(command.prefix, dict(call.args), str(fmt), session)
            reply = found[0].handler(found[1], request, **found[2]) or Reply()
            if reply.rc:
                raise CephError.from_errno(-reply.rc, reply.outs)
            return reply.data or reply.outs.encode()

        admin.register(command.signature(), handler, command.help, owner=self)
