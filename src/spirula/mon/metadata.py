"""What monitors tell of themselves and their hosts, kept in the store for all to see.

Each tells it in the election; the leader writes it down. Prefix and format: upstream
`src/mon/Monitor.cc` (update_mon_metadata, load_metadata, count_metadata). Called by
`commands.cluster`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from spirula.denc import Map, Struct, s32, string, struct
from spirula.mon.store import Transaction
from spirula.store.keyvalue import KeyValueStore

PREFIX, KEY = "monitor_store", "last_metadata"


@struct
class MonMetadata(Struct):
    """Metadata by rank."""

    by_rank: Map[s32, Map[string, string]]


def load(store: KeyValueStore) -> dict[int, dict[str, str]]:
    """The metadata of all monitors that were ever in a quorum, by rank."""
    encoded = store.get(PREFIX, KEY)
    return dict(MonMetadata.decode(encoded).by_rank) if encoded else {}


def save(transaction: Transaction, metadata: dict[int, dict[str, str]]) -> None:
    """Write the metadata of all monitors."""
    transaction.put(PREFIX, KEY, MonMetadata(metadata).encode())


def count(metadata: Iterable[Mapping[str, str]], field: str) -> dict[str, int]:
    """How many daemons have which value of a field; `unknown` for those without it."""
    found = Counter(one.get(field, "unknown") for one in metadata)
    return dict(sorted(found.items()))
