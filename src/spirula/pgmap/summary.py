"""PGs, objects and their traffic in a few lines: the `data` and `io` parts of `ceph status`.

Called by monitors (`ceph status`) and managers (`pg stat`). Texts and numbers: upstream
`src/mon/PGMap.cc` (PGMapDigest::print_summary, print_oneline_summary).
"""

from __future__ import annotations

from collections.abc import Iterator

from spirula.pgmap.record import PGMap
from spirula.pgmap.traffic import Traffic, trouble_numbers, trouble_texts
from spirula.printing import Items, as_f32, count_text, size_text
from spirula.types.pg import pg_state_text
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
    shown |= trouble_numbers(total)
    traffic = traffic_of(digest)
    shown.update(traffic.recovery())
    shown.update(traffic.clients())
    shown.update((name, value) for name, value, _ in traffic.cache())
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
    pgs += trouble_texts(total)
    by_count = _by_count(digest)
    width = max((len(str(count)) for count, _ in by_count), default=1)
    pgs += [f"{count:<{width}} {pg_state_text(state)}" for count, state in by_count]
    text = "\n".join(lines) + "\n    pgs:     " + f"\n{_INDENT}".join(pgs)
    text += "\n" if pgs else ""
    traffic = _lines(traffic_of(digest))
    if traffic:
        text += "\n \n  io:\n" + "".join(f"    {kind} {rates}\n" for kind, rates in traffic)
    return text


def _shares(digest: PGMapDigest) -> Iterator[str]:
    for count, what in ((digest.num_pg_unknown, "unknown"), (_inactive(digest), "not active")):
        if count > 0:
            yield f"{_share(count, digest.num_pg) * 100.0:.3f}% pgs {what}"


def states_by_pool(pgmap: PGMap) -> dict[str, object]:
    """How many PGs of each pool are in each state, as modules of managers see it."""
    return {
        "pgs_by_pool_state": [
            {
                "pool_id": pool,
                "pg_state_counts": [
                    {"state_name": pg_state_text(state), "count": count}
                    for state, count in states.items()
                ],
            }
            for pool, states in sorted(pgmap.num_pg_by_pool_state.items())
        ]
    }


def traffic_of(digest: PGMapDigest) -> Traffic:
    """What goes on in all pools together."""
    return Traffic.of(digest.pg_sum_delta.stats.sum, float(digest.stamp_delta))


def _lines(traffic: Traffic) -> list[tuple[str, str]]:
    """Who causes it, and how much it is, in print."""
    texts = (
        ("client:  ", traffic.clients_text()),
        ("recovery:", traffic.recovery_text()),
        ("cache:   ", traffic.cache_text()),
    )
    return [(who, text) for who, text in texts if text]


def one_line(digest: PGMapDigest) -> str:
    """`pg stat`."""
    total, space = digest.pg_sum.stats.sum, digest.osd_sum.statfs
    states = ", ".join(
        f"{count} {pg_state_text(state)}" for state, count in digest.num_pg_by_state.items()
    )
    text = (
        f"{digest.num_pg} pgs: {states}; {size_text(total.num_bytes)} data,"
        f" {size_text(space.used)} used,"
        f" {size_text(space.available)} / {size_text(space.total)} avail"
    )
    traffic = traffic_of(digest)
    clients = traffic.clients()
    if clients:
        text += "; "
        if "read_bytes_sec" in clients:
            text += f"{size_text(clients['read_bytes_sec'])}/s rd, "
        if "write_bytes_sec" in clients:
            text += f"{size_text(clients['write_bytes_sec'])}/s wr, "
        text += f"{count_text(traffic.operations())} op/s"
    text += "".join(f"; {trouble}" for trouble in trouble_texts(total))
    recovery = traffic.recovery_text()
    return f"{text}; {recovery} recovering" if recovery else text


def one_line_document(digest: PGMapDigest) -> dict[str, object]:
    """`pg stat` in other formats."""
    total, space = digest.pg_sum.stats.sum, digest.osd_sum.statfs
    states = [
        {"name": pg_state_text(state), "num": count}
        for state, count in digest.num_pg_by_state.items()
    ]
    shown: dict[str, object] = {
        "num_pg_by_state": Items("state", states),
        "num_pgs": digest.num_pg,
        "num_bytes": total.num_bytes,
        "total_bytes": space.total,
        "total_avail_bytes": space.available,
        "total_used_bytes": space.used,
        "total_used_raw_bytes": space.used_raw,
    }
    traffic = traffic_of(digest)
    clients = traffic.clients()
    if clients:
        shown |= {name: clients[name] for name in clients if name.endswith("bytes_sec")}
        shown["io_sec"] = traffic.operations()
    return shown | trouble_numbers(total) | traffic.recovery()
