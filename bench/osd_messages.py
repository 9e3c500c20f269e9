"""How long one request costs an OSD in encoding: MOSDOp decoded, MOSDOpReply encoded.

Run: `python bench/osd_messages.py`. The request is a typical one: a client writes 4 KiB to
`benchmark_data_host_1234_object123`. The budget is 15 us for both together.
"""

from __future__ import annotations

import sys
import timeit

from spirula.denc.features import PACIFIC
from spirula.messages.base import decode_message
from spirula.messages.osd_op import CEPH_MSG_OSD_OP, MOSDOp, MOSDOpReply
from spirula.types.base import EVersion, UTime
from spirula.types.entity import EntityName
from spirula.types.hobject import HObject
from spirula.types.object_info import OSDReqId
from spirula.types.osd_op import AllocHintArgs, Extent, OpCode, OSDOp, RequestFlag
from spirula.types.pg import PGId, SPGId

BUDGET_US = 15.0
ROUNDS, PER_ROUND = 7, 20_000


def request() -> MOSDOp:
    """What `rados bench` sends for one object."""
    payload = bytes(4096)
    return MOSDOp(
        pgid=SPGId(PGId(2, 0x1F)),
        hobj=HObject.of(2, "benchmark_data_host_1234_object123", 0x5A2F00DF),
        ops=[
            OSDOp.make(OpCode.SETALLOCHINT, AllocHintArgs(4 << 20, 4096, 0)),
            OSDOp.make(OpCode.WRITE, Extent(0, 4096), payload),
        ],
        epoch=42,
        flags=RequestFlag.ONDISK | RequestFlag.WRITE | RequestFlag.KNOWN_IF_REDIRECTED,
        reqid=OSDReqId(EntityName(0, 0), 0, 0),
        mtime=UTime(1_600_000_000, 5),
        retry_attempt=0,
    )


def best_us(work: object) -> float:
    """The best of several rounds, in microseconds."""
    timer = timeit.Timer(work)  # type: ignore[arg-type]  # a callable; timeit's stub is narrower
    return min(timer.repeat(ROUNDS, PER_ROUND)) / PER_ROUND * 1e6


def main() -> int:
    """Prints the three numbers; 1 when the budget is exceeded."""
    sent = request()
    version, compat, front = sent.encode_payload(PACIFIC)
    data = memoryview(bytes(sent.data))

    def decode() -> MOSDOp:
        got = decode_message(CEPH_MSG_OSD_OP, version, compat, front, b"", data, PACIFIC)
        assert isinstance(got, MOSDOp)  # for the type checker
        return got

    received = decode()

    def encode() -> bytes:
        reply = MOSDOpReply.to(received, 0, 42)
        reply.set_versions(EVersion(1234, 42), 1234)
        return reply.encode_payload(PACIFIC)[2]

    decode_us, encode_us = best_us(decode), best_us(encode)
    total = decode_us + encode_us
    print(f"MOSDOp decode       {decode_us:6.2f} us ({len(front)} bytes of front, 4096 of data)")
    print(f"MOSDOpReply encode  {encode_us:6.2f} us ({len(encode())} bytes of front)")
    print(f"together            {total:6.2f} us (budget {BUDGET_US:.0f})")
    return int(total > BUDGET_US)


if __name__ == "__main__":
    sys.exit(main())
