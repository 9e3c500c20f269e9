"""The OSD's performance counters, by upstream's names (`perf dump`, reports to the manager).

What counts keeps the counter and adds to its value. Names and priorities: upstream
`src/osd/osd_perf_counters.cc`; counters of cache tiers and of checksum caches are not there.
"""

from __future__ import annotations

from collections.abc import Mapping

from spirula.conf.perf import (
    U64,
    Axis,
    Histogram,
    PerfCollection,
    PerfCounters,
    Priority,
    TimeAvg,
    Unit,
)
from spirula.types.osd_op import RequestFlag

_READ, _WRITE = int(RequestFlag.READ), int(RequestFlag.WRITE)
_USEFUL, _CRITICAL, _INTERESTING = Priority.USEFUL, Priority.CRITICAL, Priority.INTERESTING
_LATENCY_PRIORITY = 9
_LATENCY = Axis("Latency (usec)", 0, 100000, 32, log2=True)
_SIZE = Axis("Request size (bytes)", 0, 512, 32, log2=True)


class Kind:
    """Counters of one kind of client operations: reads, writes or both at once."""

    __slots__ = ("count", "histogram", "in_bytes", "latency", "out_bytes")

    def __init__(self, osd: PerfCounters, short: str, what: str, told: tuple[str, str]) -> None:
        add = osd.u64_counter
        self.count: U64 = add(f"op_{short}", f"Client {what} operations", priority=_USEFUL)
        self.in_bytes: U64 | None = None
        self.out_bytes: U64 | None = None
        written, read = told
        if written:
            self.in_bytes = add(f"op_{short}_in_bytes", written, "", _USEFUL, Unit.BYTES)
        if read:
            self.out_bytes = add(f"op_{short}_out_bytes", read, "", _USEFUL, Unit.BYTES)
        self.latency: TimeAvg = osd.time_avg(
            f"op_{short}_latency",
            f"Latency of {what} operation (including queue time)",
            priority=_USEFUL,
        )
        self.histogram: Histogram | None = None


class Moved:
    """Counters of what recovery and backfill move."""

    __slots__ = ("pull", "push", "push_out_bytes", "recovery_bytes", "recovery_ops")

    def __init__(self, osd: PerfCounters) -> None:
        add = osd.u64_counter
        self.pull = add("pull", "Pull requests sent")
        self.push = add("push", "Push messages sent")
        self.push_out_bytes = add("push_out_bytes", "Pushed size", unit=Unit.BYTES)
        self.recovery_ops = add("recovery_ops", "Started recovery operations", "rop", _INTERESTING)
        self.recovery_bytes = add("recovery_bytes", "recovery bytes", "rbt", _INTERESTING)


class StorePerf:
    """Counters of logger `bluestore`, of those that it has in upstream; the store counts."""

    def __init__(self, collection: PerfCollection) -> None:
        store = collection.create("bluestore")
        add = store.u64_counter
        self.success = add("compress_success_count", "Sum for beneficial compress ops")
        self.rejected = add(
            "compress_rejected_count", "Sum for compress ops rejected due to low net gain of space"
        )
        self.onodes = store.u64("bluestore_onodes", "Number of onodes in cache")
        self.read_eio = add(
            "bluestore_read_eio", "Read EIO errors propagated to high level callers"
        )

    def update(self, counted: Mapping[str, int]) -> None:
        """Show what the store says (`ObjectStore.counters`)."""
        self.success.value = counted.get("compress_success_count", 0)
        self.rejected.value = counted.get("compress_rejected_count", 0)
        self.onodes.value = counted.get("onodes", 0)
        self.read_eio.value = counted.get("read_errors", 0) + counted.get("checksum_errors", 0)


