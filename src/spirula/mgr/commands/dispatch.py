"""Commands to the manager: found, checked against the sender's caps, carried out, answered.

They come as MMgrCommand (for the cluster), passed on by monitors or straight from clients, or as
MCommand (`ceph tell mgr`: what the admin socket answers as well). Behaviour: upstream
`src/mgr/DaemonServer.cc` (handle_command).
"""

from __future__ import annotations

import errno
import traceback
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spirula.auth.caps.constraint import command_arguments
from spirula.commands.reply import Reply
from spirula.commands.table import Command, CommandFlag, Commands, CommandTable, parse_command
from spirula.conf.admin_commands import CommandTable as AdminTable
from spirula.conf.formatter import render
from spirula.errors import CephError, InvalidArgument
from spirula.messages.command import MCommand, MCommandReply, MMgrCommand, MMgrCommandReply
from spirula.mgr.session import session_of
from spirula.types.entity import EntityAddrVec
from spirula.types.log import LogLevel
from spirula.types.mon import MonCommand

if TYPE_CHECKING:
    from spirula.mgr.session import Session
    from spirula.mgr.state import Manager

_AUDIT = "audit"


def prefix_of(command: MonCommand) -> str:
    """The words that a command begins with."""
    words = []
    for word in command.cmdstring.split():
        if "=" in word:
            break
        words.append(word)
    return " ".join(words)


@dataclass(slots=True, eq=False)
class Request:
    """A command under way. `format` is empty for plain text; `given` are its arguments."""

    prefix: str
    given: dict[str, Any]
    data: bytes = b""
    session: Session | None = None

    @property
    def format(self) -> str:
        """The format that was asked for: plain, json, json-pretty, xml ..."""
        asked = self.given.get("format", "plain")
        return asked if isinstance(asked, str) and asked else "plain"

    @property
    def is_plain(self) -> bool:
        """Whether text for people was asked for."""
        return self.format == "plain"

    def show(self, document: object, name: str = "") -> bytes:
        """A document in the format that was asked for, JSON where that is plain text."""
        text = render(document, "json" if self.is_plain else self.format, name)
        return text.encode("utf-8", "surrogateescape")


