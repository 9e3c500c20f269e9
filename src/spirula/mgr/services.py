"""The service map: daemons that are not Ceph's own kinds (gateways, mirrors), and task status.

The manager changes `pending_services`; monitors keep what reports carry (`report`). Behaviour:
upstream `src/mgr/DaemonServer.cc` (got_service_map, _prune_pending_service_map).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.mgr.daemons.index import DaemonKey
from spirula.types.base import UTime
from spirula.types.entity import EntityAddr
from spirula.types.service import Service, ServiceDaemon, ServiceMap

if TYPE_CHECKING:
    from spirula.messages.mgr import MMgrOpen
    from spirula.mgr.state import Manager

_NATIVE = {"osd", "client", "mon", "mds", "mgr"}


def on_service_map(manager: Manager, told: ServiceMap) -> None:
    """The monitors' map: the first is where we start from."""
    manager.service_map = told
    pending = manager.pending_services
    if not pending.epoch:
        pending = manager.pending_services = ServiceMap.decode(told.encode())
        pending.epoch = told.epoch + 1
    for kind, service in pending.services.items():
        if kind in _NATIVE:
            continue
        for name, daemon in service.daemons.items():
            key = DaemonKey(kind, name)
            if key not in manager.daemons:
                manager.daemons.put(key, dict(daemon.metadata)).is_service = True
        manager.daemons.keep(kind, service.daemons)


def _daemon(manager: Manager, key: DaemonKey) -> tuple[ServiceDaemon, bool]:
    daemons = manager.pending_services.services.setdefault(key.kind, Service()).daemons
    if key.name in daemons:
        return daemons[key.name], False
    made = daemons[key.name] = ServiceDaemon()
    return made, True


def _changed(manager: Manager) -> None:
    manager.services_dirty = manager.pending_services.epoch


def register(manager: Manager, message: MMgrOpen) -> None:
    """A daemon says that it serves something."""
    connection = message.connection
    key = DaemonKey(message.service_name, message.daemon_name)
    daemon, is_new = _daemon(manager, key)
    gid = connection.peer_name.num
    if is_new or daemon.gid != gid:
        addrs = connection.peer_addrs.addrs
        daemon.gid = gid
        daemon.addr = addrs[0] if addrs else EntityAddr()
        daemon.start_epoch = manager.pending_services.epoch
        daemon.start_stamp = UTime.at(manager.ports.wall())
        daemon.metadata = dict(message.daemon_metadata or {})
        _changed(manager)


def update_metadata(manager: Manager, key: DaemonKey, metadata: dict[str, str]) -> None:
    """A daemon that serves something has new metadata."""
    _daemon(manager, key)[0].metadata = metadata
    _changed(manager)


def unregister(manager: Manager, key: DaemonKey) -> None:
    """A daemon ends in order."""
    service = manager.pending_services.services.get(key.kind)
    if service is not None and service.daemons.pop(key.name, None) is not None:
        if not service.daemons:
            del manager.pending_services.services[key.kind]
        _changed(manager)


def set_task_status(manager: Manager, key: DaemonKey, status: dict[str, str]) -> None:
    """What a daemon is busy with."""
    daemon, _ = _daemon(manager, key)
    if daemon.task_status != status:
        daemon.task_status = status
        _changed(manager)


def prune(manager: Manager) -> None:
    """Forgets daemons that have been silent for too long."""
    now = manager.ports.wall()
    oldest = now - manager.config.get_float("mgr_service_beacon_grace")
    for kind, service in [*manager.pending_services.services.items()]:
        for name in [*service.daemons]:
            state = manager.daemons.get(DaemonKey(kind, name))
            if state is None:
                if kind in _NATIVE:
                    del service.daemons[name]
                    _changed(manager)
            elif not state.last_beacon:
                state.last_beacon = now  # this manager has just begun: it may live
            elif state.last_beacon < oldest:
                del service.daemons[name]
                _changed(manager)
        if not service.daemons:
            del manager.pending_services.services[kind]
            _changed(manager)


def encode_changes(manager: Manager) -> bytes:
    """The map for the monitors, if it has changed; it is the next one's base then."""
    pending = manager.pending_services
    if not pending.epoch:
        return b""
    prune(manager)
    if manager.services_dirty < pending.epoch:
        return b""
    pending.modified = UTime.at(manager.ports.wall())
    encoded = pending.encode()
    pending.epoch += 1
    return encoded
