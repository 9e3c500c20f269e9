"""The object class `journal`: who writes and reads a journal and how far; appending to its objects.

The journal's header object has everything in its omap: its shape, its clients with their positions,
and tags, which are eras of writing. Clients: librbd, rbd-mirror, `rbd journal`. Behaviour: upstream
`src/cls/journal/cls_journal.cc`.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Final, TypeVar

from spirula.classes.declare import method
from spirula.classes.handle import ObjectHandle, decoded
from spirula.denc import Struct
from spirula.errors import CephError, Exists, InvalidArgument, NotFound, TooLarge, WireError
from spirula.types.cls.journal import (
    TAG_CLASS_NEW,
    AppendOp,
    Client,
    ClientCommitOp,
    ClientDataOp,
    ClientId,
    ClientListOp,
    Clients,
    ClientState,
    ClientStateOp,
    CreateOp,
    Number,
    ObjectSetPosition,
    PoolId,
    SmallNumber,
    Tag,
    TagCreateOp,
    TagListOp,
    Tags,
)
from spirula.types.osd_op import OpFlag

ORDER: Final = "order"
SPLAY_WIDTH: Final = "splay_width"
POOL_ID: Final = "pool_id"
MINIMUM_SET: Final = "minimum_set"
ACTIVE_SET: Final = "active_set"
NEXT_TAG_TID: Final = "next_tag_tid"
NEXT_TAG_CLASS: Final = "next_tag_class"
CLIENT_PREFIX: Final = "client_"
TAG_PREFIX: Final = "tag_"

KEYS_READ: Final = 64
"""Entries of the omap that are read at once."""
CLIENTS_READ: Final = 256
_OCTOPUS: Final = 15
_NEVER: Final = 0xFFFFFFFFFFFFFFFF
_U64: Final = 0xFFFFFFFFFFFFFFFF

_S = TypeVar("_S", bound=Struct)


def _get(handle: ObjectHandle, key: str, kind: type[_S]) -> _S:
    try:
        return kind.decode(handle.map_get_val(key))
    except WireError as error:
        handle.log(0, f"cannot decode {key!r}: {error}")
        raise InvalidArgument(f"{key} of the journal is damaged") from error


def _set(handle: ObjectHandle, key: str, value: Struct) -> None:
    handle.map_set_val(key, value.encode())


def _exists(handle: ObjectHandle, key: str) -> bool:
    try:
        handle.map_get_val(key)
    except NotFound:
        return False
    return True


def _tag_key(tag_tid: int) -> str:
    return f"{TAG_PREFIX}{tag_tid:016x}"


def _all(handle: ObjectHandle, prefix: str, kind: type[_S], after: str) -> Iterator[tuple[str, _S]]:
    """All entries whose keys begin so, in order."""
    more = True
    while more:
        found, more = handle.map_get_vals(after, prefix, KEYS_READ)
        for key, stored in found.items():
            yield key, decoded(handle, kind, stored, key)
            after = key


def _clients_after(handle: ObjectHandle, start_after: str, most: int) -> list[Client]:
    after = CLIENT_PREFIX + start_after if start_after else ""
    found, _ = handle.map_get_vals(after, CLIENT_PREFIX, most)
    return [decoded(handle, Client, stored, key) for key, stored in found.items()]


# ------------------------------------------------------------------------------ the whole journal


@method("create", read=True, write=True)
def create(handle: ObjectHandle, request: CreateOp) -> None:
    """Makes the journal."""
    if _exists(handle, ORDER):
        raise Exists("there is a journal already")
    _set(handle, ORDER, SmallNumber(request.order))
    _set(handle, SPLAY_WIDTH, SmallNumber(request.splay_width))
    _set(handle, POOL_ID, PoolId(request.pool_id))
    for key in (ACTIVE_SET, MINIMUM_SET, NEXT_TAG_TID, NEXT_TAG_CLASS):
        _set(handle, key, Number(0))


@method("get_order", read=True)
def get_order(handle: ObjectHandle) -> SmallNumber:
    """The power of 2 of the data objects' size."""
    return _get(handle, ORDER, SmallNumber)


@method("get_splay_width", read=True)
def get_splay_width(handle: ObjectHandle) -> SmallNumber:
    """The number of data objects that are written at a time."""
    return _get(handle, SPLAY_WIDTH, SmallNumber)


@method("get_pool_id", read=True)
def get_pool_id(handle: ObjectHandle) -> PoolId:
    """The pool of the data objects."""
    return _get(handle, POOL_ID, PoolId)


@method("get_minimum_set", read=True)
def get_minimum_set(handle: ObjectHandle) -> Number:
    """The first set of objects that is still there."""
    return _get(handle, MINIMUM_SET, Number)


