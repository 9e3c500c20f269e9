"""Modules have their own copies of what they share, whenever and wherever they import it."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import threading
from types import ModuleType

import pytest

from spirula.mgr_host.libraries import libraries_for, not_there, uses_native
from spirula.mgr_host.world import World

SHARED = "kept = []\n"
MODULE = """
import importlib
import logging
import pickle
import shared
from rados import Rados

def keep(value):
    shared.kept.append(value)

def late():
    from . import part
    import shared as again
    return part.shared is shared is again

def by_name():
    return importlib.import_module(".part", __package__).shared is shared

class Failure(Exception):
    pass

import os
import os.path
os._exit = lambda *_: None

def pass_on(value):
    return pickle.dumps(value)

def take(data):
    return pickle.loads(data)

log = logging.getLogger()
below = logging.getLogger("below")
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "shared.py").write_text(SHARED)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(MODULE)
        (tmp_path / name / "part.py").write_text("import shared\n")
    return str(tmp_path)


@pytest.fixture
def rados():
    made = ModuleType("rados")
    made.Rados = object
    return made


def world(name, folder, rados):
    return World(name, [folder], libraries_for(name, folder, rados))


def test_what_modules_share_each_has_for_itself(folder, rados):
    one = world("one", folder, rados).import_module("one")
    two = world("two", folder, rados).import_module("two")
    one.keep(1)
    two.keep(2)
    assert (one.shared.kept, two.shared.kept) == ([1], [2])


def test_late_imports_find_the_same_copies_in_any_thread(folder, rados):
    found = []
    loaded = [world(name, folder, rados).import_module(name) for name in ("one", "two")]
    for one in loaded:
        threads = [
            threading.Thread(target=lambda call=call: found.append(call()))
            for call in (one.late, one.by_name, one.late)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [True] * 6


def test_a_module_in_another_folder_finds_what_modules_share(folder, rados, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "three.py").write_text("import shared\n")
    made = World("three", [str(elsewhere), folder], libraries_for("three", folder, rados))
    assert made.import_module("three").shared.kept == []


def test_nothing_is_left_where_others_import(folder, rados):
    before = {*sys.modules}, list(sys.meta_path), sys.modules["logging"]
    one = world("one", folder, rados).import_module("one")
    one.late()
    assert ({*sys.modules}, list(sys.meta_path), sys.modules["logging"]) == before
    assert one.Rados is rados.Rados
    with pytest.raises(ImportError):
        importlib.import_module("shared")


def test_the_root_logger_of_a_module_is_its_own(folder, rados):
    one = world("one", folder, rados).import_module("one")
    assert one.log is logging.getLogger("mgr.one")
    assert one.below is logging.getLogger("mgr.one.below")


def test_what_one_module_pickles_is_of_the_others_class_there(folder, rados):
    (one, other) = (world(name, folder, rados).import_module("one") for name in ("one", "two"))
    taken = other.take(one.pass_on(one.Failure("why")))
    assert isinstance(taken, other.Failure)
    assert other.Failure is not one.Failure


def test_what_a_module_does_to_os_is_its_own_affair(folder, rados):
    one = world("one", folder, rados).import_module("one")
    assert one.os._exit is not os._exit
    assert one.os.path is os.path
    assert one.os.getpid() == os.getpid()


def test_an_import_that_fails_may_be_tried_again(tmp_path, rados):
    (tmp_path / "one.py").write_text("import shared\n")
    made = world("one", str(tmp_path), rados)
    with pytest.raises(ImportError):
        made.import_module("one")
    (tmp_path / "shared.py").write_text(SHARED)
    importlib.invalidate_caches()
    made = world("one", str(tmp_path), rados)
    assert made.import_module("one").shared.kept == []


def test_a_library_that_is_not_here_says_so_when_it_is_used():
    library = not_there("rbd")
    assert library.FEATURE_ONE != library.FEATURE_TWO
    assert issubclass(library.ImageNotFound, Exception)
    with pytest.raises(ImportError, match="the library rbd is not here"):
        library.RBD()


def test_modules_that_use_libraries_in_c_are_known(tmp_path):
    for name, line in (("one", "import rados"), ("two", "from rbd import RBD")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "module.py").write_text(f"{line}\n")
    assert not uses_native(tmp_path / "one")
    assert uses_native(tmp_path / "two")
