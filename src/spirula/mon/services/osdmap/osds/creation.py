"""Commands that create and remove OSDs: new, create, destroy, purge.

`osd new` makes the OSD, its key and its disk's key in one proposal, and does nothing when it is
asked for the same again. Texts: upstream `src/mon/OSDMonitor.cc` (prepare_command_osd_new,
do_osd_create, validate_osd_create and the commands' own parts).
"""

from __future__ import annotations

import dataclasses
import json
import uuid as uuids
from typing import TYPE_CHECKING

from spirula.commands.arguments import flag, osd_name, osd_number, text
from spirula.commands.reply import Reply, Retry, committed, said
from spirula.commands.table import CommandFlag, Commands
from spirula.crush.device_classes import set_device_class
from spirula.errors import Busy, CephError, Exists, InvalidArgument, NotPermitted
from spirula.maps.query import identify_osd
from spirula.maps.state import OSD_IN, OSDState, exists, is_destroyed, is_up
from spirula.mon.services.auth import osd_keys as auth_keys
from spirula.mon.services.kv import osd_keys as disk_keys
from spirula.mon.services.osdmap.osds.removal import destroy_osd, purge_osd

if TYPE_CHECKING:
    from spirula.mon.request import Request
    from spirula.mon.services.osdmap.service import OSDMapService

commands = Commands("osd")

_NO_UUID = bytes(16)
_REQUIRED_UUID = dataclasses.replace(text("CephUUID"), details=(("req", "true"),))
_SECRETS = ("cephx_secret", "cephx_lockbox_secret", "dmcrypt_key")
_SURE = (
    "Are you SURE?  Did you verify with 'ceph osd safe-to-destroy'?  This will mean real, permanent"
    " data loss, as well as deletion of cephx and lockbox keys. Pass --yes-i-really-mean-it if you"
    " really do."
)


# ---------------------------------------------------------------------------------------- creating


@commands.add(
    "osd new",
    uuid=_REQUIRED_UUID,
    id=osd_name(required=False),
    perm="rw",
    help="create an OSD with its keys (JSON, by -i FILE), or give the id of a destroyed one anew",
)
def new(service: OSDMapService, request: Request, uuid: str, id: str | None = None) -> Reply:
    """`ceph osd new`."""
    secrets = _parse_secrets(request.data)
    raw = _parse_uuid(uuid, f"invalid UUID value '{uuid}'.")
    wanted = -1 if id is None else osd_number(id)
    osdmap = service.osdmap
    recreate = is_destroyed(osdmap, wanted)
    known = _validate(service, wanted, raw, check_exists=not recreate)
    if known is None:
        if wanted >= 0 and exists(osdmap, wanted) and not recreate:
            raise InvalidArgument(f"OSD {wanted} has not yet been destroyed")
        osd = wanted if wanted >= 0 else _allocate(service)
    else:
        osd = known
        if not secrets:
            return said(data=_created(request, osd))
    if not _prepare_keys(service, osd, str(uuids.UUID(bytes=raw)), secrets, known is not None):
        return said(data=_created(request, osd))
    if recreate:
        _recreate(service, osd, raw)
    else:
        _create(service, osd, raw, secrets.get("crush_device_class", ""))
    service.propose()
    return committed(data=_created(request, osd))


def _parse_secrets(data: bytes) -> dict[str, str]:
    """A JSON object of texts, or words `key=value`."""
    given = data.decode("utf-8", "surrogateescape").strip()
    if not given:
        return {}
    try:
        found = json.loads(given)
    except ValueError:
        pairs = (word.partition("=") for word in given.split())
        return {key: value for key, _, value in pairs}
    if not isinstance(found, dict):
        raise InvalidArgument(f"{given} must be a JSON object but is of type something else")
    return {str(key): str(value) for key, value in found.items()}


def _parse_uuid(word: str, wrong: str) -> bytes:
    try:
        return uuids.UUID(word).bytes
    except ValueError:
        raise InvalidArgument(wrong) from None