class OSDPerf:
    """All counters of logger `osd`, and those of its store."""

    def __init__(self, collection: PerfCollection) -> None:
        self.store = StorePerf(collection)
        osd = self.osd = collection.create("osd")
        gauge, count, mean = osd.u64, osd.u64_counter, osd.time_avg
        self.op_wip = gauge(
            "op_wip", "Replication operations currently being processed (primary)", "", _USEFUL
        )
        self.op = count("op", "Client operations", "ops", _CRITICAL)
        self.op_in_bytes = count(
            "op_in_bytes", "Client operations total write size", "wr", _INTERESTING, Unit.BYTES
        )
        self.op_out_bytes = count(
            "op_out_bytes", "Client operations total read size", "rd", _INTERESTING, Unit.BYTES
        )
        self.op_latency = mean(
            "op_latency",
            "Latency of client operations (including queue time)",
            "l",
            _LATENCY_PRIORITY,
        )
        self.r = Kind(osd, "r", "read", ("", "Client data read"))
        self.r.histogram = osd.histogram(
            "op_r_latency_out_bytes_histogram",
            _LATENCY,
            _SIZE,
            "Histogram of operation latency (including queue time) + data read",
        )
        self.w = Kind(osd, "w", "write", ("Client data written", ""))
        self.w.histogram = osd.histogram(
            "op_w_latency_in_bytes_histogram",
            _LATENCY,
            _SIZE,
            "Histogram of operation latency (including queue time) + data written",
        )
        self.rw = Kind(
            osd,
            "rw",
            "read-modify-write",
            (
                "Client read-modify-write operations write in",
                "Client read-modify-write operations read out ",
            ),
        )
        self.subop = count("subop", "Suboperations")
        self.subop_in_bytes = count("subop_in_bytes", "Suboperations total size", unit=Unit.BYTES)
        self.subop_latency = mean("subop_latency", "Suboperations latency")
        self.subop_w = count("subop_w", "Replicated writes")
        self.subop_w_in_bytes = count(
            "subop_w_in_bytes", "Replicated written data size", unit=Unit.BYTES
        )
        self.subop_w_latency = mean("subop_w_latency", "Replicated writes latency")
        self.moved = Moved(osd)
        self.loadavg = gauge("loadavg", "CPU load")
        self.numpg = gauge("numpg", "Placement groups", "pgs", _USEFUL)
        self.numpg_primary = gauge(
            "numpg_primary", "Placement groups for which this osd is primary"
        )
        self.numpg_replica = gauge(
            "numpg_replica", "Placement groups for which this osd is replica"
        )
        self.numpg_stray = gauge(
            "numpg_stray", "Placement groups ready to be deleted from this osd"
        )
        self.heartbeat_to_peers = gauge("heartbeat_to_peers", "Heartbeat (ping) peers we send to")
        self.map_messages = count("map_messages", "OSD map messages")
        self.map_message_epochs = count("map_message_epochs", "OSD map epochs")
        self.map_message_epoch_dups = count("map_message_epoch_dups", "OSD map duplicates")
        self.messages_delayed_for_map = count(
            "messages_delayed_for_map", "Operations waiting for OSD map"
        )
        self.stat_bytes = gauge("stat_bytes", "OSD size", "size", _USEFUL, Unit.BYTES)
        self.stat_bytes_used = gauge("stat_bytes_used", "Used space", "used", _USEFUL, Unit.BYTES)
        self.stat_bytes_avail = gauge("stat_bytes_avail", "Available space", unit=Unit.BYTES)
        self.copyfrom = count("copyfrom", 'Rados "copy-from" operations')
        self.object_ctx_cache_hit = count("object_ctx_cache_hit", "Object context cache hits")
        self.object_ctx_cache_total = count(
            "object_ctx_cache_total", "Object context cache lookups"
        )

    def count_op(self, flags: int, written: int, read: int, took_s: float) -> None:
        """A client's request is done: bytes in and out, and how long it took."""
        self.op.value += 1
        latency = self.op_latency
        nanoseconds = int(took_s * 1e9)
        latency.count += 1
        latency.nanoseconds += nanoseconds
        if flags & _WRITE:
            kind = self.rw if flags & _READ else self.w
            self.op_in_bytes.value += written
        else:
            kind = self.r
        if read:
            self.op_out_bytes.value += read
            if kind.out_bytes is not None:
                kind.out_bytes.value += read
        if kind.in_bytes is not None:
            kind.in_bytes.value += written
        kind.count.value += 1
        kind.latency.count += 1
        kind.latency.nanoseconds += nanoseconds
        if kind.histogram is not None:
            kind.histogram.inc(nanoseconds // 1000, written or read)
