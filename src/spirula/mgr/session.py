"""What a manager remembers of each peer: who it is, and what it may. Kept as `Connection.priv`."""

from __future__ import annotations

from dataclasses import dataclass

from spirula.auth.caps import mgr as mgr_caps
from spirula.auth.caps.grammar import InvalidCaps
from spirula.auth.caps.mgr import MgrCaps
from spirula.msgr.connection import Connection
from spirula.types.entity import TYPE_NAMES

_NO_CAPS = MgrCaps(())


@dataclass(slots=True, eq=False)
class Session:
    """A peer's session; `entity` is who it authenticated as (`osd.3`)."""

    connection: Connection
    entity: str
    caps: MgrCaps
    allow_all: bool

    @property
    def kind(self) -> str:
        """The kind of entity: osd, mon, client ..."""
        return self.entity.partition(".")[0] or TYPE_NAMES.get(self.connection.peer_type, "")

    @property
    def is_mon(self) -> bool:
        """Whether the peer has shown that it is a monitor."""
        return self.kind == "mon"

    @property
    def osd(self) -> int:
        """The OSD's number; -1 for others."""
        name = self.entity.partition(".")[2] or str(self.connection.peer_name.num)
        return int(name) if self.kind == "osd" and name.isdecimal() else -1


def session_of(connection: Connection) -> Session:
    """The session of a connection; caps that cannot be read grant nothing."""
    found: Session | None = connection.priv
    if found is not None:
        return found
    auth, caps = connection.auth, _NO_CAPS
    if not auth.allow_all:
        try:
            caps = mgr_caps.parse(auth.caps.get("mgr", ""))
        except InvalidCaps:
            caps = _NO_CAPS
    made = Session(connection, auth.entity, caps, auth.allow_all)
    connection.priv = made
    return made
