"""What upstream's modules import as `ceph_module`: the base classes that C++ gives them there.

A module's object is made with a `Calls` in the place of upstream's pointer; everything that it asks
for goes there. Names and arguments: upstream `src/mgr/BaseMgrModule.cc`, `PyOSDMap.cc`.
"""

from __future__ import annotations

import traceback
from typing import Any

from spirula.mgr_host.calls import Calls
from spirula.mgr_host.map_views import BasePyCRUSH, BasePyOSDMap, BasePyOSDMapIncremental
from spirula.mgr_host.rados_module import KeptHandle

__all__ = [
    "BaseMgrModule",
    "BaseMgrStandbyModule",
    "BasePyCRUSH",
    "BasePyOSDMap",
    "BasePyOSDMapIncremental",
]


class BaseMgrStandbyModule:
    """The base of what runs in standby managers."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def _ceph_get(self, what: str) -> Any:
        return {"ips": self._calls.own_ips()} if what == "mgr_ips" else None

    def _ceph_get_mgr_id(self) -> str:
        return self._calls.mgr_id

    def _ceph_get_module_option(self, key: str, prefix: str = "") -> Any:
        return self._calls.module_option(self._calls.module, key, prefix)

    def _ceph_get_option(self, key: str) -> Any:
        return self._calls.option(key)

    def _ceph_get_store(self, key: str) -> str | None:
        return self._calls.store_ask(key)

    def _ceph_get_active_uri(self) -> str:
        return self._calls.active_uri()

    def _ceph_log(self, text: str) -> None:
        self._calls.log(text)


class BaseMgrModule:
    """The base of what runs in the active manager."""

    _rados = KeptHandle()

    def __init__(self, py_modules: object, calls: Calls) -> None:
        del py_modules
        self._calls = calls

    # --- what the cluster is

    def _ceph_get(self, what: str) -> Any:
        return self._calls.get(what)

    def _ceph_get_server(self, hostname: str | None) -> Any:
        return self._calls.server(hostname)

    def _ceph_get_metadata(self, kind: str, name: str) -> Any:
        return self._calls.metadata(kind, name)

    def _ceph_get_daemon_status(self, kind: str, name: str) -> Any:
        return self._calls.daemon_status(kind, name)

    def _ceph_get_counter(self, kind: str, name: str, path: str) -> Any:
        return self._calls.counter(kind, name, path)

    def _ceph_get_latest_counter(self, kind: str, name: str, path: str) -> Any:
        return self._calls.latest_counter(kind, name, path)

    def _ceph_get_perf_schema(self, kind: str, name: str) -> Any:
        return self._calls.perf_schema(kind, name)

    def _ceph_get_daemon_health_metrics(self) -> Any:
        return self._calls.health_metrics()

    def _ceph_get_osdmap(self) -> Any:
        return self._calls.osdmap()

    def _ceph_get_version(self) -> str:
        return self._calls.version()

    def _ceph_get_release_name(self) -> str:
        return self._calls.release_name()

    def _ceph_lookup_release_name(self, major: int) -> str:
        return self._calls.release_name(major)

    def _ceph_get_context(self) -> object:
        return self._calls

    def _ceph_get_mgr_id(self) -> str:
        return self._calls.mgr_id

    def _ceph_get_ceph_conf_path(self) -> str:
        return self._calls.conf_path()

    def _ceph_have_mon_connection(self) -> bool:
        return self._calls.have_mon_connection()

    def _ceph_is_authorized(self, arguments: dict[str, str]) -> bool:
        return self._calls.is_authorized(arguments)

    # --- options and what is kept

    def _ceph_get_option(self, key: str) -> Any:
        return self._calls.option(key)

    def _ceph_get_foreign_option(self, entity: str, key: str) -> Any:
        return self._calls.foreign_option(entity, key)

    def _ceph_get_module_option(self, module: str, key: str, prefix: str = "") -> Any:
        return self._calls.module_option(module, key, prefix)

    def _ceph_set_module_option(self, module: str, key: str, value: str | None) -> None:
        self._calls.set_module_option(module, key, value)

    def _ceph_get_store(self, key: str) -> str | None:
        return self._calls.store_get(key)

    def _ceph_get_store_prefix(self, prefix: str) -> dict[str, str]:
        return self._calls.store_prefix(prefix)

    def _ceph_set_store(self, key: str, value: str | None) -> None:
        self._calls.store_set(key, value)

    # --- what it says and does

    def _ceph_send_command(
        self, result: Any, kind: str, name: str, command: str, tag: str, data: str | None
    ) -> None:
        self._calls.send_command(result, kind, name, command, tag, data)

    def _ceph_set_health_checks(self, checks: dict[str, Any]) -> None:
        self._calls.set_health_checks(checks)

    def _ceph_log(self, text: str) -> None:
        self._calls.log(text)

    def _ceph_cluster_log(self, channel: str, priority: int, text: str) -> None:
        self._calls.cluster_log(channel, priority, text)

    def _ceph_set_uri(self, uri: str) -> None:
        self._calls.set_uri(uri)

    def _ceph_set_device_wear_level(self, ident: str, level: float) -> None:
        self._calls.set_wear_level(ident, level)

    def _ceph_update_progress_event(
        self, ident: str, text: str, progress: float, shown: bool = True
    ) -> None:
        self._calls.update_progress(ident, text, progress, shown=shown)

    def _ceph_complete_progress_event(self, ident: str) -> None:
        self._calls.complete_progress(ident)

    def _ceph_clear_all_progress_events(self) -> None:
        self._calls.clear_progress()

    def _ceph_dispatch_remote(
        self, module: str, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        call = self._calls.remote_method(module, method)
        try:
            return call(*args, **kwargs)
        except Exception as error:
            # Whoever catches it cannot know the other module's classes.
            text = f"Remote method threw exception: {traceback.format_exc()}"
            raise RuntimeError(text) from error

    def _ceph_register_client(self, addrs: str) -> None:
        if addrs:  # a handle that connects later has itself registered then
            self._calls.register_client(addrs)

    def _ceph_unregister_client(self, addrs: str) -> None:
        self._calls.unregister_client(addrs)

    # --- queries to OSDs and metadata servers

    def _ceph_add_osd_perf_query(self, query: dict[str, Any]) -> int | None:
        return self._calls.add_osd_query(query)

    def _ceph_remove_osd_perf_query(self, ident: int) -> None:
        self._calls.remove_osd_query(ident)

    def _ceph_get_osd_perf_counters(self, ident: int) -> dict[str, Any] | None:
        return self._calls.osd_query_counters(ident)

    def _ceph_add_mds_perf_query(self, query: dict[str, Any]) -> int:
        return self._calls.add_mds_query(query)

    def _ceph_remove_mds_perf_query(self, ident: int) -> None:
        """There is nobody to be told."""

    def _ceph_reregister_mds_perf_queries(self) -> None:
        """There is nobody to be told again."""

    def _ceph_get_mds_perf_counters(self, ident: int) -> dict[str, Any]:
        del ident
        return self._calls.mds_query_counters()
