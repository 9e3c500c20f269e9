"""Perf counters of daemons as metrics.

A counter's path is its metric's name, and what a path tells of a zone or an image becomes a label.
Averages are two metrics, of sums and of counts; histograms have none. Upstream:
`src/pybind/mgr/mgr_module.py`, `src/pybind/mgr/prometheus`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from spirula.mgr_modules.prometheus.families import Family
from spirula.types.service import PerfCounterKind, PerfCounterType

KINDS = ("mds", "mon", "osd", "rbd-mirror", "rgw", "tcmu-runner")
"""Daemons whose counters are shown."""
_NANOSECONDS = 1_000_000_000
_IMAGE = re.compile(r"rbd_mirror_image_([^/]+)/(?:([^/]+)/)?(.*)\.(replay(?:_bytes|_latency)?)$")
_ZONE = re.compile(r"^data-sync-from-(.*)\.")

Latest = tuple[PerfCounterType, Sequence[float]]
"""A counter's declaration, and its last value: time and number, or time, sum and count."""


def counters(latest: Mapping[str, Mapping[str, Latest]]) -> Iterator[Family]:
    """The counters of all daemons, by daemon (`osd.3`) and path."""
    found: dict[str, Family] = {}
    for daemon, values in latest.items():
        for path, (declared, value) in values.items():
            _add(found, daemon, path, declared, value)
    yield from found.values()
    yield from _with_zones(found)


def _add(
    found: dict[str, Family],
    daemon: str,
    path: str,
    declared: PerfCounterType,
    value: Sequence[float],
) -> None:
    kind = declared.type & ~(PerfCounterKind.TIME | PerfCounterKind.U64)
    types = {0: "gauge", PerfCounterKind.LONGRUNAVG: "counter", PerfCounterKind.COUNTER: "counter"}
    if kind not in types:
        return
    name, labels = labels_of(daemon, path)
    number = value[1] if len(value) > 1 else 0.0
    if declared.type & PerfCounterKind.TIME:
        number /= _NANOSECONDS
    told = declared.description
    if kind == PerfCounterKind.LONGRUNAVG:
        count = value[2] if len(value) > 2 else 0
        _set(found, f"{name}_sum", "counter", f"{told} Total", labels, number)
        _set(found, f"{name}_count", "counter", f"{told} Count", labels, count)
    else:
        _set(found, name, types[kind], told, labels, number)


def _set(
    found: dict[str, Family],
    name: str,
    kind: str,
    told: str,
    labels: dict[str, str],
    value: float,
) -> None:
    family = found.get(name)
    if family is None:
        family = found[name] = Family(name, kind, told, tuple(labels))
    if family.labels == tuple(labels):
        family.set(value, *labels.values())


def labels_of(daemon: str, path: str) -> tuple[str, dict[str, str]]:
    """A counter's name without what becomes labels, and the labels."""
    kind, _, name = daemon.partition(".")
    if kind == "rgw":
        return path, {"instance_id": name}
    labels = {"ceph_daemon": daemon}
    image = _IMAGE.match(path) if kind == "rbd-mirror" else None
    if image is None:
        return path, labels
    pool, namespace, name, what = image.groups()
    labels |= {"pool": pool, "namespace": namespace or "", "image": name}
    return f"rbd_mirror_image_{what}", labels


def _with_zones(found: Mapping[str, Family]) -> Iterator[Family]:
    """Counters of gateways that follow another zone once more, with the zone as a label."""
    made: dict[str, Family] = {}
    for name, family in found.items():
        zone = _ZONE.search(name)
        if zone is None:
            continue
        general = re.sub(r"from-([^.]*)", "from-zone", name)
        labels = (*family.labels, "source_zone")
        one = made.setdefault(general, Family(general, family.kind, family.help, labels))
        for values, number in family.values.items():
            one.set(number, *values, zone.group(1))
    yield from made.values()
