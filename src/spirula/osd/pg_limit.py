"""How many PGs an OSD takes: one more than that is withheld until another is gone.

The bound is mon_max_pg_per_osd times osd_max_pg_per_osd_hard_ratio. Splits are not held back, as
upstream's. When there is room again, monitors are asked for PGs of new pools anew, and for each PG
that a peer wanted here, a short change of its places has that peer ask again. Called by `pgs`.
Upstream: `src/osd/OSD.cc` (maybe_wait_for_max_pg, resume_creating_pg).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from spirula.osd import reports
from spirula.osd.state import OSD, subscribe_maps
from spirula.types.pg import SPGId


@dataclass(slots=True, eq=False)
class Withheld:
    """PGs that should be here and are not made, for there are too many."""

    osd: OSD
    from_monitors: set[SPGId] = field(default_factory=set)
    from_peers: set[SPGId] = field(default_factory=set)

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.from_monitors | self.from_peers)

    def most(self) -> int:
        """How many PGs the OSD takes."""
        config = self.osd.config
        ratio = config.get_float("osd_max_pg_per_osd_hard_ratio")
        return int(config.get_int("mon_max_pg_per_osd") * ratio)

    def holds(self, pgid: SPGId, *, from_monitors: bool) -> bool:
        """Whether a PG that is asked for is not to be made now; it is remembered then."""
        count, most = self.osd.pgs.count(), self.most()
        if count < most:
            return False
        (self.from_monitors if from_monitors else self.from_peers).add(pgid)
        self.osd.log(1, f"withhold creation of pg {pgid}: {count} >= {most}")
        return True

    def on_map(self) -> None:
        """Those that belong elsewhere now are not missed here."""
        pgs = self.osd.pgs
        for withheld in (self.from_monitors, self.from_peers):
            withheld -= {pgid for pgid in withheld if not pgs.is_ours(pgid.pgid)}

    def resume(self) -> None:
        """A PG is gone: others may be made."""
        osd = self.osd
        spare = self.most() - osd.pgs.count()
        if spare <= 0 or not self.count:
            return
        asks = bool(self.from_monitors)
        spare -= len(self.from_monitors)
        self.from_monitors.clear()
        for pgid in sorted(self.from_peers, key=lambda each: (each.pgid.pool, each.pgid.seed)):
            if spare <= 0:
                break
            spare -= 1
            self.from_peers.discard(pgid)
            acting = osd.maps.mappings.get(pgid.pgid).acting
            twisted = acting[:1] if len(acting) > 1 else [*acting, -1]
            reports.want_pg_temp(osd, pgid.pgid, twisted, forced=True)
        reports.send_pg_temp(osd)
        if asks:
            osd.monitors.subscribe("osd_pg_creates", 0)
        if self.count:
            # a map may delete more of what is here
            subscribe_maps(osd, osd.maps.epoch + 1, force=True)
