"""Libraries that are loaded when they are used, and handles that connect when they are asked."""

from __future__ import annotations

import subprocess
import sys
import threading
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from spirula.errors import NotFound
from spirula.mgr_host.calls import Calls
from spirula.mgr_host.ceph_module import BaseMgrModule
from spirula.mgr_host.later import Later
from spirula.mgr_host.rados_module import later_rados


class LibCephFS:
    def __init__(self, name: str) -> None:
        self.name = name


@pytest.fixture
def library():
    real = ModuleType("cephfs")
    real.RBD = LibCephFS
    real.LibCephFS, real.Error, real.STATX_SIZE = LibCephFS, ValueError, 4
    loads = []
    return Later("cephfs", lambda: loads.append(1) or real), loads


def test_naming_a_class_does_not_load_the_library(library):
    later, loads = library
    with later.naming():
        named, like_a_constant = later.LibCephFS, later.RBD
    assert (loads, later.is_loaded) == ([], False)
    assert isinstance(named("a"), LibCephFS)
    assert isinstance(like_a_constant("a"), LibCephFS)
    assert (loads, later.is_loaded) == ([1], True)
    assert later.LibCephFS is LibCephFS
    assert isinstance(LibCephFS("a"), named)
    assert issubclass(LibCephFS, named)


def test_what_is_derived_or_taken_while_files_are_imported_is_the_librarys(library):
    later, loads = library
    with later.naming():

        class Own(later.LibCephFS):
            """As a module's file does it."""

        size = later.STATX_SIZE
    assert Own.__mro__[1] is LibCephFS
    assert (size, loads) == (4, [1])


def test_errors_are_the_librarys(library):
    later, _ = library
    with pytest.raises(later.Error):
        raise ValueError
    with pytest.raises(AttributeError):
        _ = later.nothing


class Native:
    """What a library in C has."""

    def __init__(self, **words: Any) -> None:
        self.words, self.connected = words, False

    def connect(self) -> None:
        self.connected = True

    def get_addrs(self) -> str:
        return "v2:192.0.2.1:0/7"

    def conf_get(self, option: str) -> str:
        return f"library's {option}"

    def pool_lookup(self, name: str) -> int:
        return len(name)


@pytest.fixture
def module():
    config = {"mon_host": "192.0.2.1", "client_snapdir": ".snap", "log_to_stderr": True}

    def get(name: str) -> object:
        if name not in config:
            raise NotFound(name)
        return config[name]

    manager = SimpleNamespace(name="x", config=SimpleNamespace(get=get), module_clients={})
    host = SimpleNamespace(loop_thread=threading.get_ident())
    return BaseMgrModule(None, Calls(host, "volumes", manager))


def test_a_handle_connects_when_something_is_asked_of_the_cluster(module):
    wanted = []
    made = later_rados(lambda: SimpleNamespace(Rados=Native), lambda: bool(wanted))
    module._rados = handle = made(context=module._calls)
    handle.connect()
    module._ceph_register_client(handle.get_addrs())
    handle.wait_for_latest_osdmap()
    assert handle.conf_get("client_snapdir") == ".snap"
    assert handle.conf_get("log_to_stderr") == "true"
    assert (module._rados, module._calls.manager.module_clients) == (handle, {})
    assert handle.pool_lookup("pool") == 4
    assert module._calls.manager.module_clients == {"v2:192.0.2.1:0/7": "volumes"}
    assert isinstance(module._rados, Native)
    assert (module._rados.connected, module._rados.words["name"]) == (True, "mgr.x")
    assert handle.conf_get("mon_host") == "library's mon_host"


def test_libraries_in_use_are_given_their_own_handle(module):
    wanted = []
    made = later_rados(lambda: SimpleNamespace(Rados=Native), lambda: bool(wanted))
    module._rados = made(context=module._calls)
    wanted.append(1)
    module._rados.connect()  # as upstream's module does it, with what it has just made
    assert isinstance(module._rados, Native)
    assert isinstance(made(rados_id="admin"), Native)


def test_a_manager_imports_no_arrays():
    modules = ("cli.mgr", "mgr_modules.balancer.module", "mgr_modules.progress.module")
    text = "\n".join(["import sys", *(f"import spirula.{one}" for one in modules)])
    text += "\nassert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", text], check=True)
