"""The object class `sdk`: calls most of what handles offer, for tests of the interface itself.

Behaviour: upstream `src/cls/sdk/cls_sdk.cc`. Not permitted by the default of `osd_class_load_list`.
"""

from __future__ import annotations

from typing import Final

from spirula.classes.declare import method
from spirula.classes.handle import ObjectHandle
from spirula.errors import InputOutput

DATA: Final = b"test"
NAME: Final = "sdk"
KEY: Final = "foo"


@method("test_coverage_write", read=True, write=True)
def test_coverage_write(handle: ObjectHandle) -> None:
    """Makes an object with data, an attribute and an omap entry."""
    handle.create(False)
    handle.stat()
    handle.write(0, DATA)
    handle.stat()
    handle.setxattr(KEY, DATA)
    handle.map_set_val(KEY, DATA)


@method("test_coverage_replay", read=True, write=True)
def test_coverage_replay(handle: ObjectHandle) -> None:
    """Reads all of it, and removes the object."""
    size = handle.stat().size
    for part in (handle.read(0, size), handle.getxattr(KEY), handle.map_get_val(KEY)):
        if len(part) != size:
            raise InputOutput("the parts of the object are not of one length")
    handle.remove()