@method("get_active_set", read=True)
def get_active_set(handle: ObjectHandle) -> Number:
    """The set of objects that is written."""
    return _get(handle, ACTIVE_SET, Number)


@method("set_minimum_set", read=True, write=True)
def set_minimum_set(handle: ObjectHandle, request: Number) -> None:
    """Moves the first set forward, as far as the one that is written."""
    if _get(handle, ACTIVE_SET, Number).value < request.value:
        raise InvalidArgument("the first set would come after the active one")
    _move_forward(handle, MINIMUM_SET, request)


@method("set_active_set", read=True, write=True)
def set_active_set(handle: ObjectHandle, request: Number) -> None:
    """Moves the set that is written forward."""
    if _get(handle, MINIMUM_SET, Number).value > request.value:
        raise InvalidArgument("the active set would come before the first one")
    _move_forward(handle, ACTIVE_SET, request)


def _move_forward(handle: ObjectHandle, key: str, wanted: Number) -> None:
    current = _get(handle, key, Number).value
    if wanted.value < current:
        raise CephError.from_errno(errno.ESTALE, f"{key} is {current} already")
    if wanted.value != current:
        _set(handle, key, wanted)


# ---------------------------------------------------------------------------------------- clients


@method("get_client", read=True)
def get_client(handle: ObjectHandle, request: ClientId) -> Client:
    """A client."""
    return _get(handle, CLIENT_PREFIX + request.id, Client)


@method("client_register", read=True, write=True)
def client_register(handle: ObjectHandle, request: ClientDataOp) -> None:
    """Adds a client; it begins where the slowest one is."""
    _get(handle, ORDER, SmallNumber)
    if _exists(handle, CLIENT_PREFIX + request.id):
        raise Exists("there is a client of this id already")
    position = _least_commit_position(handle)
    client = Client(request.id, request.data, position, ClientState.CONNECTED)
    _set(handle, CLIENT_PREFIX + request.id, client)


def _least_commit_position(handle: ObjectHandle) -> ObjectSetPosition:
    """Where the slowest client is; an empty position if one has not begun."""
    least = ObjectSetPosition()
    found: tuple[int, int] | None = None
    after = ""
    while batch := _clients_after(handle, after, CLIENTS_READ):
        after = batch[-1].id
        for client in batch:
            positions = client.commit_position.object_positions
            if not positions:
                least = ObjectSetPosition()
                break
            reached = positions[0].tag_tid, positions[0].entry_tid
            if found is None or reached < found:
                found, least = reached, client.commit_position
        if len(batch) < CLIENTS_READ:
            break
    return least


@method("client_update_data", read=True, write=True)
def client_update_data(handle: ObjectHandle, request: ClientDataOp) -> None:
    """Gives a client other data."""
    client = _get(handle, CLIENT_PREFIX + request.id, Client)
    client.data = request.data
    _set(handle, CLIENT_PREFIX + request.id, client)


@method("client_update_state", read=True, write=True)
def client_update_state(handle: ObjectHandle, request: ClientStateOp) -> None:
    """Says whether a client still follows."""
    client = _get(handle, CLIENT_PREFIX + request.id, Client)
    client.state = request.state
    _set(handle, CLIENT_PREFIX + request.id, client)


@method("client_unregister", read=True, write=True)
def client_unregister(handle: ObjectHandle, request: ClientId) -> None:
    """Removes a client, and the tags that nobody needs any more."""
    handle.map_get_val(CLIENT_PREFIX + request.id)
    handle.map_remove_key(CLIENT_PREFIX + request.id)
    _expire_tags(handle, CLIENT_PREFIX + request.id)


@method("client_commit", read=True, write=True)
def client_commit(handle: ObjectHandle, request: ClientCommitOp) -> None:
    """Notes how far a client has come."""
    width = _get(handle, SPLAY_WIDTH, SmallNumber).value
    if len(request.commit_position.object_positions) > width:
        raise InvalidArgument("a position names more objects than are written at a time")
    client = _get(handle, CLIENT_PREFIX + request.id, Client)
    if client.commit_position != request.commit_position:
        client.commit_position = request.commit_position
        _set(handle, CLIENT_PREFIX + request.id, client)


@method("client_list", read=True)
def client_list(handle: ObjectHandle, request: ClientListOp) -> Clients:
    """Clients after one."""
    return Clients(_clients_after(handle, request.start_after, request.max_return))


# ------------------------------------------------------------------------------------------- tags