def _created(request: Request, osd: int) -> str:
    if request.is_plain:
        return f"{osd}\n"
    return request.render({"osdid": osd}, "created_osd")


def _validate(service: OSDMapService, osd: int, uuid: bytes, *, check_exists: bool) -> int | None:
    """The id of the OSD with that UUID, if it is there; None if one can be made.

    Raises Retry while one is being made, Exists or InvalidArgument where ids do not fit.
    """
    osdmap, inc = service.osdmap, service.pending
    shown = str(uuids.UUID(bytes=uuid))
    if uuid in inc.new_uuid.values():
        raise Retry
    known = identify_osd(osdmap, uuid)
    if known >= 0:
        if osd >= 0 and known != osd:
            raise Exists(f"uuid {shown} already in use for different id {known}")
        return known
    if osd >= 0:
        if osd in inc.new_state:
            raise Retry
        if check_exists and exists(osdmap, osd):
            raise InvalidArgument(f"id {osd} already in use and does not match uuid {shown}")
    return None


def _allocate(service: OSDMapService) -> int:
    """The first id that is free, now and by what is pending."""
    osdmap, inc = service.osdmap, service.pending
    for osd in range(osdmap.max_osd):
        if not exists(osdmap, osd) and osd not in inc.new_up_client and osd not in inc.new_weight:
            return osd
    count: int = osdmap.max_osd if inc.new_max_osd < 0 else inc.new_max_osd
    return count


def _prepare_keys(
    service: OSDMapService, osd: int, uuid: str, secrets: dict[str, str], known: bool
) -> bool:
    """Check the keys, and make those that are missing; False if nothing at all is to be done."""
    given = {name: secrets[name] for name in _SECRETS if name in secrets}
    if not given:
        return not known
    if "cephx_secret" not in given:
        raise InvalidArgument("requires a cephx secret.")
    if ("cephx_lockbox_secret" in given) != ("dmcrypt_key" in given):
        raise InvalidArgument("requires both a cephx lockbox secret and a dm-crypt key.")
    monitor = service.monitor
    keys = auth_keys.validate_osd_new(
        monitor.auth, osd, uuid, given["cephx_secret"], given.get("cephx_lockbox_secret", "")
    )
    if known and keys.entities:
        raise Exists(f"osd.{osd} exists but secrets do not match")
    dmcrypt_key = given.get("dmcrypt_key")
    if dmcrypt_key is not None:
        there = disk_keys.validate_osd_new(monitor.kv, uuid, dmcrypt_key)
        if known and not there:
            raise Exists(f"osd.{osd} exists but dm-crypt key does not match.")
    if known:
        return False
    auth_keys.do_osd_new(monitor.auth, keys)
    if dmcrypt_key is not None:
        disk_keys.do_osd_new(monitor.kv, uuid, dmcrypt_key)
    return True


def _recreate(service: OSDMapService, osd: int, uuid: bytes) -> None:
    """A destroyed OSD's id, for a successor in its place."""
    inc, state = service.pending, service.osdmap.osd_state[osd]
    inc.new_weight[osd] = OSD_IN
    flips = inc.new_state.get(osd, 0) | OSDState.DESTROYED
    if not state & OSDState.NEW:
        flips |= OSDState.NEW
    if state & OSDState.UP:
        flips |= OSDState.UP
    inc.new_state[osd] = int(flips)
    inc.new_uuid[osd] = uuid


def _create(service: OSDMapService, osd: int, uuid: bytes, device_class: str) -> None:
    """A new OSD; that it exists follows from its weight."""
    osdmap, inc = service.osdmap, service.pending
    room = max(osdmap.max_osd, inc.new_max_osd)
    if osd >= room:
        inc.new_max_osd = osd + 1
    inc.new_weight[osd] = OSD_IN
    if device_class:
        crush = service.pending_crush()
        crush.max_devices = max(crush.max_devices, osd + 1)
        crush.item_names.setdefault(osd, f"osd.{osd}")
        try:
            set_device_class(crush, osd, device_class)
        except CephError as error:
            service.monitor.log(0, f"osd.{osd} cannot get class {device_class}: {error}")
        else:
            service.set_pending_crush(crush)
    inc.new_state[osd] = int(inc.new_state.get(osd, 0) | OSDState.NEW)
    if uuid != _NO_UUID:
        inc.new_uuid[osd] = uuid


