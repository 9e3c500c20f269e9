"""Object classes: the same calls to real OSDs and to ours, with the same answers and effects."""

from __future__ import annotations

import pytest

from spirula.classes import isolated
from spirula.classes.registry import ClassRegistry
from tests.interop import (
    class_calls_fifo,
    class_calls_lua,
    class_calls_queues,
    class_calls_records,
    class_calls_simple,
)
from tests.interop.class_scripts import SCRIPTS, client_of, differences, on_osd, on_ours, on_real

assert class_calls_fifo
assert class_calls_lua
assert class_calls_queues
assert class_calls_records
assert class_calls_simple
POOL = "spirula-classes"


@pytest.fixture(scope="module")
def answers(real_ceph):
    """What a real OSD answered to all scripts.

    It may load all classes. The pool has one PG, so that its versions are foreseeable.
    """
    with real_ceph(osds=1, options={"osd class load list": "*"}) as cluster:
        cluster.ceph("osd", "pool", "create", POOL, "1", "1")
        yield on_real(cluster, POOL, SCRIPTS)


@pytest.fixture(scope="module")
def registry():
    """All classes. Those in processes of their own may take longer than an OSD lets them.

    An OSD gives a call a second, which a busy machine may take away from it.
    """
    made = ClassRegistry()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(isolated, "MAX_CALL_S", 60.0)
        patch.setattr(isolated, "MAX_LOAD_S", 60.0)
        yield made
    made.close()


@pytest.mark.parametrize("run", [on_ours, on_osd])
@pytest.mark.parametrize("name", SCRIPTS)
def test_answers_are_those_of_real_osds(name, run, answers, registry):
    rows = answers["rows"][name]
    assert differences(SCRIPTS[name], rows, client_of(answers), registry, run) == []
