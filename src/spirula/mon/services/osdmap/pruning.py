"""Fewer full maps in the store: of a long history only every so many epochs keep a full map.

While PGs are not clean, old epochs cannot be trimmed. The pinned maps stand in a manifest; a map
between two of them is made again from the pinned one before and the incrementals. Called by the
service for each change and trim. Upstream: `doc/dev/mon-osdmap-prune.rst`, `OSDMonitor::do_prune`.
"""

from __future__ import annotations

from bisect import bisect_right

from spirula.conf.config import Config
from spirula.denc import Set, Struct, struct, u64
from spirula.mon.store import Transaction

KEY = "osdmap_manifest"


@struct(name="osdmap_manifest_t", version=1, compat=1)
class OSDMapManifest(Struct):
    """The epochs whose full maps are kept though others around them are not."""

    pinned: Set[u64]

    @property
    def first(self) -> int:
        """The oldest pinned epoch, 0 if there is none."""
        return min(self.pinned, default=0)

    @property
    def last(self) -> int:
        """The newest pinned epoch, 0 if there is none."""
        return max(self.pinned, default=0)

    def closest_before(self, epoch: int) -> int:
        """The newest pinned epoch up to `epoch`, 0 if there is none."""
        pinned = sorted(self.pinned)
        at = bisect_right(pinned, epoch)
        return pinned[at - 1] if at else 0

    def document(self) -> dict[str, object]:
        """As `ceph report` shows it."""
        return {
            "first_pinned": self.first,
            "last_pinned": self.last,
            "pinned_maps": sorted(self.pinned),
        }


def should_prune(config: Config, manifest: OSDMapManifest, first: int, last: int) -> bool:
    """Whether full maps of the epochs from `first` to `last` should go now."""
    if not config.get_bool("mon_osdmap_full_prune_enabled") or not _is_sane(config):
        return False
    keep = config.get_int("mon_min_osdmap_epochs")
    last_to_pin = last - keep
    return (
        last - first > keep
        and last_to_pin - first >= config.get_int("mon_osdmap_full_prune_min")
        and manifest.last + config.get_int("mon_osdmap_full_prune_interval") <= last_to_pin
    )


def _is_sane(config: Config) -> bool:
    interval = config.get_int("mon_osdmap_full_prune_interval")
    least = config.get_int("mon_osdmap_full_prune_min")
    at_once = config.get_int("mon_osdmap_full_prune_txsize")
    return interval > 1 and least > 0 and interval <= least and at_once >= interval - 1


def encode_prune(
    transaction: Transaction,
    config: Config,
    prefix: str,
    manifest: OSDMapManifest,
    first: int,
    last: int,
) -> None:
    """Pin further epochs, and remove the full maps between them (after `should_prune`)."""
    interval = config.get_int("mon_osdmap_full_prune_interval")
    at_once = config.get_int("mon_osdmap_full_prune_txsize")
    last_to_pin = last - config.get_int("mon_min_osdmap_epochs")
    pinned = set(manifest.pinned) or {first}
    newest, removed = max(pinned), 0
    while removed + interval - 1 <= at_once and newest + interval <= last_to_pin:
        for epoch in range(newest + 1, newest + interval):
            transaction.erase(prefix, f"full_{epoch}")
        removed += interval - 1
        newest += interval
        pinned.add(newest)
    transaction.put(prefix, KEY, OSDMapManifest(pinned).encode())


def encode_trimmed(
    transaction: Transaction, prefix: str, manifest: OSDMapManifest, first: int
) -> None:
    """The epochs before `first` are trimmed, which is kept as a full map itself."""
    pinned = {epoch for epoch in manifest.pinned if epoch > first} | {first}
    if len(pinned) == 1 or max(pinned) == first + 1:
        transaction.erase(prefix, KEY)
    else:
        transaction.put(prefix, KEY, OSDMapManifest(pinned).encode())