@commands.add(
    "osd create",
    uuid=text("CephUUID", required=False),
    id=osd_name(required=False),
    perm="rw",
    flags=CommandFlag.DEPRECATED,
    help="create an OSD without keys (with a UUID: once)",
)
def create(
    service: OSDMapService, request: Request, uuid: str | None = None, id: str | None = None
) -> Reply:
    """`ceph osd create`: an id counts only together with a UUID."""
    wanted = -1 if id is None else osd_number(id)
    raw = _NO_UUID
    if uuid is None:
        wanted = -1
    else:
        raw = _parse_uuid(uuid, f"invalid uuid value '{uuid}'")
    if is_destroyed(service.osdmap, wanted):
        raise InvalidArgument(
            "ceph osd create has been deprecated. Please use ceph osd new instead."
        )
    if raw != _NO_UUID:
        known = _validate(service, wanted, raw, check_exists=True)
        if known is not None:
            return said(data=_created(request, known))
    osd = wanted if wanted >= 0 else _allocate(service)
    _create(service, osd, raw, "")
    service.propose()
    return committed(data=_created(request, osd))


# ---------------------------------------------------------------------------------------- removing


@commands.add(
    "osd destroy-actual",
    id=osd_name(),
    yes_i_really_mean_it=flag(),
    perm="rw",
    flags=CommandFlag.HIDDEN,
    help="give up an OSD's data and keys; its id waits for a successor",
)
def destroy_actual(
    service: OSDMapService, request: Request, id: str, *, yes_i_really_mean_it: bool = False
) -> Reply:
    """What the manager asks for at `ceph osd destroy`, when it is safe."""
    osd = osd_number(id)
    refusal = _check_removable(service, osd, sure=yes_i_really_mean_it)
    if refusal:
        return said(refusal)
    if not is_destroyed(service.osdmap, osd):
        destroy_osd(service, osd)
        service.propose()
        return committed(f"destroyed osd.{osd}")
    return said(f"destroyed osd.{osd}")


@commands.add(
    "osd purge-actual",
    id=osd_name(),
    yes_i_really_mean_it=flag(),
    perm="rw",
    flags=CommandFlag.HIDDEN,
    help="remove everything of an OSD",
)
def purge_actual(
    service: OSDMapService, request: Request, id: str, *, yes_i_really_mean_it: bool = False
) -> Reply:
    """What the manager asks for at `ceph osd purge`, when it is safe."""
    return _purge(service, osd_number(id), sure=yes_i_really_mean_it)


@commands.add(
    "osd purge-new",
    id=osd_name(),
    yes_i_really_mean_it=flag(),
    perm="rw",
    help="remove everything of an OSD that has never been up",
)
def purge_new(
    service: OSDMapService, request: Request, id: str, *, yes_i_really_mean_it: bool = False
) -> Reply:
    """`ceph osd purge-new`."""
    return _purge(service, osd_number(id), sure=yes_i_really_mean_it, only_new=True)


def _purge(service: OSDMapService, osd: int, *, sure: bool, only_new: bool = False) -> Reply:
    refusal = _check_removable(service, osd, sure=sure)
    if refusal:
        return said(refusal)
    if only_new and not service.osdmap.osd_state[osd] & OSDState.NEW:
        raise NotPermitted(f"osd.{osd} is not new")
    purge_osd(service, osd)
    service.propose()
    return committed(f"purged osd.{osd}")


def _check_removable(service: OSDMapService, osd: int, *, sure: bool) -> str:
    """A text where there is nothing to remove. Raises NotPermitted, Busy."""
    if not sure:
        raise NotPermitted(_SURE)
    if not exists(service.osdmap, osd):
        return f"osd.{osd} does not exist"
    if is_up(service.osdmap, osd):
        raise Busy(f"osd.{osd} is not `down`.")
    return ""
