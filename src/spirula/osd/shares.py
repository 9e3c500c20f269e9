"""Who may do how much of an OSD's work: the options of both of upstream's operation queues.

`wpq` (the default) divides by priorities and lets each kind of work rest after each piece;
`mclock_scheduler` by profiles of reservations, weights and bounds. Read by `scheduler`. Numbers
and names: upstream `src/osd/scheduler/mClockScheduler.cc`, `OSD.cc` (get_osd_recovery_sleep).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from spirula.conf.config import Config

CLIENT = "client"
_RECOVERY, _BEST_EFFORT = "background_recovery", "background_best_effort"

_PRIORITIES = {
    "recovery": "osd_recovery_op_priority",
    "backfill": "osd_recovery_op_priority",
    "scrub": "osd_scrub_priority",
    "snap_trim": "osd_snap_trim_priority",
    "delete": "osd_pg_delete_priority",
}
"""Of each kind of work: the option with its priority under wpq."""
_MCLOCK_CLASSES = {"recovery": _RECOVERY, "backfill": _RECOVERY}
_SLEEPS = {
    "recovery": "osd_recovery_sleep",
    "backfill": "osd_recovery_sleep",
    "snap_trim": "osd_snap_trim_sleep",
    "delete": "osd_delete_sleep",
}
_MCLOCK = "mclock_scheduler"
_NO_LIMIT = 999999
_BYTES_LIKE_AN_OP = 256 << 10
"""Under wpq: so many bytes cost as much as doing anything at all, in a process like ours."""
_LEAST_SHARE = 1e-4
_WITH_PROFILES = {"osd_max_backfills": "1000", "osd_recovery_max_active": "1000"}
"""What profiles have as defaults in place of what bounds work elsewhere."""


class Allocation(NamedTuple):
    """What a class of work may have: fractions of the OSD, a weight, operations per second.

    `reservation`: what it has in any case; `weight`: its part of the rest; `limit`: 0 for none.
    """

    reservation: float
    weight: float
    limit: float = 0.0


_PROFILES = {
    "high_client_ops": ((0.5, 2, 0.0), (0.25, 1, 1.0), (0.25, 2, 0.0)),
    "balanced": ((0.4, 1, 1.0), (0.4, 1, 1.5), (0.2, 2, 0.0)),
    "high_recovery_ops": ((0.3, 1, 0.8), (0.6, 2, 2.0), (0.0, 2, 0.0)),
}
"""Clients, recovery, everything else: reservation, weight, and limit by the OSD's capacity."""


