"""Requests that make no sense, sent to a PG on two OSDs: an errno, and everything goes on.

Codes, arguments, lengths, flags, snapshots, names and epochs are random; some are near to what
is right. Afterwards no lock is held, nothing waits but for a map, and both OSDs have the same.
"""

from __future__ import annotations

import random

from spirula.errors import WireError
from spirula.messages.osd_op import MOSDOp
from spirula.osd.ops.context import LockKind
from spirula.types.hobject import NOSNAP, SNAPDIR
from spirula.types.osd_op import OpCode, OSDOp, RequestFlag
from spirula.types.pg import PGId, SPGId
from tests.unit.osd.pg.harness import Client, Cluster, crossed, object_of, read, write_full
from tests.unit.osd.pg.test_failures import check_alike

_NAMES = ["a", "b", "c", "", "x" * 5000, "\udcff\udc80", "a\0b"]
_NUMBERS = [0, 1, 4096, 1 << 31, (1 << 32) - 1, 1 << 63, (1 << 64) - 1]
_CODES = [int(code) for code in OpCode]
_COPIES = {OpCode.COPY_FROM, OpCode.COPY_FROM2}  # they wait for another OSD
_REQUESTS = 400


def some_op(rng: random.Random) -> OSDOp:
    code = rng.choice(_CODES) if rng.random() < 0.95 else rng.randrange(1 << 16)
    if code in _COPIES:
        code = OpCode.READ
    kind = rng.random()
    if kind < 0.3:
        raw = rng.randbytes(28)
    elif kind < 0.8:
        numbers = [rng.choice(_NUMBERS) for _ in range(3)]
        raw = b"".join(number.to_bytes(8, "little") for number in numbers) + bytes(4)
    else:
        raw = bytes(rng.choice([0, 1, 2, 3, 5]) for _ in range(28))
    indata = rng.choice([b"", b"k", b"kv", rng.randbytes(rng.randrange(60)), bytes(1000)])
    flags = rng.choice([0, 0, 2, 1, rng.getrandbits(32)])
    return OSDOp(code, flags, raw, indata=indata)


def some_request(rng: random.Random, cluster: Cluster) -> MOSDOp:
    request = cluster.request("a", *[some_op(rng) for _ in range(rng.choice([1, 1, 2, 3, 6]))])
    request.hobj = object_of(rng.choice(_NAMES))
    if rng.random() < 0.2:
        request.hobj = request.hobj.at_snap(rng.choice([0, 1, 5, SNAPDIR, NOSNAP, NOSNAP - 1]))
    for flag in RequestFlag:
        if rng.random() < 0.05:
            request.flags |= flag
    if rng.random() < 0.1:
        request.flags |= RequestFlag.RETURNVEC
    request.snap_seq = rng.choice([0, 0, 1, 5, (1 << 64) - 1])
    request.snaps = rng.choice([[], [], [5, 1], [1, 5], [1 << 63]])
    if rng.random() < 0.05:
        request.epoch = rng.choice([0, 1, 1 << 31])
    if rng.random() < 0.03:
        request.pgid = SPGId(PGId(rng.choice([1, 2, -1]), rng.choice([0, 7])), rng.choice([-1, 3]))
    return request


def one_run(seed: int) -> None:
    rng = random.Random(seed)  # repeatable on purpose
    cluster = Cluster(2)
    cluster.make_pg()
    cluster.primary.options.osd_max_object_name_len = 200
    for _ in range(_REQUESTS):
        client = Client(num=rng.choice([7, 8]))
        client.tid = rng.randrange(1 << 40)
        request = some_request(rng, cluster)
        try:
            arrived = crossed(request)
        except WireError:
            continue
        arrived.tid, arrived.connection = client.tid, client.connection
        cluster.primary.dispatch(arrived)
        if rng.random() < 0.3:
            cluster.settle()
        if arrived.epoch > cluster.maps.newest:
            cluster.primary.waiting.for_map.clear()
    cluster.wait()
    primary = cluster.primary
    assert not primary.repops
    for obc in primary.objects.all():
        assert obc.lock.kind == LockKind.NONE
        assert not obc.lock.waiters
    client = Client(num=9)
    for name in ("a", "b", "c", "fresh"):
        assert cluster.ask(client, name, write_full(b"all is well")).result == 0
        assert cluster.ask(client, name, read()).ops[0].outdata == b"all is well"
    assert not any(node.failed for node in cluster.nodes)
    check_alike(cluster)


def test_requests_that_make_no_sense_hurt_nobody(scale):
    for seed in range(5 * scale):
        try:
            one_run(seed)
        except BaseException:
            print(f"seed {seed}")
            raise