class CommandDispatch:
    """The commands of one manager: its own and its modules'."""

    def __init__(
        self,
        manager: Manager,
        groups: Iterable[Commands],
        admin: AdminTable,
    ) -> None:
        self.manager = manager
        self.table = CommandTable()
        self.table.register(manager, groups)
        self.admin = admin

    def descriptions(self) -> list[MonCommand]:
        """All commands, as the monitors tell them to clients."""
        return [
            MonCommand(
                one.signature(),
                one.help,
                one.module,
                one.perm,
                flags=int(one.flags | CommandFlag.MGR),
            )
            for one in self.table.all()
        ] + self.manager.modules.commands()

    def on_command(self, message: MCommand | MMgrCommand) -> None:
        """A command: who asks may do it or not, and it is known or not."""
        session = session_of(message.connection)
        if message.fsid not in (bytes(16), self.manager.session.monitors.fsid):
            self._answer(message, Reply("wrong fsid", rc=-errno.EINVAL))
            return
        try:
            given = parse_command(message.cmd)
        except InvalidArgument as error:
            self._answer(message, Reply(error.message, rc=-errno.EINVAL))
            return
        prefix = given.get("prefix")
        if not isinstance(prefix, str) or not prefix.strip():
            self._answer(message, Reply("command prefix not found", rc=-errno.EINVAL))
            return
        request = Request(" ".join(prefix.split()), given, bytes(message.data), session)
        # `ceph tell` names the cluster; clients before 15.2 send all commands so, without a name.
        is_told = isinstance(message, MCommand) and message.fsid != bytes(16)
        if request.prefix == "get_command_descriptions" and not is_told:
            self._answer(message, Reply(data=self._described().encode()))
        elif isinstance(message, MCommand):
            self.manager.spawn(self._tell(message, request))
        else:
            self._find(message, request)

    def _described(self) -> str:
        described = [command.describe() for command in self.table.all()]
        for one in described:
            one["flags"] = int(str(one["flags"])) | CommandFlag.MGR
        return render({f"cmd{n:03d}": one for n, one in enumerate(described)}, "json")

    def _find(self, message: MMgrCommand, request: Request) -> None:
        found = self.table.find(request.prefix, request.given)
        if found is None:
            self._find_module(message, request)
            return
        command, owner, arguments = found
        if not self._may(request, command.module, "", command.perm):
            self._refuse(message, request, command.perm)
            return
        self._audit(request, message, command.perm, "dispatch")
        if isinstance(arguments, InvalidArgument):
            self._answer(message, Reply(arguments.message, rc=-errno.EINVAL))
            return
        self.manager.spawn(self._run(message, request, command, owner, arguments))

    def _find_module(self, message: MMgrCommand, request: Request) -> None:
        """A command of a module, perhaps."""
        modules = self.manager.modules
        name = modules.has_command(request.prefix)
        if name is None:
            text = f"No handler found for '{request.prefix}'"
            self._answer(message, Reply(text, rc=-errno.EINVAL))
            return
        perm = next(
            (one.req_perms for one in modules.commands() if prefix_of(one) == request.prefix), "rw"
        )
        if not self._may(request, "py", name, perm):
            self._refuse(message, request, perm)
            return
        self._audit(request, message, perm, "dispatch")

        async def run() -> None:
            session = request.session
            self._answer(
                message,
                await modules.handle_command(request.prefix, request.given, request.data, session),
            )

        self.manager.spawn(run())

    def _refuse(self, message: MMgrCommand, request: Request, perm: str) -> None:
        self._audit(request, message, perm, "access denied")
        text = (
            "access denied: does your client key have mgr caps? See"
            " http://docs.ceph.com/en/latest/mgr/administrator/#client-authentication"
        )
        self._answer(message, Reply(text, rc=-errno.EACCES))

    def _may(self, request: Request, service: str, module: str, perm: str) -> bool:
        session = request.session
        if session is None or session.allow_all or session.is_mon:
            return True
        addrs: EntityAddrVec = session.connection.peer_addrs
        return session.caps.is_capable(
            service,
            module,
            request.prefix,
            command_arguments(request.given),
            read="r" in perm,
            write="w" in perm,
            execute="x" in perm,
            address=addrs.addrs[0] if addrs.addrs else None,
        )

    def _audit(self, request: Request, message: MMgrCommand, perm: str, what: str) -> None:
        connection = message.connection
        entity = request.session.entity if request.session else ""
        level = LogLevel.INFO if "w" in perm or "x" in perm else LogLevel.DEBUG
        words = ", ".join(message.cmd)
        self.manager.clog(
            level,
            f"from='{connection.peer_name} {connection.peer_addrs}' entity='{entity}'"
            f" cmd=[{words}]: {what}",
            _AUDIT,
        )

    async def _run(
        self,
        message: MCommand | MMgrCommand,
        request: Request,
        command: Command,
        owner: object,
        arguments: dict[str, object],
    ) -> None:
        """Calls the handler, which may be a coroutine, and answers."""
        try:
            made: Any = command.handler(owner, request, **arguments)
            reply: Reply = await made if isinstance(made, Awaitable) else made
        except CephError as error:
            reply = Reply(error.message, rc=-error.errno)
        except Exception as error:  # noqa: BLE001 - a bug, which must not end the manager
            for line in traceback.format_exc().splitlines():
                self.manager.log(-1, line)
            reply = Reply(f"a bug in {request.prefix!r}: {error!r}", rc=-errno.EIO)
        self._answer(message, reply)

    async def _tell(self, message: MCommand, request: Request) -> None:
        session = request.session
        may = session is None or session.allow_all or session.caps.is_allow_all()
        if not may and request.prefix != "get_command_descriptions":
            self._answer(message, Reply("access denied", rc=-errno.EACCES))
            return
        if request.prefix not in self.admin:
            found = self.table.find(request.prefix, request.given)
            if found is not None and not isinstance(found[2], InvalidArgument):
                await self._run(message, request, found[0], found[1], found[2])
                return
        outcome = await self.admin.execute(request.given, request.data)
        self._answer(message, Reply(outcome.message, outcome.output, outcome.errno))

    def _answer(self, message: MCommand | MMgrCommand, reply: Reply) -> None:
        kind = MCommandReply if isinstance(message, MCommand) else MMgrCommandReply
        answer = kind(reply.rc, reply.outs)
        answer.tid, answer.data = message.tid, reply.data
        message.connection.send_message(answer)
