"""Taking OSDs out of the map: what `rm`, `destroy` and `purge` have in common.

Upstream: `src/mon/OSDMonitor.cc` (prepare_command_osd_remove, prepare_command_osd_destroy,
prepare_command_osd_purge).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.crush.edit import remove_item
from spirula.errors import CephError, NotFound
from spirula.maps.dump.values import uuid_text
from spirula.maps.state import OSDState, is_destroyed
from spirula.mon.services.auth import osd_keys as auth_keys
from spirula.mon.services.kv import osd_keys as disk_keys

if TYPE_CHECKING:
    from spirula.mon.services.osdmap.service import OSDMapService

_NO_UUID = bytes(16)


def remove_osd(service: OSDMapService, osd: int) -> None:
    """Forget an OSD that is down: its state, its UUID, its metadata."""
    inc = service.pending
    inc.new_state[osd] = service.osdmap.osd_state[osd]
    inc.new_uuid[osd] = _NO_UUID
    service.pending_metadata_rm.add(osd)
    service.pending_metadata.pop(osd, None)


def destroy_osd(service: OSDMapService, osd: int) -> None:
    """Its data is gone: remove its keys, and keep its id and place for a successor."""
    uuid = uuid_text(service.osdmap.osd_uuid[osd])
    monitor = service.monitor
    auth_keys.do_osd_destroy(monitor.auth, osd, uuid)
    disk_keys.do_osd_destroy(monitor.kv, osd, uuid)
    service.pending.new_state[osd] = int(OSDState.DESTROYED)
    service.pending.new_uuid[osd] = _NO_UUID


def purge_osd(service: OSDMapService, osd: int) -> None:
    """Remove everything of an OSD that is down: place, keys, id. CephError if CRUSH does not let
    it go.
    """
    crush = service.pending_crush()
    placed = True
    try:
        remove_item(crush, osd)
    except NotFound:
        placed = False
    except CephError as error:
        raise type(error)(f"error removing osd.{osd} from crush", errno=error.errno) from None
    if not is_destroyed(service.osdmap, osd):
        destroy_osd(service, osd)
    remove_osd(service, osd)
    if placed:
        service.set_pending_crush(crush)
