"""What was changed when: a change set for each version, under `config-history/` of config-key.

A set holds the time and a remark, and of each key the value before (`-`) and after (`+`). Format:
upstream `src/mon/ConfigMonitor.cc` (encode_pending_to_kvmon, load_changeset). Called by `service`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from spirula.denc import Struct, string, struct
from spirula.errors import WireError
from spirula.printing import Items
from spirula.types.base import UTime

HISTORY = "config-history/"


@struct
class _Meta(Struct):
    stamp: UTime
    name: string


@dataclass(slots=True)
class ChangeSet:
    """One version's changes: by key the value before and after; None where there was or is none."""

    version: int
    stamp: UTime = field(default_factory=lambda: UTime(0, 0))
    name: str = ""
    diff: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """As `config log` prints it in JSON."""
        changes: list[object] = []
        for key, (before, after) in self.diff.items():
            change = {"name": key}
            if before is not None:
                change["previous_value"] = before
            if after is not None:
                change["new_value"] = after
            changes.append(change)
        return {
            "version": self.version,
            "timestamp": str(self.stamp),
            "name": self.name,
            "changes": Items("change", changes),
        }

    def __str__(self) -> str:
        lines = [f"--- {self.version} --- {self.stamp}"]
        lines[0] += f" --- {self.name} ---" if self.name else " ---"
        for key, (before, after) in self.diff.items():
            if before is not None:
                lines.append(f"- {key} = {before}")
            if after is not None:
                lines.append(f"+ {key} = {after}")
        return "".join(f"{line}\n" for line in lines)


def prefix_of(version: int) -> str:
    """Where a version's change set stands."""
    return f"{HISTORY}{version}/"


def entries(
    version: int,
    stamp: UTime,
    name: str,
    changes: Mapping[str, bytes | None],
    current: Mapping[str, bytes],
) -> dict[str, bytes]:
    """A change set as keys and values; of `changes` only what differs from `current` counts."""
    prefix = prefix_of(version)
    made = {prefix: _Meta(stamp, name).encode()}
    for key, after in changes.items():
        before = current.get(key)
        if before == after:
            continue
        if before is not None:
            made[f"{prefix}-{key}"] = before
        if after is not None:
            made[f"{prefix}+{key}"] = after
    return made


def read(version: int, items: Iterable[tuple[str, bytes]]) -> ChangeSet:
    """A change set from the keys and values under its prefix."""
    found = ChangeSet(version)
    prefix = prefix_of(version)
    for key, value in items:
        rest = key.removeprefix(prefix)
        if not rest:
            try:
                meta = _Meta.decode(value)
            except WireError:
                continue
            found.stamp, found.name = meta.stamp, meta.name
            continue
        before, after = found.diff.get(rest[1:], (None, None))
        text = value.decode("utf-8", "surrogateescape")
        found.diff[rest[1:]] = (text, after) if rest[0] == "-" else (before, text)
    found.diff = dict(
        sorted(found.diff.items(), key=lambda item: item[0].encode("utf-8", "surrogateescape"))
    )
    return found
