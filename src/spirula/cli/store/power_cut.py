"""A test of the machine below: whether a store keeps what was durable when the power goes.

`spirula store power-cut DIR` writes for ever and prints the number of each transaction that is
durable; its reader is best on another machine. After the cut, `--verify N` compares the store with
what the transactions up to N and some later ones make. `--kill` does both by itself, with a process
that is killed in place of the machine. For `spirula store`.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator
from itertools import count, islice
from multiprocessing import get_context
from multiprocessing.connection import Connection
from random import Random
from signal import SIGKILL

from spirula.cli.store.opened import Opened, Verb, opened, print_json, tell
from spirula.errors import CephError, InputOutput, InvalidArgument, NotFound
from spirula.store.memory import MemoryObjectStore
from spirula.store.objectstore import ObjectStore, list_all
from spirula.store.tools.queueing import Changes, Pump
from spirula.types.hobject import NO_GEN, GHObject, HObject
from spirula.types.pg import Coll, SPGId
from spirula.types.transaction import Transaction

CID = Coll.of(SPGId.parse("1.0"))
OBJECTS = 64
IN_FLIGHT = 16
_NUMBER = "number"
_SIZES = (100, 4096, 4096, 4096, 20_000, 65_536, 262_144)
_LARGEST = 1 << 20
_SHOWN = 5


def _name(number: int) -> GHObject:
    return GHObject(HObject.of(CID.pgid.pool, f"object{number}", number * 0x9E3779B1 % (1 << 32)))


COUNTER = GHObject(HObject.of(CID.pgid.pool, "counter", 0), NO_GEN)


def transaction(seed: int, number: int) -> Transaction:
    """What the transaction of this number is, whatever was before it.

    Mostly a write in the middle of an object; also removals, truncations, clones, omap entries. The
    last of its operations says its number.
    """
    rng = Random(f"{seed}/{number}")
    txn = Transaction()
    for _ in range(rng.choice((1, 1, 2, 3))):
        oid = _name(rng.randrange(OBJECTS))
        txn.touch(CID, oid)
        kind = rng.randrange(20)
        if kind == 0:
            txn.remove(CID, oid)
        elif kind == 1:
            txn.truncate(CID, oid, rng.randrange(_LARGEST))
        elif kind == 2:
            txn.zero(CID, oid, rng.randrange(_LARGEST), rng.randrange(1, 200_000))
        elif kind == 3:
            # a clone has its object's hash
            txn.clone(CID, oid, GHObject(oid.hobj.at_snap(rng.randrange(1, 4)), NO_GEN))
        elif kind < 7:
            keys = {f"k{rng.randrange(50):02}": rng.randbytes(rng.randrange(200)) for _ in "abc"}
            txn.omap_setkeys(CID, oid, keys)
        elif kind == 7:
            txn.omap_rmkeyrange(CID, oid, "k10", "k30")
        else:
            data = rng.randbytes(rng.choice(_SIZES))
            txn.write(CID, oid, rng.randrange(_LARGEST - len(data)), data)
        txn.touch(CID, oid)
        txn.setattr(CID, oid, "by", b"%d" % number)
    txn.setattr(CID, COUNTER, _NUMBER, b"%d %d" % (number, seed))
    return txn


def begin(seed: int) -> Transaction:
    """What is in the store before the first of the transactions of this seed."""
    txn = Transaction()
    txn.create_collection(CID, 0)
    txn.touch(CID, COUNTER)
    txn.setattr(CID, COUNTER, _NUMBER, b"0 %d" % seed)
    return txn


def last_of(store: ObjectStore) -> tuple[int, int]:
    """The number of the last transaction in a store, and the seed that they are made of."""
    try:
        number, seed = store.getattr(CID, COUNTER, _NUMBER).split()
    except NotFound:
        text = "this store is not one that power-cut wrote to: give it a new one of its own"
        raise InvalidArgument(text) from None
    return int(number), int(seed)


# --- writing ---


def _write(here: Opened, request: argparse.Namespace, say: Callable[[int], None]) -> None:
    """Write until `--count` transactions are durable, or for ever; `say` gets each number."""
    store, pump = here.store, here.pump
    if not store.list_collections():
        here.change(CID, begin(request.seed))
    done, seed = last_of(store)
    numbers = islice(count(done + 1), request.count)

    def committed(error: CephError | None) -> None:
        nonlocal done
        if error is not None:
            raise error
        done += 1
        say(done)

    def wait_for(number: int) -> None:
        pump.run_until(lambda: done >= number)

    number = done
    for number in numbers:
        store.queue_transactions(CID, [transaction(seed, number)], None, committed)
        wait_for(number - IN_FLIGHT)
    wait_for(number)


# --- checking ---


def verify(store: ObjectStore, told: int) -> int:
    """The number of the last transaction in the store, all of which is as it has to be.

    InputOutput, with what is wrong, if it has not all up to `told` or anything else than it should.
    """
    last, seed = last_of(store)
    if last < told:
        raise InputOutput(f"{told} transactions were durable, and {last} are left")
    pump = Pump()
    model = MemoryObjectStore(pump.defer)
    model.mount()
    changes = Changes(model, pump, CID)
    changes.queue(begin(seed))
    for number in range(1, last + 1):
        changes.queue(transaction(seed, number))
    wrong = list(_differences(store, model))
    if wrong:
        more = f", and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        text = "; ".join(wrong[:_SHOWN])
        raise InputOutput(f"after {last} transactions, of which {told} were told: {text}{more}")
    return last


def _differences(store: ObjectStore, model: ObjectStore) -> Iterator[str]:
    found, expected = set(list_all(store, CID)), set(list_all(model, CID))
    for oid in sorted(found | expected):
        if oid not in expected:
            yield f"{oid} should not be there"
        elif oid not in found:
            yield f"{oid} is not there"
        elif store.read(CID, oid) != model.read(CID, oid):
            yield f"{oid} has other data"
        elif store.getattrs(CID, oid) != model.getattrs(CID, oid):
            yield f"{oid} has other attributes"
        elif store.omap_get(CID, oid) != model.omap_get(CID, oid):
            yield f"{oid} has another omap"


# --- the verb ---


def _power_cut(request: argparse.Namespace) -> int:
    if request.kill is not None:
        return _kill(request)
    if request.verify is None:
        # Whoever read the numbers has gone, or it was interrupted: that is a way to end it.
        with contextlib.suppress(KeyboardInterrupt), opened(request) as here:
            _write(here, request, lambda number: print(number, flush=True))
        return 0
    with opened(request) as here:
        last = verify(here.store, request.verify)
    if request.json:
        print_json({"told": request.verify, "last": last})
    else:
        print(f"all {request.verify} that were durable are whole, and {last} are there")
    return 0


def _kill(request: argparse.Namespace) -> int:
    """Kill a writer and check what is left, so many times."""
    rng = Random(request.seed)
    context = get_context("spawn")
    told = last = 0
    for number in range(1, request.kill + 1):
        here, there = context.Pipe(duplex=False)
        writer = context.Process(target=_be_killed, args=(request, there))
        writer.start()
        there.close()
        wanted = rng.choice((1, 20, 200, 1000))
        # what it said before it was killed is still to be read afterwards
        with here, contextlib.suppress(EOFError):
            while True:
                told = here.recv()
                wanted -= 1
                if not wanted:
                    writer.kill()
        writer.join()
        if writer.exitcode not in {0, -SIGKILL}:
            raise InputOutput(
                f"the writer ended by itself with status {writer.exitcode}: see above"
            )
        with opened(request) as store:
            last = verify(store.store, told)
        if not request.json:
            tell(f"round {number}: {told} were told, {last} are there, all whole")
    if request.json:
        print_json({"rounds": request.kill, "told": told, "last": last})
    return 0


def _be_killed(request: argparse.Namespace, there: Connection) -> None:
    with opened(request) as here:
        _write(here, request, there.send)


VERBS = (
    Verb(
        "power-cut",
        "test whether what was told to be durable survives: write, cut the power, verify",
        _power_cut,
        (
            ("--verify", {"type": int, "metavar": "N", "help": "check that all up to N is whole"}),
            (
                "--kill",
                {"type": int, "metavar": "ROUNDS", "help": "kill a writing process and verify"},
            ),
            ("--count", {"type": int, "metavar": "N", "help": "end after N transactions"}),
            ("--seed", {"type": int, "default": 1, "help": "of a new store's transactions (1)"}),
        ),
        more="Takes an empty store of its own (mkfs). Without --verify or --kill it writes until "
        "it is interrupted, and prints the number of each transaction that is durable: let "
        "another machine read that, cut the power, and verify with the last number.",
    ),
)
