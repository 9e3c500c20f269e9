"""Commands that come as messages: checked against the sender's caps, carried out, answered.

Only who may do everything on OSDs is served, as upstream does (`src/osd/OSD.cc`, handle_command).
"""

from __future__ import annotations

from dataclasses import dataclass
from errno import EACCES, EINVAL

from spirula.conf.admin_commands import CommandTable
from spirula.messages.command import MCommand, MCommandReply
from spirula.osd.session import session_of
from spirula.osd.state import OSD


@dataclass(slots=True, eq=False)
class TellCommands:
    """The commands of one OSD."""

    osd: OSD
    table: CommandTable

    def on_command(self, message: MCommand) -> None:
        """A command: answered later, for some wait for others."""
        if not session_of(message.connection).caps.is_allow_all():
            _answer(message, -EACCES)
        elif not message.cmd or message.fsid not in (bytes(16), self.osd.superblock.cluster_fsid):
            _answer(message, -EINVAL, "no command, or one for another cluster")
        else:
            self.osd.spawn(self._execute(message))

    async def _execute(self, message: MCommand) -> None:
        found = await self.table.execute(message.cmd[0], bytes(message.data))
        _answer(message, found.errno, found.message, found.output)


def _answer(message: MCommand, result: int, text: str = "", output: bytes = b"") -> None:
    reply = MCommandReply(result, text)
    reply.tid, reply.data = message.tid, output
    message.connection.send_message(reply)