def _expire_tags(handle: ObjectHandle, without: str = "") -> None:
    """Removes the tags of before what the slowest client needs: but the newest of each class.

    `without`: the key of a client that is being removed.
    """
    needed = _NEVER
    for key, client in _all(handle, CLIENT_PREFIX, Client, ""):
        if key == without or client.state == ClientState.DISCONNECTED:
            continue
        if not client.commit_position.object_positions:
            return
        needed = min(needed, *(at.tag_tid for at in client.commit_position.object_positions))
    if needed == _NEVER:
        return
    newest: dict[int, int] = {}
    tags = []
    for key, tag in _all(handle, TAG_PREFIX, Tag, TAG_PREFIX):
        if key != _tag_key(tag.tid):
            raise InvalidArgument(f"{key} holds another tag")
        newest[tag.tag_class] = tag.tid
        tags.append((key, tag))
        if tag.tid >= needed:
            break
    for key, tag in tags:
        if tag.tid < newest[tag.tag_class]:
            handle.map_remove_key(key)


@method("get_next_tag_tid", read=True)
def get_next_tag_tid(handle: ObjectHandle) -> Number:
    """The number of the tag that is made next."""
    return _get(handle, NEXT_TAG_TID, Number)


@method("get_tag", read=True)
def get_tag(handle: ObjectHandle, request: Number) -> Tag:
    """A tag."""
    return _get(handle, _tag_key(request.value), Tag)


@method("tag_create", read=True, write=True)
def tag_create(handle: ObjectHandle, request: TagCreateOp) -> None:
    """Makes the next tag, and removes those that nobody needs any more."""
    if _exists(handle, _tag_key(request.tag_tid)):
        raise Exists("there is a tag of this number already")
    if request.tag_tid != _get(handle, NEXT_TAG_TID, Number).value:
        raise CephError.from_errno(errno.ESTALE, "another tag is the next one")
    next_class = _get(handle, NEXT_TAG_CLASS, Number).value
    tag_class = request.tag_class
    if tag_class == TAG_CLASS_NEW:
        tag_class = next_class
        _set(handle, NEXT_TAG_CLASS, Number((tag_class + 1) & _U64))
    elif tag_class >= next_class:
        raise InvalidArgument("there is no such class of tags")
    _expire_tags(handle)
    _set(handle, NEXT_TAG_TID, Number((request.tag_tid + 1) & _U64))
    _set(handle, _tag_key(request.tag_tid), Tag(request.tag_tid, tag_class, request.data))


@method("tag_list", read=True)
def tag_list(handle: ObjectHandle, request: TagListOp) -> Tags:
    """Tags after one that a client still needs."""
    client = _get(handle, CLIENT_PREFIX + request.client_id, Client)
    positions = client.commit_position.object_positions
    newest: dict[int, int] = {}
    if positions:
        needed = min(at.tag_tid for at in positions)
        for _, tag in _all(handle, TAG_PREFIX, Tag, TAG_PREFIX):
            newest[tag.tag_class] = tag.tid
            if tag.tid >= needed:
                break
    answer = Tags()
    for _, tag in _all(handle, TAG_PREFIX, Tag, TAG_PREFIX):
        if request.start_after_tag_tid and tag.tid <= request.start_after_tag_tid:
            continue
        wanted = request.tag_class is None or request.tag_class == tag.tag_class
        if wanted and tag.tid >= newest.get(tag.tag_class, 0):
            answer.tags.append(tag)
        if len(answer.tags) >= request.max_return:
            break
    return answer


# ----------------------------------------------------------------------------------- data objects


def _size_below(handle: ObjectHandle, most: int) -> int:
    """The object's size (0 where there is none); TooLarge (EOVERFLOW) if it is full."""
    try:
        size = handle.stat().size
    except NotFound:
        return 0
    if size >= most:
        raise TooLarge("the object is full")
    return size


@method("guard_append", read=True, write=True)
def guard_append(handle: ObjectHandle, request: Number) -> None:
    """Fails if the object is full: for the writes that follow in the same operation."""
    _size_below(handle, request.value)


@method("append", read=True, write=True)
def append(handle: ObjectHandle, request: AppendOp) -> None:
    """Appends to the object unless it is full, and pads it to what the store allocates.

    Readers that know the padding are of octopus or later.
    """
    size = _size_below(handle, request.soft_max_size)
    if size >= request.soft_max_size:
        raise TooLarge("the object is full")
    handle.write(size, request.data, OpFlag.FADVISE_DONTNEED)
    if handle.get_min_compatible_client() < _OCTOPUS:
        return
    unit = handle.get_osd_min_alloc_size() or 8
    width = handle.get_pool_stripe_width()
    if width:
        unit = -(-unit // width) * width
    end = size + len(request.data)
    padded = -(-end // unit) * unit
    if padded != end:
        handle.truncate(padded)
