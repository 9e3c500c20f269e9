"""What a map does with many inputs: mappings, bad ones, how full devices become, and differences.

The whole of `crushtool --test` and `--compare`, line by line as upstream prints them, with the
vectorised mapper. Called by `spirula crushtool`. Upstream: `src/crush/CrushTester.cc`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spirula.crush.map import CrushMap, Rule
from spirula.crush.mapper import ITEM_NONE, Mapper
from spirula.crush.simulate import LRand48, RandomPlacement, mark_down, most_devices
from spirula.crush.tester_files import DataFiles
from spirula.crush.vector import VectorMapper
from spirula.crush.weights import get_choose_args, signed
from spirula.errors import InvalidArgument
from spirula.kernels.jenkins import Hasher
from spirula.printing import general

MAX_REPLICAS = 4096
"""Replicas that a test asks for; pools have at most a few dozen."""

MAX_TRIES = 1 << 16
"""Lines of the histogram of tries."""

FULL = 0x10000
_DEFAULT_X = (0, 1023)
_BLOCK = 1 << 16
_BLOCK_PLACES = 1 << 22
_UNSIGNED = 0xFFFFFFFF

I64 = NDArray[np.int64]
F32 = NDArray[np.float32]
Say = Callable[[str], None]
"""Takes text with its line breaks."""


@dataclass(slots=True)
class Shows:
    """What a test prints."""

    utilization: bool = False
    utilization_all: bool = False
    statistics: bool = False
    mappings: bool = False
    bad_mappings: bool = False
    choose_tries: bool = False

    def any(self) -> bool:
        """Whether it prints anything."""
        return (
            self.utilization
            or self.utilization_all
            or self.statistics
            or self.mappings
            or self.bad_mappings
            or self.choose_tries
        )


@dataclass(slots=True)
class TestRun:
    """What is tested. Negative numbers mean: not said, so all rules, inputs 0 to 1023, the sizes
    that each rule allows. `device_weights` replace the weight that devices in the hierarchy have.
    """

    __test__ = False  # for pytest, which takes its name for a test's

    min_rule: int = -1
    max_rule: int = -1
    ruleset: int = -1
    min_x: int = -1
    max_x: int = -1
    replicas: int = -1
    pool: int = -1
    batches: int = 1
    simulate: bool = False
    down_devices: float = 0.0
    down_buckets: float = 1.0
    device_weights: dict[int, int] = field(default_factory=dict)
    shows: Shows = field(default_factory=Shows)
    csv: bool = False
    csv_prefix: str = ""

    def inputs(self) -> tuple[int, int]:
        """The first and the last input."""
        return _DEFAULT_X if self.min_x < 0 or self.max_x < 0 else (self.min_x, self.max_x)

    def rules(self, crush: CrushMap) -> Iterator[tuple[int, Rule | None]]:
        """Ids and rules; None for one that is not there."""
        first, last = self.min_rule, self.max_rule
        if first < 0 or last < 0:
            first, last = 0, len(crush.rules) - 1
        for number in range(first, min(last + 1, len(crush.rules))):
            rule = crush.rules[number]
            if rule is None or self.ruleset < 0 or rule.ruleset == self.ruleset:
                yield number, rule

    def sizes(self, rule: Rule) -> range:
        """The numbers of replicas to test a rule with."""
        if self.replicas > MAX_REPLICAS:
            raise InvalidArgument(f"a test asks for at most {MAX_REPLICAS} replicas")
        if self.replicas < 0:
            return range(rule.min_size, rule.max_size + 1)
        return range(self.replicas, self.replicas + 1)


def device_weight(weight: float) -> int:
    """The 16.16 number of a device's weight: between 0 and 1.0."""
    return min(max(int(np.float32(weight) * FULL), 0), FULL)