@dataclass(slots=True, eq=False)
class Shares:
    """The options as they are now. `rotational`: whether data, and whether the journal, lie on
    hard disks.
    """

    config: Config
    rotational: tuple[bool, bool] = (False, False)
    queue: str = "wpq"
    profile: str = ""
    _allocations: dict[str, Allocation] = field(default_factory=dict)
    _sleeps: dict[str, float] = field(default_factory=dict)
    _per_op: float = 1.0
    _per_byte: float = 1 / _BYTES_LIKE_AN_OP

    def __post_init__(self) -> None:
        # which queue it is, is told at the start, as upstream's
        queue = self.config.get_str("osd_op_queue")
        self.queue = queue if queue == _MCLOCK else "wpq"
        self._read()
        self.config.observe(_OPTIONS, lambda _: self._read())
        if self.queue == _MCLOCK:
            self.config.apply_changes()  # others have read what profiles have other defaults of

    # ------------------------------------------------------------------------------ what it tells

    def class_of(self, kind: str) -> str:
        """Which class a kind of work belongs to: what shares a reservation or priority."""
        if self.queue == _MCLOCK:
            return _MCLOCK_CLASSES.get(kind, _BEST_EFFORT)
        return "recovery" if kind == "backfill" else kind

    def of(self, name: str) -> Allocation:
        """What a class may have."""
        return self._allocations[name]

    def share(self, name: str, active: Collection[str]) -> float:
        """A class's part of all that is done, by what all of `active` may have."""
        each = {one: self._allocations[one] for one in active}
        reserved = sum(one.reservation for one in each.values())
        most = max(reserved, 1.0)
        weights = sum(one.weight for one in each.values())
        mine = each[name]
        rest = max(1.0 - reserved, 0.0) * (mine.weight / weights if weights else 0.0)
        return max(mine.reservation / most + rest, _LEAST_SHARE)

    def scaled(self, size: int) -> float:
        """What it costs to do something with so many bytes; the least that anything costs is 1."""
        return max(self._per_op + self._per_byte * size, 1.0)

    def sleep_after(self, kind: str) -> float:
        """How many seconds work of a kind rests after each piece."""
        return self._sleeps.get(kind, 0.0)

    # ------------------------------------------------------------------------------ what it reads

    def _read(self) -> None:
        if self.queue == _MCLOCK:
            self._read_mclock()
        else:
            self._read_wpq()

    def _read_wpq(self) -> None:
        config = self.config
        self._allocations = {
            self.class_of(kind): Allocation(0.0, max(config.get_int(option), 1))
            for kind, option in _PRIORITIES.items()
        }
        client = config.get_int("osd_client_op_priority")
        self._allocations[CLIENT] = Allocation(0.0, max(client, 1))
        self._sleeps = {kind: self._sleep(option) for kind, option in _SLEEPS.items()}

    def _sleep(self, option: str) -> float:
        """The option itself, or where that is 0, its variant for the kind of disks."""
        config = self.config
        always = config.get_float(option)
        if always > 0:
            return always
        data, journal = self.rotational
        if not data:
            return config.get_float(f"{option}_ssd")
        return config.get_float(f"{option}_hdd" if journal else f"{option}_hybrid")

    def _read_mclock(self) -> None:
        config = self.config
        self.profile = config.get_str("osd_mclock_profile")
        self._sleeps = {}
        # upstream counts hard disks' costs in seconds, others' in milliseconds
        unit = 1e-6 if self.rotational[0] else 1e-3
        self._per_op = self._by_device(config.get_float, "osd_mclock_cost_per_io_usec") * unit
        self._per_byte = self._by_device(config.get_float, "osd_mclock_cost_per_byte_usec") * unit
        kind = "hdd" if self.rotational[0] else "ssd"
        capacity = max(config.get_float(f"osd_mclock_max_capacity_iops_{kind}"), 1.0)
        names = (CLIENT, _RECOVERY, _BEST_EFFORT)
        profile = _PROFILES.get(self.profile)
        if profile is not None:
            for option, value in _WITH_PROFILES.items():
                config.set_default(option, value)
            self._allocations = {
                name: Allocation(reservation, weight, limit * capacity)
                for name, (reservation, weight, limit) in zip(names, profile, strict=True)
            }
            return
        self._sleeps = {work: self._sleep(option) for work, option in _SLEEPS.items()}
        self._allocations = {name: self._custom(name, capacity) for name in names}

    def _by_device(self, get: Callable[[str], float], option: str) -> float:
        return get(option) or get(f"{option}_{'hdd' if self.rotational[0] else 'ssd'}")

    def _custom(self, name: str, capacity: float) -> Allocation:
        get = self.config.get_int
        prefix = f"osd_mclock_scheduler_{name}"
        limit = get(f"{prefix}_lim")
        return Allocation(
            get(f"{prefix}_res") / capacity,
            get(f"{prefix}_wgt"),
            0.0 if limit >= _NO_LIMIT else float(limit),
        )


_OPTIONS = (
    "osd_client_op_priority",
    *_PRIORITIES.values(),
    *(f"{sleep}{end}" for sleep in _SLEEPS.values() for end in ("", "_hdd", "_ssd", "_hybrid")),
    *(
        f"osd_mclock_cost_per_{what}_usec{end}"
        for what in ("io", "byte")
        for end in ("", "_hdd", "_ssd")
    ),
    "osd_mclock_max_capacity_iops_hdd",
    "osd_mclock_max_capacity_iops_ssd",
    "osd_mclock_profile",
    *(
        f"osd_mclock_scheduler_{name}_{what}"
        for name in (CLIENT, _RECOVERY, _BEST_EFFORT)
        for what in ("res", "wgt", "lim")
    ),
)
