"""Families of metrics and their text (Prometheus' exposition format 0.0.4)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_BAD = re.compile(r"[^a-zA-Z0-9_:]")
_TO_UNDERSCORE = re.compile(r"[./\s]|::")
PREFIX = "ceph_"


def metric_name(path: str) -> str:
    """A metric's name from what it is called in the cluster: `osd.op_w` becomes `ceph_osd_op_w`."""
    name = _TO_UNDERSCORE.sub("_", path).replace("+", "_plus")
    name = f"{name[:-1]}_minus" if name.endswith("-") else name
    return PREFIX + _BAD.sub("_", name)


@dataclass(slots=True, eq=False)
class Family:
    """Metrics of one name: what it is called in the cluster, its kind, and values by labels.

    `kind` is counter, gauge or untyped. `values` are by the labels' values, in their order.
    """

    name: str
    kind: str
    help: str
    labels: tuple[str, ...] = ()
    values: dict[tuple[str, ...], float] = field(default_factory=dict)

    def set(self, value: float, *labels: object) -> None:
        """The value for these labels; one before is gone."""
        self.values[tuple(map(str, labels))] = value

    def text(self) -> str:
        """The family in print."""
        name = metric_name(self.name)
        lines = [f"# HELP {name} {_help(self.help)}", f"# TYPE {name} {self.kind}"]
        for labels, value in self.values.items():
            pairs = ",".join(
                f'{key}="{_label(text)}"' for key, text in zip(self.labels, labels, strict=True)
            )
            lines.append(
                f"{name}{{{pairs}}} {number(value)}" if pairs else f"{name} {number(value)}"
            )
        return "\n".join(lines) + "\n"


def _help(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _label(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def number(value: float) -> str:
    """A value as Go reads it."""
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else repr(float(value))


def exposition(families: Iterable[Family]) -> str:
    """All families in print; those of one name are one."""
    merged: dict[str, Family] = {}
    for family in families:
        first = merged.setdefault(metric_name(family.name), family)
        if first is not family and first.labels == family.labels:
            first.values.update(family.values)
    return "".join(family.text() for family in merged.values())