class _Session:
    """A map under test: the weights of its devices, and its mappers."""

    def __init__(self, crush: CrushMap, run: TestRun, warn: Say) -> None:
        if run.batches < 1:
            raise InvalidArgument("a test has at least one batch")
        self.crush, self.run = crush, run
        self.random = LRand48()
        present = {item for bucket in crush.buckets if bucket for item in bucket.items}
        self.weights = [
            run.device_weights.get(id, FULL if id in present else 0)
            for id in range(crush.max_devices)
        ]
        if run.shows.utilization_all:
            shown = ",".join(f"{weight:x}" for weight in self.weights)
            warn(f"devices weights (hex): [{shown}]\n")
        if run.down_devices > 0:
            mark_down(crush, self.weights, run.down_devices, run.down_buckets, self.random)
        self.total = signed(sum(self.weights) & _UNSIGNED)
        # upstream always asks for the choose_args of pool 0
        args = get_choose_args(crush, 0)
        self.vector = VectorMapper(crush, args)
        self.mapper = Mapper(crush, args)
        if run.shows.choose_tries:
            tries = crush.tunables.choose_total_tries
            if tries > MAX_TRIES:
                raise InvalidArgument(f"a histogram shows up to {MAX_TRIES} tries, not {tries}")
            self.mapper.tries_needed = [0] * (tries + 1)
        self.hasher = Hasher(_BLOCK)

    def places(self, rule: int, size: int, first: int, last: int) -> Iterator[_Block]:
        """The places of the inputs, block by block."""
        step = max(1, min(_BLOCK, _BLOCK_PLACES // max(size, 1)))
        for start in range(first, last + 1, step):
            xs = np.arange(start, min(start + step, last + 1), dtype=np.int64)
            yield self._place(rule, size, xs)

    def _place(self, rule: int, size: int, xs: I64) -> _Block:
        if self.run.simulate:
            source = RandomPlacement(self.crush, rule, self.weights, self.random)
            return _Block.of_rows(xs, [source.place(size) for _ in xs], size)
        inputs = self._inputs(xs)
        if self.mapper.tries_needed is not None:
            found = [self.mapper.do_rule(rule, int(x), size, self.weights) for x in inputs.tolist()]
            return _Block.of_rows(xs, found, size)
        weights = np.array(self.weights, np.int64)
        items = self.vector.map_many(rule, inputs, size, weights)
        return _Block(xs, items.values, items.length)

    def _inputs(self, xs: I64) -> I64:
        """What the mapper is asked for: with a pool, hashes as of the pool's PGs."""
        if self.run.pool == -1:
            return xs
        pool = np.array([self.run.pool & _UNSIGNED], np.uint32)
        return self.hasher.hash2(xs.astype(np.uint32), pool).astype(np.int64)


@dataclass(slots=True)
class _Block:
    """Inputs and their places: the first `length` of each row of `values` count."""

    xs: I64
    values: I64
    length: I64

    @classmethod
    def of_rows(cls, xs: I64, rows: list[list[int]], size: int) -> _Block:
        values = np.full((len(rows), size), ITEM_NONE, np.int64)
        for at, row in enumerate(rows):
            values[at, : len(row)] = row
        return cls(xs, values, np.array([len(row) for row in rows], np.int64))

    def rows(self) -> Iterator[tuple[int, list[int]]]:
        """Each input with its places."""
        lengths = self.length.tolist()
        for x, row, length in zip(self.xs.tolist(), self.values.tolist(), lengths, strict=True):
            yield x, row[:length]

    def counts(self, devices: int) -> I64:
        """How often each device is a place."""
        inside = np.arange(self.values.shape[1]) < self.length[:, None]
        found = self.values[inside & (self.values >= 0) & (self.values < devices)]
        return np.bincount(found, minlength=devices).astype(np.int64)


def run_test(crush: CrushMap, run: TestRun, say: Say, warn: Say) -> None:
    """Test the map; `say` gets what crushtool prints, `warn` what it complains about.

    With `run.csv` files are written too, whose names begin with `run.csv_prefix` and the rule's.
    Raises InvalidArgument for a test that cannot be, OSError for files that cannot.
    """
    session = _Session(crush, run, warn)
    first, last = run.inputs()
    for number, rule in run.rules(crush):
        if rule is None:
            if run.shows.statistics:
                say(f"rule {number} dne\n")
            continue
        sizes = run.sizes(rule)
        if run.shows.statistics:
            say(
                f"rule {number} ({crush.rule_names.get(number, '')}), x = {first}..{last},"
                f" numrep = {sizes.start}..{sizes.stop - 1}\n"
            )
        for size in sizes:
            if session.total:
                _test_size(session, number, size, say)
    if session.mapper.tries_needed is not None:
        for tries, count in enumerate(session.mapper.tries_needed[:-1]):
            say(f"{tries:2}: {count:9}\n")


def _test_size(session: _Session, number: int, size: int, say: Say) -> None:
    """One rule with one number of replicas."""
    crush, run = session.crush, session.run
    first, last = run.inputs()
    inputs = last - first + 1
    shares = np.array(session.weights, np.float32) / np.float32(session.total)
    expected = shares * np.float32(min(size, most_devices(crush, number)) * inputs)
    files = None
    if run.csv:
        name = f"{run.csv_prefix}{crush.rule_names.get(number, '')}"
        files = DataFiles(name, run.replicas, session.weights, shares)
    stored = np.zeros(crush.max_devices, np.int64)
    by_length: dict[int, int] = {}
    each, start = inputs // run.batches, first
    for batch in range(run.batches):
        end = last if batch == run.batches - 1 else start + each - 1
        here = np.zeros(crush.max_devices, np.int64)
        for block in session.places(number, size, start, end):
            here += block.counts(crush.max_devices)
            lengths, times = np.unique(block.length, return_counts=True)
            for length, count in zip(lengths.tolist(), times.tolist(), strict=True):
                by_length[length] = by_length.get(length, 0) + count
            _show_places(block, number, size, run, say)
            if files:
                files.add_placements(block.rows())
        stored += here
        if files and run.batches > 1:
            files.add_batch(batch, here.tolist() if start <= end else [])
        start = end + 1
    _show_use(session, number, size, stored, expected, by_length, say)
    if files:
        files.write(stored.tolist(), [float(value) for value in expected])


def _show_places(block: _Block, number: int, size: int, run: TestRun, say: Say) -> None:
    shows = run.shows
    inside = np.arange(block.values.shape[1]) < block.length[:, None]
    bad = (block.length != size) | (inside & (block.values == ITEM_NONE)).any(axis=1)
    if not shows.mappings and not (shows.bad_mappings and bad.any()):
        return
    head = f"{'RNG' if run.simulate else 'CRUSH'} rule {number} x"
    lines = []
    for (x, row), is_bad in zip(block.rows(), bad.tolist(), strict=True):
        if shows.mappings or is_bad:
            places = ",".join(map(str, row))
            if shows.mappings:
                lines.append(f"{head} {x} [{places}]\n")
            if is_bad and shows.bad_mappings:
                lines.append(f"bad mapping rule {number} x {x} num_rep {size} result [{places}]\n")
    say("".join(lines))


def _show_use(
    session: _Session,
    number: int,
    size: int,
    stored: I64,
    expected: F32,
    by_length: dict[int, int],
    say: Say,
) -> None:
    shows, run = session.run.shows, session.run
    first, last = run.inputs()
    if not shows.statistics:
        return
    name = session.crush.rule_names.get(number, "")
    for length, count in sorted(by_length.items()):
        say(
            f"rule {number} ({name}) num_rep {size} result size == {length}:\t"
            f"{count}/{last - first + 1}\n"
        )
    for device, (has, wanted) in enumerate(zip(stored.tolist(), expected.tolist(), strict=True)):
        if (wanted > 0 and has > 0) if shows.utilization else shows.utilization_all:
            say(f"  device {device}:\t\t stored : {has}\t expected : {general(wanted)}\n")


def compare_maps(crush: CrushMap, other: CrushMap, run: TestRun, say: Say, warn: Say) -> bool:
    """Whether both maps place all inputs of a test alike; tells for each rule how many differ."""
    mine = _Session(crush, run, warn)
    theirs = VectorMapper(other, get_choose_args(other, 0))
    weights = np.array(mine.weights, np.int64)
    first, last = run.inputs()
    alike = True
    for number, rule in run.rules(crush):
        if rule is None:
            if run.shows.statistics:
                say(f"rule {number} dne\n")
            continue
        bad, sizes = 0, run.sizes(rule)
        for size in sizes:
            for start in range(first, last + 1, _BLOCK):
                xs = np.arange(start, min(start + _BLOCK, last + 1), dtype=np.int64)
                a = mine.vector.map_many(number, xs, size, weights)
                b = theirs.map_many(number, xs, size, weights)
                same = (a.length == b.length) & (a.values == b.values).all(axis=1)
                bad += int((~same).sum())
        tested = len(sizes) * max(last - first + 1, 0)
        ratio = general(bad / tested) if tested else "-nan"
        say(f"rule {number} had {bad}/{tested} mismatched mappings ({ratio})\n")
        alike = alike and not bad
    if alike:
        say("maps appear equivalent\n")
    else:
        warn("warning: maps are NOT equivalent\n")
    return alike
