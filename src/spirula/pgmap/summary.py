"""PGs, objects and their traffic in a few lines: the `data` and `io` parts of `ceph status`.

Called by `mon.commands.status`. Texts and numbers: upstream `src/mon/PGMap.cc`
(PGMapDigest::print_summary).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

from spirula.printing import Items, as_f32, count_text, size_text
from spirula.types.pg import pg_state_text
from spirula.types.pg_stats import ObjectStatSum
from spirula.types.pgmap import PGMapDigest

_INDENT = " " * 13


def _by_count(digest: PGMapDigest) -> list[tuple[int, int]]:
    """(count, state), the most frequent state first; equal ones as the manager sent them."""
    pairs = ((count, state) for state, count in digest.num_pg_by_state.items())
    return sorted(pairs, key=lambda pair: -pair[0])


def _inactive(digest: PGMapDigest) -> int:
    return digest.num_pg - digest.num_pg_active - digest.num_pg_unknown


def _share(part: int, whole: int) -> float:
    return as_f32(part / whole) if whole else 0.0


def document(digest: PGMapDigest) -> dict[str, object]:
    """`pgmap` of `ceph status -f json`."""
    total, space = digest.pg_sum.stats.sum, digest.osd_sum.statfs
    states = [
        {"state_name": pg_state_text(state), "count": count} for count, state in _by_count(digest)
    ]
    shown: dict[str, object] = {
        "pgs_by_state": Items("pgs_by_state_element", states),
        "num_pgs": digest.num_pg,
        "num_pools": len(digest.pg_pool_sum),
        "num_objects": total.num_objects,
        "data_bytes": total.num_bytes,
        "bytes_used": space.used_raw,
        "bytes_avail": space.available,
        "bytes_total": space.total,
    }
    if digest.num_pg_unknown > 0:
        shown["unknown_pgs_ratio"] = _share(digest.num_pg_unknown, digest.num_pg)
    if _inactive(digest) > 0:
        shown["inactive_pgs_ratio"] = _share(_inactive(digest), digest.num_pg)
    for name, part, whole in _troubled(total):
        shown[f"{name}_objects"] = part
        shown[f"{name}_total"] = whole
        shown[f"{name}_ratio"] = part / whole * 100.0 / 100.0
    delta = _delta(digest)
    shown.update(_recovery_rates(digest, delta))
    shown.update(_client_rates(digest, delta))
    shown.update((name, value) for name, value, _ in _cache_rates(digest, delta))
    return shown


def plain(digest: PGMapDigest) -> str:
    """`data` of `ceph status`, and `io` where there is any."""
    total, space = digest.pg_sum.stats.sum, digest.osd_sum.statfs
    free = f"{size_text(space.available)} / {size_text(space.total)} avail"
    lines = [
        f"    pools:   {len(digest.pg_pool_sum)} pools, {digest.num_pg} pgs",
        f"    objects: {count_text(total.num_objects)} objects, {size_text(total.num_bytes)}",
        f"    usage:   {size_text(space.used_raw)} used, {free}",
    ]
    pgs = [*_shares(digest)]
    pgs += [
        f"{part}/{whole} objects {name} ({part / whole * 100.0:.3f}%)"
        for name, part, whole in _troubled(total)
    ]
    by_count = _by_count(digest)
    width = max((len(str(count)) for count, _ in by_count), default=1)
    pgs += [f"{count:<{width}} {pg_state_text(state)}" for count, state in by_count]
    text = "\n".join(lines) + "\n    pgs:     " + f"\n{_INDENT}".join(pgs)
    text += "\n" if pgs else ""
    traffic = _traffic(digest)
    if traffic:
        text += "\n \n  io:\n" + "".join(f"    {kind} {rates}\n" for kind, rates in traffic)
    return text


def _shares(digest: PGMapDigest) -> Iterator[str]:
    for count, what in ((digest.num_pg_unknown, "unknown"), (_inactive(digest), "not active")):
        if count > 0:
            yield f"{_share(count, digest.num_pg) * 100.0:.3f}% pgs {what}"


def _troubled(total: ObjectStatSum) -> list[tuple[str, int, int]]:
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


def _delta(digest: PGMapDigest) -> ObjectStatSum:
    """What has changed of late; what went backwards did not happen."""
    delta = copy.copy(digest.pg_sum_delta.stats.sum)
    delta.floor(0)
    return delta


def _rate(digest: PGMapDigest, value: int) -> int:
    seconds = float(digest.stamp_delta)
    return int(value / seconds) if seconds else 0


def _recovery_rates(digest: PGMapDigest, delta: ObjectStatSum) -> dict[str, int]:
    done = (
        ("objects", delta.num_objects_recovered),
        ("bytes", delta.num_bytes_recovered),
        ("keys", delta.num_keys_recovered),
    )
    if not any(value for _, value in done):
        return {}
    rates = {f"recovering_{what}_per_sec": _rate(digest, value) for what, value in done}
    return rates | {f"num_{what}_recovered": value for what, value in done}


def _client_rates(digest: PGMapDigest, delta: ObjectStatSum) -> dict[str, int]:
    if not (delta.num_rd or delta.num_wr):
        return {}
    rates = {}
    if delta.num_rd:
        rates["read_bytes_sec"] = _rate(digest, delta.num_rd_kb << 10)
    if delta.num_wr:
        rates["write_bytes_sec"] = _rate(digest, delta.num_wr_kb << 10)
    rates["read_op_per_sec"] = _rate(digest, delta.num_rd)
    rates["write_op_per_sec"] = _rate(digest, delta.num_wr)
    return rates


def _cache_rates(digest: PGMapDigest, delta: ObjectStatSum) -> list[tuple[str, int, str]]:
    """Name, number and text of what cache tiers do."""
    found: list[tuple[str, int, str]] = []
    if delta.num_flush:
        rate = _rate(digest, delta.num_flush_kb << 10)
        found.append(("flush_bytes_sec", rate, f"{size_text(rate)}/s flush"))
    if delta.num_evict:
        rate = _rate(digest, delta.num_evict_kb << 10)
        found.append(("evict_bytes_sec", rate, f"{size_text(rate)}/s evict"))
    if delta.num_promote:
        rate = _rate(digest, delta.num_promote)
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


def _traffic(digest: PGMapDigest) -> list[tuple[str, str]]:
    """Who causes it, and how much it is, in print."""
    lines = []
    delta = _delta(digest)
    client = _client_rates(digest, delta)
    if client:
        parts = []
        if "read_bytes_sec" in client:
            parts.append(f"{size_text(client['read_bytes_sec'])}/s rd")
        if "write_bytes_sec" in client:
            parts.append(f"{size_text(client['write_bytes_sec'])}/s wr")
        parts.append(f"{count_text(client['read_op_per_sec'])} op/s rd")
        parts.append(f"{count_text(client['write_op_per_sec'])} op/s wr")
        lines.append(("client:  ", ", ".join(parts)))
    recovery = _recovery_rates(digest, delta)
    if recovery:
        parts = [f"{size_text(recovery['recovering_bytes_per_sec'])}/s"]
        if recovery["num_keys_recovered"]:
            parts.append(f"{count_text(recovery['recovering_keys_per_sec'])} keys/s")
        parts.append(f"{count_text(recovery['recovering_objects_per_sec'])} objects/s")
        lines.append(("recovery:", ", ".join(parts)))
    cache = _cache_rates(digest, delta)
    if cache:
        lines.append(("cache:   ", ", ".join(text for _, _, text in cache)))
    return lines
