"""What goes on in a cluster or a pool: clients, recovery, cache tiers; what is wrong with objects.

Texts and numbers: upstream `src/mon/PGMap.cc` (client_io_rate_summary, recovery_rate_summary,
cache_io_rate_summary, recovery_summary).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from spirula.printing import count_text, size_text
from spirula.types.pg_stats import ObjectStatSum


def troubled(total: ObjectStatSum) -> list[tuple[str, int, int]]:
    """What is wrong with objects, how many are concerned, and of how many."""
    copies = total.num_object_copies
    return [
        (name, part, whole)
        for name, part, whole in (
            ("degraded", total.num_objects_degraded, copies),
            ("misplaced", total.num_objects_misplaced, copies),
            ("unfound", total.num_objects_unfound, total.num_objects),
        )
        if part and whole > 0
    ]


def trouble_texts(total: ObjectStatSum) -> list[str]:
    """What is wrong with objects, in print."""
    return [
        f"{part}/{whole} objects {name} ({part / whole * 100.0:.3f}%)"
        for name, part, whole in troubled(total)
    ]


def trouble_numbers(total: ObjectStatSum) -> dict[str, object]:
    """The same as numbers."""
    shown: dict[str, object] = {}
    for name, part, whole in troubled(total):
        shown[f"{name}_objects"] = part
        shown[f"{name}_total"] = whole
        shown[f"{name}_ratio"] = part / whole * 100.0 / 100.0
    return shown


@dataclass(slots=True, frozen=True)
class Traffic:
    """Changes of counters over a span of `seconds`; made by `of`."""

    delta: ObjectStatSum
    seconds: float

    @classmethod
    def of(cls, delta: ObjectStatSum, seconds: float) -> Self:
        """Of changes as they were reported; what went backwards did not happen."""
        changes = ObjectStatSum()
        changes.add(delta)
        changes.floor(0)
        return cls(changes, seconds)

    def _rate(self, value: int) -> int:
        return int(value / self.seconds) if self.seconds else 0

    def operations(self) -> int:
        """Clients' operations a second."""
        return self._rate(self.delta.num_rd + self.delta.num_wr)

    def recovery(self) -> dict[str, int]:
        """What recovery does; empty where it does nothing."""
        delta = self.delta
        done = (
            ("objects", delta.num_objects_recovered),
            ("bytes", delta.num_bytes_recovered),
            ("keys", delta.num_keys_recovered),
        )
        if not any(value for _, value in done):
            return {}
        rates = {f"recovering_{what}_per_sec": self._rate(value) for what, value in done}
        return rates | {f"num_{what}_recovered": value for what, value in done}

    def recovery_text(self) -> str:
        """The same in print."""
        recovery = self.recovery()
        if not recovery:
            return ""
        parts = [f"{size_text(recovery['recovering_bytes_per_sec'])}/s"]
        if recovery["num_keys_recovered"]:
            parts.append(f"{count_text(recovery['recovering_keys_per_sec'])} keys/s")
        parts.append(f"{count_text(recovery['recovering_objects_per_sec'])} objects/s")
        return ", ".join(parts)

    def clients(self) -> dict[str, int]:
        """What clients do; empty where they do nothing."""
        delta = self.delta
        if not (delta.num_rd or delta.num_wr):
            return {}
        rates = {}
        if delta.num_rd:
            rates["read_bytes_sec"] = self._rate(delta.num_rd_kb << 10)
        if delta.num_wr:
            rates["write_bytes_sec"] = self._rate(delta.num_wr_kb << 10)
        rates["read_op_per_sec"] = self._rate(delta.num_rd)
        rates["write_op_per_sec"] = self._rate(delta.num_wr)
        return rates

    def clients_text(self) -> str:
        """The same in print."""
        clients = self.clients()
        if not clients:
            return ""
        parts = []
        if "read_bytes_sec" in clients:
            parts.append(f"{size_text(clients['read_bytes_sec'])}/s rd")
        if "write_bytes_sec" in clients:
            parts.append(f"{size_text(clients['write_bytes_sec'])}/s wr")
        parts.append(f"{count_text(clients['read_op_per_sec'])} op/s rd")
        parts.append(f"{count_text(clients['write_op_per_sec'])} op/s wr")
        return ", ".join(parts)

    def cache(self) -> list[tuple[str, int, str]]:
        """Name, number and text of what cache tiers do."""
        delta = self.delta
        found: list[tuple[str, int, str]] = []
        if delta.num_flush:
            rate = self._rate(delta.num_flush_kb << 10)
            found.append(("flush_bytes_sec", rate, f"{size_text(rate)}/s flush"))
        if delta.num_evict:
            rate = self._rate(delta.num_evict_kb << 10)
            found.append(("evict_bytes_sec", rate, f"{size_text(rate)}/s evict"))
        if delta.num_promote:
            rate = self._rate(delta.num_promote)
            found.append(("promote_op_per_sec", rate, f"{count_text(rate)} op/s promote"))
        for name, count, what in (
            ("num_flush_mode_low", delta.num_flush_mode_low, "PGs flushing"),
            ("num_flush_mode_high", delta.num_flush_mode_high, "PGs flushing (high)"),
            ("num_evict_mode_some", delta.num_evict_mode_some, "PGs evicting"),
            ("num_evict_mode_full", delta.num_evict_mode_full, "PGs evicting (full)"),
        ):
            if count:
                found.append((name, count, f"{count_text(count)} {what}"))
        return found

    def cache_text(self) -> str:
        """The same in print."""
        return ", ".join(text for _, _, text in self.cache())
