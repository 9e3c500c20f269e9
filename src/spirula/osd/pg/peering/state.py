"""What a PG knows of its peers while they agree, and where the agreement stands.

Part of the PG's record; changed by the modules beside it alone. Upstream: `PeeringState.h`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from spirula.types.pg import PGShard
from spirula.types.pg_info import PGInfo
from spirula.types.pg_log import PGMissing


class State(StrEnum):
    """States of the machine, by the names under which upstream shows them."""

    INITIAL = "Initial"
    RESET = "Reset"
    STRAY = "Started/Stray"
    REPLICA_ACTIVE = "Started/ReplicaActive"
    GET_INFO = "Started/Primary/Peering/GetInfo"
    GET_LOG = "Started/Primary/Peering/GetLog"
    GET_MISSING = "Started/Primary/Peering/GetMissing"
    WAIT_UP_THRU = "Started/Primary/Peering/WaitUpThru"
    DOWN = "Started/Primary/Peering/Down"
    INCOMPLETE = "Started/Primary/Peering/Incomplete"
    WAIT_ACTING_CHANGE = "Started/Primary/WaitActingChange"
    ACTIVE = "Started/Primary/Active"
    TO_DELETE = "Started/ToDelete"


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


@dataclass(slots=True, eq=False)
class Peering:
    """Where a PG's agreement stands.

    `info_requested`, `log_requested`, `missing_requested` are whom an answer is awaited from.
    `activated` are those who have the start on disk. `strays` have the PG and should not.
    """

    state: State = State.INITIAL
    entered_at: float = 0.0
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
    want_acting: list[int] = field(default_factory=list)
    blocked_by: set[int] = field(default_factory=set)
    need_up_thru: bool = False
    send_notify: bool = False
