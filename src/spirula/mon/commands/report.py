"""The `report` command: all that a monitor knows of the cluster in one document, for bug reports.

Sections and their order are upstream's (dump_info of each service in `src/mon/*Monitor.cc`).
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from spirula.conf import version
from spirula.crush import dump as crush_dump
from spirula.maps.dump.document import osdmap_document
from spirula.mon.services.monmap.show import document as monmap_document
from spirula.mon.services.osdmap import metadata as osd_metadata
from spirula.mon.store import MONITOR
from spirula.pgmap import services as service_show
from spirula.pgmap.show import osd_document, pool_document
from spirula.types.base import UTime
from spirula.types.pg import pg_state_text
from spirula.types.pgmap import PGMapDigest

if TYPE_CHECKING:
    from spirula.mon.monitor import Monitor

FINGERPRINT = "cluster_fingerprint"
"""Key, beside the monitor's own, of a random number that tells clusters apart."""

Document = dict[str, object]


def report(monitor: Monitor, title: str) -> Document:
    """The whole document."""
    fingerprint = monitor.store.get(MONITOR, FINGERPRINT)
    return {
        "cluster_fingerprint": str(uuid.UUID(bytes=fingerprint)) if fingerprint else "",
        "version": version.CEPH_VERSION,
        "commit": version.REVISION,
        "timestamp": str(UTime.at(monitor.wall())),
        "tag": title,
        "health": monitor.health_service.document(detail=True)["health"],
        **_monmap(monitor),
        **_osdmap(monitor),
        "crushmap": crush_dump.dump(monitor.osdmap.osdmap.crush),
        "fsmap": monitor.fsmap.whole_document(),
        "mdsmap_first_committed": monitor.fsmap.first_committed,
        "mdsmap_last_committed": monitor.fsmap.last_committed,
        "auth": {
            "first_committed": monitor.auth.first_committed,
            "last_committed": monitor.auth.last_committed,
            "num_secrets": len(monitor.auth.key_server.data.secrets),
        },
        **digest_document(monitor.mgrstat.digest),
        "servicemap": service_show.document(monitor.mgrstat.service_map),
        "paxos": _paxos(monitor),
    }


def _monmap(monitor: Monitor) -> Document:
    service = monitor.monmap_service
    return {
        "monmap_first_committed": service.first_committed,
        "monmap_last_committed": service.last_committed,
        "monmap": monmap_document(monitor.monmap),
        "quorum": sorted(monitor.member.state.quorum),
    }


def _osdmap(monitor: Monitor) -> Document:
    service = monitor.osdmap
    osdmap = service.osdmap
    existing = [osd for osd, state in enumerate(osdmap.osd_state) if state]
    return {
        "osdmap": osdmap_document(osdmap),
        "osd_metadata": [
            {"id": osd, **dict(sorted(osd_metadata.known(monitor.store, osd).items()))}
            for osd in existing
        ],
        "osdmap_clean_epochs": {
            "min_last_epoch_clean": service.min_last_epoch_clean(),
            "last_epoch_clean": {"per_pool": service.last_epoch_clean.document()},
            "osd_epochs": [
                {"id": osd, "epoch": epoch} for osd, epoch in sorted(service.osd_epochs.items())
            ],
        },
        "osdmap_first_committed": service.first_committed,
        "osdmap_last_committed": service.last_committed,
    }


def digest_document(digest: PGMapDigest) -> Document:
    """What the manager last told of PGs and OSDs (upstream PGMapDigest::dump)."""
    return {
        "num_pg": digest.num_pg,
        "num_pg_active": digest.num_pg_active,
        "num_pg_unknown": digest.num_pg_unknown,
        "num_osd": digest.num_osd,
        "pool_sum": pool_document(digest.pg_sum),
        "osd_sum": osd_document(digest.osd_sum),
        "osd_sum_by_class": {
            name: osd_document(stat) for name, stat in sorted(digest.osd_sum_by_class.items())
        },
        "pool_stats": [
            {
                "poolid": pool,
                "num_pg": digest.num_pg_by_pool.get(pool, 0),
                **pool_document(stat),
            }
            for pool, stat in sorted(digest.pg_pool_sum.items())
        ],
        "osd_stats": [{"osd": osd, "seq": seq} for osd, seq in enumerate(digest.osd_last_seq)],
        "num_pg_by_state": [
            {"state": pg_state_text(state), "num": count}
            for state, count in digest.num_pg_by_state.items()
        ],
        "num_pg_by_osd": [
            {
                "osd": osd,
                "num_primary_pg": count.primary,
                "num_acting_pg": count.acting,
                "num_up_not_acting_pg": count.up_not_acting,
            }
            for osd, count in digest.num_pg_by_osd.items()
        ],
        "purged_snaps": [
            {"pool": pool, "purged_snaps": snaps.plain()}
            for pool, snaps in sorted(digest.purged_snaps.items())
        ],
    }


def _paxos(monitor: Monitor) -> Document:
    paxos = monitor.member.paxos
    return {
        "first_committed": paxos.first_committed,
        "last_committed": paxos.last_committed,
        "last_pn": paxos.last_pn,
        "accepted_pn": paxos.accepted_pn,
    }
