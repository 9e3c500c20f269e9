"""Writing a change: the incremental, the full map after it, and what stands beside the map.

The full map goes into the same transaction, so that all monitors have the very bytes whose checksum
the incremental carries. Called by the service. Upstream: `OSDMonitor::encode_pending`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from spirula.maps.apply import apply_incremental
from spirula.maps.clean import check_pg_upmaps, clean_pg_upmaps, clean_temps, upmap_pgs
from spirula.maps.osdmap import Incremental, OSDMap
from spirula.maps.state import OSDState
from spirula.mon.services.osdmap import encoding, finish, metadata, pruning
from spirula.mon.services.osdmap.health import check_map
from spirula.mon.services.osdmap.osds.failure import laggy_threshold
from spirula.mon.services.osdmap.pgs import creating
from spirula.mon.services.osdmap.pgs.priming import prime_pg_temp
from spirula.mon.services.osdmap.snaps import purged as purged_snaps
from spirula.mon.store import Transaction
from spirula.types.creating_pgs import CreatingPGs

if TYPE_CHECKING:
    from spirula.mon.services.osdmap.service import OSDMapService

MKFS, MKFS_KEY = "mkfs", "osdmap"


class Encoded(NamedTuple):
    """A change as it was proposed, the map that it makes, and what is to be created then."""

    inc: bytes
    osdmap: OSDMap
    creating_bytes: bytes
    creating: CreatingPGs


def encode_pending(service: OSDMapService, transaction: Transaction) -> Encoded:
    """Write what is pending into a transaction."""
    inc, osdmap, config = service.pending, service.osdmap, service.monitor.config
    first, last = service.first_committed, service.last_committed
    if pruning.should_prune(config, service.manifest, first, last):
        pruning.encode_prune(transaction, config, service.NAME, service.manifest, first, last)
    inc.modified = finish.stamp(service)
    finish.propagate_snaps_to_tiers(osdmap, inc)
    finish.settle_states(osdmap, inc)
    after = apply_incremental(osdmap, inc)
    if config.get_bool("mon_osd_prime_pg_temp"):
        prime_pg_temp(osdmap, after, inc, service.creating.pgs)
    clean_temps(osdmap, after, inc)
    _clean_upmaps(after, inc)
    making = creating.next_creating(
        service.creating,
        service.pending_created_pgs,
        osdmap,
        inc,
        after,
        config.get_int("mon_osd_max_creating_pgs"),
        service.creating_places,
    )
    service.pending_created_pgs.clear()
    making_bytes = making.encode()
    transaction.put(creating.PREFIX, creating.KEY, making_bytes)
    finish.mark_created_pools(inc, after, making)
    finish.mark_full_pools(inc, after)
    finish.settle_releases(service, after, making, transaction)
    finish.forget_laggy(osdmap, inc, laggy_threshold(config))

    after = apply_incremental(osdmap, inc)
    features = encoding.encoding_features(after)
    full = after.encode(features | encoding.RESERVED)
    inc.full_crc = after.crc
    inc.encode_features = features
    encoded = inc.encode(features | encoding.RESERVED)
    service.put_full(transaction, inc.epoch, full)
    service.put_version(transaction, inc.epoch, encoded)
    if inc.epoch == 1:
        transaction.erase(MKFS, MKFS_KEY)
    _encode_metadata(service, transaction)
    purged_snaps.encode_purged(
        transaction,
        service.monitor.store,
        inc.epoch,
        inc.new_purged_snaps,
        service.pending_pseudo_purged_snaps,
    )
    service.encode_health(transaction, check_map(after, config))
    return Encoded(encoded, after, making_bytes, making)


def _clean_upmaps(after: OSDMap, inc: Incremental) -> None:
    """Drop upmaps that the change makes wrong: of all PGs, or of those alone that it is about."""
    if not after.pg_upmap and not after.pg_upmap_items:
        return
    if (
        inc.crush
        or inc.fullmap
        or inc.new_weight
        or inc.old_pools
        or any(bits & OSDState.EXISTS for bits in inc.new_state.values())
    ):
        pgs = upmap_pgs(after)
    else:
        new = {**inc.new_pg_upmap, **inc.new_pg_upmap_items}
        pgs = [pg for pg in upmap_pgs(after) if pg in new or pg.pool in inc.new_pools]
    if pgs:
        clean_pg_upmaps(after, inc, check_pg_upmaps(after, pgs))


def _encode_metadata(service: OSDMapService, transaction: Transaction) -> None:
    for osd, values in sorted(service.pending_metadata.items()):
        encoded = metadata.Metadata(values).encode()
        transaction.put(metadata.PREFIX, str(osd), encoded)
    for osd in sorted(service.pending_metadata_rm):
        transaction.erase(metadata.PREFIX, str(osd))
