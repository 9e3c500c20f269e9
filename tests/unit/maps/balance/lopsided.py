"""OSD maps whose PGs lie unevenly, as real clusters' do: for tests of the balancer."""

from __future__ import annotations

import random

from spirula.crush.map import Bucket, BucketAlg, Rule, RuleOp, Step, Tunables
from spirula.crush.wire import CrushWrapper
from spirula.maps.apply import apply_incremental, pending_incremental
from spirula.maps.osdmap import OSDMap
from spirula.maps.state import OSDState, Release
from spirula.types.pool import PGPool, PoolFlag, PoolType

IN = 0x10000
HOST, RACK, ROOT = 1, 2, 3
JEWEL = Tunables(0, 0, 50, 1, 1, 1, 54, 1)

_LEAF_TRIES = (RuleOp.SET_CHOOSELEAF_TRIES, 5, 0)
RULES: tuple[tuple[PoolType, tuple[tuple[int, int, int], ...]], ...] = (
    (PoolType.REPLICATED, ((RuleOp.CHOOSELEAF_FIRSTN, 0, HOST),)),
    (PoolType.REPLICATED, ((RuleOp.CHOOSE_FIRSTN, 0, 0),)),
    (PoolType.REPLICATED, ((RuleOp.CHOOSELEAF_FIRSTN, 0, RACK),)),
    (
        PoolType.REPLICATED,
        ((RuleOp.CHOOSE_FIRSTN, 2, RACK), (RuleOp.CHOOSELEAF_FIRSTN, 2, HOST)),
    ),
    (PoolType.ERASURE, (_LEAF_TRIES, (RuleOp.CHOOSELEAF_INDEP, 0, HOST))),
)


def lopsided_crush(rng: random.Random, racks: int, hosts: int, osds: int) -> CrushWrapper:
    """Racks of hosts of OSDs, of a few sizes each, with `RULES`."""
    crush = CrushWrapper(tunables=JEWEL)
    crush.type_names = {0: "osd", HOST: "host", RACK: "rack", ROOT: "root"}

    def bucket(kind: int, name: str, items: list[int], weights: list[int]) -> Bucket:
        number = -1 - len(crush.buckets)
        made = Bucket(number, kind, BucketAlg.STRAW2, 0, sum(weights), items, weights)
        crush.buckets.append(made)
        crush.item_names[number] = name
        return made

    next_osd = 0
    all_racks = []
    for rack in range(racks):
        here = []
        for host in range(hosts):
            size = max(1, osds + rng.randint(-1, 1))
            mine = list(range(next_osd, next_osd + size))
            next_osd += size
            weights = [rng.choice([IN, IN, IN, 2 * IN, 3 * IN // 2]) for _ in mine]
            here.append(bucket(HOST, f"host{rack}-{host}", mine, weights))
        all_racks.append(
            bucket(RACK, f"rack{rack}", [b.id for b in here], [b.weight for b in here])
        )
    root = bucket(ROOT, "default", [b.id for b in all_racks], [b.weight for b in all_racks])
    for osd in range(next_osd):
        crush.item_names[osd] = f"osd.{osd}"
    crush.max_devices = next_osd
    for number, (kind, steps) in enumerate(RULES):
        body = [Step(RuleOp.TAKE, root.id), *(Step(*s) for s in steps), Step(RuleOp.EMIT)]
        crush.rules.append(Rule(body, number, kind, 1, 10))
        crush.rule_names[number] = f"rule{number}"
    return crush


def lopsided_map(
    rng: random.Random, *, racks: int = 4, hosts: int = 3, osds: int = 3, pg_num: int = 128
) -> OSDMap:
    """A healthy map with one pool for each of `RULES`; some OSDs are reweighted."""
    crush = lopsided_crush(rng, racks, hosts, osds)
    inc = pending_incremental(OSDMap())
    inc.new_require_osd_release = Release.PACIFIC
    inc.new_require_min_compat_client = Release.LUMINOUS
    inc.new_max_osd = crush.max_devices
    inc.crush = crush.encode()
    for osd in range(crush.max_devices):
        inc.new_state[osd] = int(OSDState.UP)
        inc.new_weight[osd] = rng.choice([IN] * 8 + [IN // 2, 60000])
    for number, (kind, _) in enumerate(RULES):
        inc.new_pools[number + 1] = PGPool(
            type=kind,
            size=4 if number >= 3 else 3,
            min_size=2,
            crush_rule=number,
            object_hash=2,
            pg_num=pg_num,
            pgp_num=pg_num,
            pg_num_target=pg_num,
            pgp_num_target=pg_num,
            pg_num_pending=pg_num,
            flags=int(PoolFlag.HASHPSPOOL),
        )
        inc.new_pool_names[number + 1] = f"pool{number + 1}"
    inc.new_pool_max = len(RULES)
    return apply_incremental(OSDMap(), inc)
