"""Random OSD maps, and random changes of them, for tests that compare two ways to map PGs."""

from __future__ import annotations

import random

from spirula.crush.map import Bucket, BucketAlg, ChooseArg, Rule, RuleOp, Step, Tunables
from spirula.crush.wire import CrushWrapper
from spirula.maps.apply import apply_incremental, pending_incremental
from spirula.maps.osdmap import Incremental, OSDMap
from spirula.maps.state import OSDState, Release
from spirula.types.entity import EntityAddrVec
from spirula.types.pg import NO_OSD, PGId
from spirula.types.pool import PGPool, PoolFlag, PoolType

IN = 0x10000
HOST, RACK, ROOT = 1, 2, 3
JEWEL = Tunables(0, 0, 50, 1, 1, 1, 54, 1)
BOBTAIL = Tunables(0, 0, 50, 1, 0, 0, 22, 0)


def crush_tree(rng: random.Random, osds: int) -> CrushWrapper:
    """Racks of hosts of OSDs, some OSDs left out, with rules of several shapes."""
    crush = CrushWrapper(tunables=rng.choice([JEWEL, JEWEL, JEWEL, BOBTAIL, Tunables()]))
    crush.type_names = {0: "osd", HOST: "host", RACK: "rack", ROOT: "root"}

    def bucket(kind: int, items: list[int], weights: list[int]) -> Bucket:
        number = -1 - len(crush.buckets)
        made = Bucket(number, kind, BucketAlg.STRAW2, 0, sum(weights), items, weights)
        crush.buckets.append(made)
        crush.item_names[number] = f"b{-number}"
        return made

    placed = [osd for osd in range(osds) if rng.random() < 0.95]
    hosts = []
    while placed:
        size = rng.randint(1, 4)
        mine, placed = placed[:size], placed[size:]
        weights = [rng.choice([0, IN // 2, IN, IN, IN, 2 * IN]) for _ in mine]
        hosts.append(bucket(HOST, mine, weights))
    racks = []
    while hosts:
        size = rng.randint(1, 4)
        some, hosts = hosts[:size], hosts[size:]
        racks.append(bucket(RACK, [b.id for b in some], [b.weight for b in some]))
    root = bucket(ROOT, [b.id for b in racks], [b.weight for b in racks])
    for osd in range(osds):
        crush.item_names[osd] = f"osd.{osd}"
    crush.max_devices = osds

    def rule(kind: int, *steps: tuple[int, int, int]) -> None:
        number = len(crush.rules)
        body = [Step(RuleOp.TAKE, root.id), *(Step(*s) for s in steps), Step(RuleOp.EMIT)]
        crush.rules.append(Rule(body, number, kind, 1, 10))
        crush.rule_names[number] = f"r{number}"

    leaf_tries = (RuleOp.SET_CHOOSELEAF_TRIES, 5, 0)
    rule(PoolType.REPLICATED, (RuleOp.CHOOSELEAF_FIRSTN, 0, HOST))
    rule(PoolType.REPLICATED, (RuleOp.CHOOSE_FIRSTN, 0, 0))
    rule(
        PoolType.REPLICATED,
        (RuleOp.CHOOSE_FIRSTN, 2, RACK),
        (RuleOp.CHOOSELEAF_FIRSTN, 2, HOST),
    )
    rule(PoolType.ERASURE, leaf_tries, (RuleOp.CHOOSELEAF_INDEP, 0, HOST))
    rule(PoolType.ERASURE, leaf_tries, (RuleOp.CHOOSE_INDEP, 0, 0))
    rule(PoolType.ERASURE, (RuleOp.CHOOSE_FIRSTN, 0, 0))
    return crush


def pool(rng: random.Random, kind: PoolType) -> PGPool:
    """A pool for one of the rules of `crush_tree`; now and then for a rule that does not fit."""
    erasure = kind is PoolType.ERASURE
    pg_num = rng.randint(1, 14)
    return PGPool(
        type=kind,
        size=rng.randint(1, 6 if erasure else 5),
        min_size=1,
        crush_rule=rng.choice([3, 4, 4, 5] if erasure else [0, 0, 1, 1, 2, 3]),
        object_hash=rng.choice([1, 2, 2, 2]),
        pg_num=pg_num,
        pgp_num=pg_num if rng.random() < 0.7 else rng.randint(1, pg_num),
        flags=int(PoolFlag.HASHPSPOOL) if rng.random() < 0.8 else 0,
    )


def random_map(rng: random.Random) -> OSDMap:
    """A map of 1 to 24 OSDs with four pools, and everything that moves PGs about."""
    osds = rng.randint(1, 24)
    first = pending_incremental(OSDMap())
    first.new_require_osd_release = Release.PACIFIC
    first.new_max_osd = osds
    first.crush = crush_tree(rng, osds).encode()
    for osd in range(osds):
        first.new_state[osd] = int(OSDState.UP)
        first.new_weight[osd] = IN  # which makes it exist, before states are flipped
    for number in range(1, 5):
        kind = PoolType.REPLICATED if number < 4 else PoolType.ERASURE
        first.new_pools[number] = pool(rng, kind)
        first.new_pool_names[number] = f"pool{number}"
    first.new_pool_max = 4
    osdmap = apply_incremental(OSDMap(), first)
    for _ in range(rng.randint(0, 4)):
        osdmap = apply_incremental(osdmap, random_change(rng, osdmap, many=True))
    if rng.random() < 0.3:
        inc = pending_incremental(osdmap)
        _choose_args(rng, osdmap, inc)
        osdmap = apply_incremental(osdmap, inc)
    return osdmap


def some_pg(rng: random.Random, osdmap: OSDMap) -> PGId:
    """A PG of the map; rarely one that its pool does not have."""
    number = rng.choice(sorted(osdmap.pools))
    return PGId(number, rng.randrange(osdmap.pools[number].pg_num + 1))


def some_osds(rng: random.Random, osdmap: OSDMap, pg: PGId) -> list[int]:
    osds = rng.sample(range(osdmap.max_osd), min(osdmap.max_osd, rng.randint(1, 5)))
    if osdmap.pools[pg.pool].is_erasure and rng.random() < 0.5:
        osds[rng.randrange(len(osds))] = NO_OSD
    return osds


def random_change(rng: random.Random, osdmap: OSDMap, *, many: bool = False) -> Incremental:
    """An incremental that changes one thing, or (`many`) a little of everything."""
    inc = pending_incremental(osdmap)
    changes = [
        _weights,
        _states,
        _affinities,
        _upmaps,
        _temps,
        _pools,
        _crush,
        _choose_args,
    ]
    for change in changes[:5] if many else [rng.choice(changes)]:
        change(rng, osdmap, inc)
    return inc


def _few_osds(rng: random.Random, osdmap: OSDMap) -> list[int]:
    return rng.sample(range(osdmap.max_osd), rng.randint(0, min(3, osdmap.max_osd)))


def _weights(rng, osdmap, inc):
    for osd in _few_osds(rng, osdmap):
        inc.new_weight[osd] = rng.choice([0, 0, 1000, IN // 2, 60000, IN, IN])


def _states(rng, osdmap, inc):
    for osd in _few_osds(rng, osdmap):
        if not osdmap.osd_state[osd] & OSDState.EXISTS:
            inc.new_state[osd] = int(OSDState.EXISTS | OSDState.UP)
        else:
            flip = rng.choice([OSDState.UP] * 5 + [OSDState.EXISTS])
            inc.new_state[osd] = int(flip)
            if rng.random() < 0.2:
                inc.new_state[osd] |= int(OSDState.DESTROYED)


def _affinities(rng, osdmap, inc):
    for osd in _few_osds(rng, osdmap):
        inc.new_primary_affinity[osd] = rng.choice([0, 0x4000, 0x8000, 0xF000, IN])


def _upmaps(rng, osdmap, inc):
    for _ in range(rng.randint(0, 8)):
        pg = some_pg(rng, osdmap)
        if rng.random() < 0.5:
            inc.new_pg_upmap[pg] = some_osds(rng, osdmap, pg)
        pg = some_pg(rng, osdmap)
        pairs = [(rng.randrange(osdmap.max_osd), rng.randrange(osdmap.max_osd)) for _ in range(3)]
        inc.new_pg_upmap_items[pg] = pairs
    inc.old_pg_upmap = {pg for pg in osdmap.pg_upmap if rng.random() < 0.3}
    inc.old_pg_upmap_items = {pg for pg in osdmap.pg_upmap_items if rng.random() < 0.3}


def _temps(rng, osdmap, inc):
    for _ in range(rng.randint(0, 8)):
        pg = some_pg(rng, osdmap)
        inc.new_pg_temp[pg] = some_osds(rng, osdmap, pg)
        inc.new_primary_temp[some_pg(rng, osdmap)] = rng.randrange(osdmap.max_osd)
    for pg in osdmap.pg_temp:
        if rng.random() < 0.3:
            inc.new_pg_temp[pg] = []
    for pg in osdmap.primary_temp:
        if rng.random() < 0.3:
            inc.new_primary_temp[pg] = -1


def _pools(rng, osdmap, inc):
    number = rng.choice(sorted(osdmap.pools))
    kind = PoolType(osdmap.pools[number].type)
    if rng.random() < 0.5:
        inc.new_pools[number] = pool(rng, kind)
    else:
        old = PGPool.decode(osdmap.pools[number].encode())
        old.pg_num += rng.randint(0, 8)
        old.pgp_num = rng.choice([old.pgp_num, old.pg_num])
        inc.new_pools[number] = old
    if rng.random() < 0.3:
        inc.new_pools[osdmap.pool_max + 1] = pool(rng, PoolType.REPLICATED)
        inc.new_pool_max = osdmap.pool_max + 1
    if rng.random() < 0.1 and len(osdmap.pools) > 2:
        inc.old_pools = {number}


def _crush(rng, osdmap, inc):
    crush = CrushWrapper.decode(osdmap.crush.encode())
    for bucket in rng.sample(crush.buckets, min(2, len(crush.buckets))):
        if bucket.items:
            bucket.item_weights[rng.randrange(len(bucket.items))] = rng.choice([0, IN, 3 * IN])
    inc.crush = crush.encode()


def _choose_args(rng, osdmap, inc):
    crush = CrushWrapper.decode(osdmap.crush.encode())
    args = {}
    for index, bucket in enumerate(crush.buckets):
        weights = [rng.choice([IN // 2, IN, 2 * IN]) for _ in bucket.items]
        args[index] = ChooseArg([weights])
    crush.choose_args = {rng.choice([-1, 1, 2]): args}
    inc.crush = crush.encode()


def addresses_complete(inc: Incremental) -> Incremental:
    """The same with blank addresses for every OSD that comes up."""
    for osd in inc.new_up_client:
        inc.new_hb_back_up.setdefault(osd, EntityAddrVec())
        inc.new_hb_front_up.setdefault(osd, EntityAddrVec())
    return inc
