"""What a PG knows of its peers while they agree, and where the agreement stands.

Part of the PG's record; changed by the modules beside it alone. Upstream: `PeeringState.h`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from spirula.maps.state import exists, is_up
from spirula.types.pg import PGShard
from spirula.types.pg_info import PGInfo
from spirula.types.pg_log import PGMissing

if TYPE_CHECKING:
    from asyncio import TimerHandle

    from spirula.maps.osdmap import OSDMap
    from spirula.osd.pg.peering.machine import Rules


class State(StrEnum):
    """States of the machine, by the names under which upstream shows them.

    A name holds those of the states in which it is: who is in `RECOVERING` is in `ACTIVE` too.
    """

    INITIAL = "Initial"
    RESET = "Reset"
    STARTED = "Started"
    STRAY = "Started/Stray"
    REPLICA_ACTIVE = "Started/ReplicaActive"
    REP_NOT_RECOVERING = "Started/ReplicaActive/RepNotRecovering"
    REP_WAIT_RECOVERY_RESERVED = "Started/ReplicaActive/RepWaitRecoveryReserved"
    REP_WAIT_BACKFILL_RESERVED = "Started/ReplicaActive/RepWaitBackfillReserved"
    REP_RECOVERING = "Started/ReplicaActive/RepRecovering"
    PRIMARY = "Started/Primary"
    PEERING = "Started/Primary/Peering"
    GET_INFO = "Started/Primary/Peering/GetInfo"
    GET_LOG = "Started/Primary/Peering/GetLog"
    GET_MISSING = "Started/Primary/Peering/GetMissing"
    WAIT_UP_THRU = "Started/Primary/Peering/WaitUpThru"
    DOWN = "Started/Primary/Peering/Down"
    INCOMPLETE = "Started/Primary/Peering/Incomplete"
    WAIT_ACTING_CHANGE = "Started/Primary/WaitActingChange"
    ACTIVE = "Started/Primary/Active"
    ACTIVATING = "Started/Primary/Active/Activating"
    WAIT_LOCAL_RECOVERY_RESERVED = "Started/Primary/Active/WaitLocalRecoveryReserved"
    WAIT_REMOTE_RECOVERY_RESERVED = "Started/Primary/Active/WaitRemoteRecoveryReserved"
    RECOVERING = "Started/Primary/Active/Recovering"
    NOT_RECOVERING = "Started/Primary/Active/NotRecovering"
    WAIT_LOCAL_BACKFILL_RESERVED = "Started/Primary/Active/WaitLocalBackfillReserved"
    WAIT_REMOTE_BACKFILL_RESERVED = "Started/Primary/Active/WaitRemoteBackfillReserved"
    BACKFILLING = "Started/Primary/Active/Backfilling"
    NOT_BACKFILLING = "Started/Primary/Active/NotBackfilling"
    RECOVERED = "Started/Primary/Active/Recovered"
    CLEAN = "Started/Primary/Active/Clean"
    TO_DELETE = "Started/ToDelete"


def _with_outer(state: State) -> tuple[State, ...]:
    parts = state.value.split("/")
    names = ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]
    return tuple(State(name) for name in names)


OUTER: dict[State, tuple[State, ...]] = {state: _with_outer(state) for state in State}
"""Each state with those in which it is, the innermost first."""


@dataclass(slots=True)
class PriorSet:
    """Who has to be asked, because writes may have reached them.

    `down` are those that cannot be asked now; `blocked_by` (OSD to the epoch in which it was given
    up) those without whom nothing can be known, `pg_down` that there are any.
    """

    probe: set[PGShard] = field(default_factory=set)
    down: set[int] = field(default_factory=set)
    blocked_by: dict[int, int] = field(default_factory=dict)
    pg_down: bool = False

    def is_affected_by(self, osdmap: OSDMap) -> bool:
        """Whether by a newer map others may have to be asked, or cannot be."""
        for osd in {shard.osd for shard in self.probe} | self.down:
            up = is_up(osdmap, osd)
            if osd in self.down:
                if up or not exists(osdmap, osd):
                    return True
            elif not up:
                return True
        return any(
            not exists(osdmap, osd) or osdmap.osd_info[osd].lost_at != lost_at
            for osd, lost_at in self.blocked_by.items()
        )


@dataclass(slots=True, eq=False)
class Peering:
    """Where a PG's agreement stands.

    `rules` are the machine's (`table`). `state` is the innermost one, `entered` tells since when
    (seconds since 1970) it and those around it last. `info_requested`, `log_requested` and
    `missing_requested` are whom an answer is awaited from. `activated` are those who have the start
    on disk. `strays` have the PG and should not. `to_reserve` are replicas that are still to be
    asked for a slot.
    """

    rules: Rules
    state: State = State.INITIAL
    entered: dict[State, float] = field(default_factory=dict)
    serving: bool = False
    """In `ACTIVE` or `REPLICA_ACTIVE`: writes and pushes of this interval are taken."""
    prior: PriorSet = field(default_factory=PriorSet)
    peer_info: dict[PGShard, PGInfo] = field(default_factory=dict)
    peer_missing: dict[PGShard, PGMissing] = field(default_factory=dict)
    info_requested: set[PGShard] = field(default_factory=set)
    log_requested: PGShard | None = None
    missing_requested: set[PGShard] = field(default_factory=set)
    activated: set[PGShard] = field(default_factory=set)
    activation_epoch: int = 0
    strays: set[PGShard] = field(default_factory=set)
    backfill_targets: set[PGShard] = field(default_factory=set)
    async_recovery_targets: set[PGShard] = field(default_factory=set)
    """Who lacks so much that clients do not wait until it has it."""
    purged: set[PGShard] = field(default_factory=set)
    gone: set[int] = field(default_factory=set)
    """OSDs that were down in one of the maps that came together, though not in the newest, maybe:
    what they were asked got lost."""
    """Strays that were told to remove what they have."""
    to_reserve: deque[PGShard] = field(default_factory=deque)
    want_acting: list[int] = field(default_factory=list)
    """Who should serve, where the monitors were asked for that."""
    blocked_by: set[int] = field(default_factory=set)
    need_up_thru: bool = False
    send_notify: bool = False
    posted: deque[tuple[str, object]] = field(default_factory=deque)
    """Events that came up while one was dealt with; their turn is after it."""
    stepping: bool = False
    retry: TimerHandle | None = None
    min_size: int = 0
    """The pool's when the PG became incomplete."""

    def is_in(self, state: State) -> bool:
        """Whether this is the present state, or one around it."""
        return state in OUTER[self.state]
