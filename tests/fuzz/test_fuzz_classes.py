"""Fuzz target: hostile calls of object classes, and damaged objects under them.

The scripts of tests/interop run with damaged requests between their steps, and with what the object
holds damaged. Whatever comes, a class answers: it does not fail by a bug, read for ever, or change
an object by a call that it refuses. `lua` is left out: its programs are tested elsewhere.
"""

from __future__ import annotations

import time
from copy import deepcopy

import pytest

from spirula.classes.registry import BUILT_IN, ClassRegistry
from tests.fuzz.mutate import SLOWEST_S, chance, mutants
from tests.interop import (
    class_calls_fifo,
    class_calls_queues,
    class_calls_records,
    class_calls_simple,
)
from tests.interop.class_scripts import SCRIPTS, Call, put
from tests.unit.classes.memory_handle import StoredObject, execute

assert class_calls_fifo
assert class_calls_queues
assert class_calls_records
assert class_calls_simple

NAMES = [name for name in SCRIPTS if not name.startswith("lua")]
PER_STEP = 3
REGISTRY = ClassRegistry()


def request_of(step):
    return step.request if isinstance(step.request, bytes) else step.request.encode()


def call(stored, step, data):
    """One call: it answers, and if it refuses, nothing has changed."""
    before = deepcopy(stored)
    begun = time.perf_counter()
    reply, handle = execute(stored, step.cls, step.method, data, registry=REGISTRY)
    took = time.perf_counter() - begun
    bug = any("by a bug" in line for _, line in handle.logged)
    changed = reply.code < 0 and stored != before
    if bug or changed or took > SLOWEST_S or reply.code < -200:
        where = f"{step.cls}.{step.method} of {data.hex()} on {before!r:.2000}"
        pytest.fail(f"{reply.code} in {took:.1f} s from {where}: {handle.logged}")


def damaged(stored, rng):
    """The object with one of its parts altered."""
    spoilt = deepcopy(stored)
    parts = [
        ("data", None),
        *(("xattrs", k) for k in stored.xattrs),
        *(("omap", k) for k in stored.omap),
    ]
    part, key = rng.choice(parts)
    held = stored.data if key is None else getattr(stored, part)[key]
    value = next(mutants([held[:4096] or b"\0"], rng, 1))
    if key is None:
        spoilt.data = value
    else:
        getattr(spoilt, part)[key] = value
    spoilt.header = next(mutants([stored.header or b"\0"], rng, 1))
    return spoilt


@pytest.mark.parametrize("name", NAMES)
def test_hostile_calls(name, scale):
    rng = chance(f"classes {name}")
    script, stored = SCRIPTS[name], StoredObject()
    seeds = [request_of(step) for step in script.steps if isinstance(step, Call)]
    for step in script.steps:
        if not isinstance(step, Call):
            put(stored, step)
            continue
        if step.cls not in BUILT_IN:
            continue
        for data in mutants([request_of(step), *seeds[:3]], rng, PER_STEP * scale):
            call(deepcopy(stored), step, data)
            call(damaged(stored, rng), step, request_of(step))
        call(stored, step, request_of(step))
