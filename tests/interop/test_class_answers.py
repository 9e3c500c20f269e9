"""Object classes: what calls that write answer to clients that ask for it (RETURNVEC).

python3-rados cannot ask so, hence requests of ours to a real OSD, beside our classes.
"""

from __future__ import annotations

import errno

from spirula.classes.registry import ClassRegistry
from spirula.types.cls import fifo, queue, two_phase_queue, user
from spirula.types.cls.fifo import DataParams
from spirula.types.osd_op import OSDOp, RequestFlag
from tests.interop.class_scripts import Call
from tests.interop.test_osd_ops import WRITE, on_objects
from tests.unit.classes.memory_handle import MemoryHandle, StoredObject

assert on_objects

BIG = fifo.PushPart("", [b"x" * 400, b"y" * 400, b"z" * 90], 890)
SCRIPTS = {
    "answers-hello": [
        Call("hello", "write_return_data"),
        Call("hello", "write_return_data", b"x"),
        Call("hello", "write_too_much_return_data"),
        Call("hello", "record_hello"),
        Call("hello", "bad_reader"),
        Call("hello", "say_hello", b"x" * 101),
    ],
    "answers-queue": [
        Call("2pc_queue", "2pc_queue_init", queue.InitOp(1000)),
        *[Call("2pc_queue", "2pc_queue_reserve", two_phase_queue.ReserveOp(9, 2))] * 3,
        Call("2pc_queue", "2pc_queue_reserve", two_phase_queue.ReserveOp(9000, 2)),
    ],
    "answers-fifo": [
        Call("fifo", "init_part", fifo.InitPart("", DataParams(2000, 100, 1000))),
        Call("fifo", "push_part", fifo.PushPart("", [b"a", b"b"], 2)),
        Call("fifo", "push_part", BIG),
        Call("fifo", "push_part", BIG),
    ],
    "answers-user": [Call("user", "reset_user_stats2", user.ResetStats2Op())],
}
TOO_LONG = 64
"""osd_max_write_op_reply_len: more than so many bytes fail the operation."""


def test_calls_that_write_answer_what_real_osds_answer(on_objects):
    registry, differ = ClassRegistry(), []

    async def work(objects):
        for name, steps in SCRIPTS.items():
            stored = StoredObject()
            for step in steps:
                data = step.request if isinstance(step.request, bytes) else step.request.encode()
                op = OSDOp.call(step.cls, step.method, data)
                reply = await objects.ask(name, op, flags=WRITE | RequestFlag.RETURNVEC)
                handle = MemoryHandle(stored)
                ours = registry.open(step.cls).method(step.method).call(handle, data)
                if ours.code >= 0 and len(ours.data) > TOO_LONG:
                    ours = (b"", -errno.EOVERFLOW)
                elif ours.code >= 0:
                    vars(stored).update(vars(handle.pending))
                theirs = (bytes(reply.ops[0].outdata), reply.ops[0].rval)
                if theirs != tuple(ours):
                    differ.append(f"{step}: real {theirs}, ours {ours}, result {reply.result}")

    on_objects(work)
    assert differ == []
