"""Requests in a line each, for `ops`, warnings of slow ones, and logs.

Shapes: upstream `print` of `src/messages/MOSDOp.h` and `MOSDRepOp.h`.
"""

from __future__ import annotations

from spirula.messages.base import Message
from spirula.messages.osd_op import MOSDOp
from spirula.messages.osd_replication import MOSDRepOp
from spirula.types.osd_op import (
    OP_NAMES,
    AllocHintArgs,
    ClassArgs,
    OSDOp,
    RequestFlag,
    WatchArgs,
    WatchOp,
    XattrArgs,
)


def flag_text(flags: int) -> str:
    """`ondisk+write+known_if_redirected`; `-` for none."""
    names = [flag.name.lower() for flag in RequestFlag if flag.name and flags & flag]
    return "+".join(names) or "-"


def describe(message: Message) -> str:
    """What a request is."""
    if isinstance(message, MOSDOp):
        return _client_request(message)
    if isinstance(message, MOSDRepOp):
        return (
            f"osd_repop({message.reqid} {message.pgid} e{message.map_epoch}/{message.min_epoch} "
            f"{message.poid} v {message.version})"
        )
    return type(message).__name__


def _operation(op: OSDOp) -> str:
    """`write 0~4096 in=4096b`."""
    args = op.args
    if isinstance(args, AllocHintArgs):
        sizes = args.expected_object_size, args.expected_write_size
        text = f"{OP_NAMES[op.op]} object_size {sizes[0]} write_size {sizes[1]}"
    elif isinstance(args, XattrArgs):
        # what answers changed the arguments, and what a client sends need not make sense
        name = bytes(op.indata[: args.name_len]).decode("utf-8", "replace")
        text = f"{OP_NAMES[op.op]} {name} ({args.value_len})"
    elif isinstance(args, ClassArgs):
        names = bytes(op.indata[: args.class_len + args.method_len]).decode("utf-8", "replace")
        text = f"{OP_NAMES[op.op]} {names[: args.class_len]}.{names[args.class_len :]}"
    elif isinstance(args, WatchArgs):
        kind = WatchOp(args.op).name.lower() if args.op in set(WatchOp) else str(args.op)
        text = f"{OP_NAMES[op.op]} {kind} cookie {args.cookie}"
    else:
        text = str(op)
    if op.indata:
        text += f" in={len(op.indata)}b"
    return text + (f" out={len(op.outdata)}b" if op.outdata else "")


def _client_request(request: MOSDOp) -> str:
    connection = request.connection
    who = request.reqid if connection is None else request.request_id(connection.peer_name)
    snaps = ",".join(f"{snap:x}" for snap in request.snaps)
    words = [
        str(who),
        str(request.pgid),
        str(request.hobj),
        f"[{','.join(map(_operation, request.ops))}]",
        f"snapc {request.snap_seq:x}=[{snaps}]",
    ]
    if request.retry_attempt > 0:
        words.append(f"RETRY={request.retry_attempt}")
    words += [flag_text(request.flags), f"e{request.epoch}"]
    return f"osd_op({' '.join(words)})"
