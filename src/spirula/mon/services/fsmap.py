"""FSMapService: the map of file systems, without any: there are no metadata servers yet.

Clients and managers subscribe to it all the same and wait until they have it. Called by `monitor`;
`mon.commands.status` shows it. Formats: upstream `src/mds/FSMap.cc`, `FSMapUser.h` and
`src/mon/MDSMonitor.cc`.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from spirula.commands.arguments import text
from spirula.commands.reply import Reply, lines, said
from spirula.commands.table import Commands
from spirula.messages.fsmap import Enveloped, MFSMap, MFSMapUser
from spirula.mon.services.base import PaxosService
from spirula.types.fsmap import INCOMPAT, EmptyFSMap, FSMapUser, document
from spirula.types.mon import CompatSet, FeatureSet

if TYPE_CHECKING:
    from spirula.messages.base import Message
    from spirula.mon.monitor import Monitor
    from spirula.mon.request import Request
    from spirula.mon.session import MonSession, Subscription
    from spirula.mon.store import Transaction

commands = Commands("mds")


@commands.add(
    "mds metadata",
    who=text(required=False),
    perm="r",
    help="show what metadata servers tell of themselves; a manager asks this when it starts",
)
def metadata(service: FSMapService, request: Request, who: str = "") -> Reply:
    """Shows that of no server: there is none."""
    if who:
        outs = f"MDS named '{who}' does not exist, or is not up"
        return said(outs, lines(request.render({}, "mds_metadata")), rc=-errno.EINVAL)
    return said("", lines(request.render([], "mds_metadata")))


class FSMapService(PaxosService):
    """The empty map of one monitor."""

    NAME = "mdsmap"
    COMMANDS = (commands,)
    SUBSCRIPTIONS = {  # noqa: RUF012 - ClassVar of the base
        "fsmap": ("mds", "r"),
        "fsmap.user": ("mds", "r"),
        "mdsmap": ("mds", "r"),
    }

    def __init__(self, monitor: Monitor) -> None:
        super().__init__(monitor)
        self.fsmap = EmptyFSMap()
        self.encoded = b""
        self.pending = EmptyFSMap()

    def create_initial(self) -> None:
        self.pending = EmptyFSMap(1)
        self.pending.compat = CompatSet(FeatureSet(), FeatureSet(), FeatureSet.of(INCOMPAT))

    def update(self) -> None:
        if self.last_committed == self.fsmap.epoch:
            return
        encoded = self.get_version(self.last_committed)
        if encoded is not None:
            self.fsmap, self.encoded = EmptyFSMap.decode(encoded), encoded
            self.notify_subscribers()

    def encode_pending(self, transaction: Transaction) -> None:
        self.put_version(transaction, self.pending.epoch, self.pending.encode())
        self.encode_health(transaction, {})

    def document(self) -> dict[str, object]:
        """What `ceph status` says of it."""
        return {"epoch": self.fsmap.epoch, "by_rank": [], "up:standby": 0}

    def whole_document(self) -> dict[str, object]:
        """What `ceph report` says of it."""
        return document(self.fsmap)

    def check_subscription(self, session: MonSession, subscription: Subscription) -> None:
        epoch = self.fsmap.epoch
        if subscription.next > epoch:
            return
        message: Message
        if subscription.what == "fsmap":
            message = MFSMap(epoch=epoch, fsmap=Enveloped.decode(self.encoded))
        elif subscription.what == "fsmap.user":
            user = FSMapUser(epoch, self.fsmap.legacy_client_fscid)
            message = MFSMapUser(epoch=epoch, fsmap=Enveloped.decode(user.encode()))
        else:
            # The map of one file system: there is none to send, as upstream in this case.
            return
        self.monitor.send(session, message)
        if subscription.onetime:
            self.monitor.sessions.unsubscribe(session, subscription.what)
        else:
            subscription.next = epoch + 1
