"""Documents of logs: what a real OSD's logs in the interop tests do not have."""

from __future__ import annotations

import json

from spirula.conf.formatter import render
from spirula.store.tools.show_pg import entry_document, log_document
from spirula.types.base import EVersion
from spirula.types.entity import EntityName
from spirula.types.hobject import HObject
from spirula.types.object_info import OSDReqId
from spirula.types.pg_log import (
    LogOp,
    LogOpReturn,
    ModCode,
    ModStep,
    ObjectCleanRegions,
    PGLog,
    PGLogDup,
    PGLogEntry,
    PGMissing,
    PGMissingItem,
)

HOBJ = HObject.of(2, "name", 1)
REQID = OSDReqId(EntityName(8, 4152), 1, 0)


def test_every_kind_of_entry():
    first = ["modify", "clone", "delete", "l_revert", "l_delete"]
    names = [*first, "l_mark", "promote", "clean", "error"]
    shown = [entry_document(PGLogEntry(op, HOBJ))["op"] for op in LogOp]
    assert shown == names
    assert entry_document(PGLogEntry(99, HOBJ))["op"] == "unknown"


def test_steps_to_undo():
    entry = PGLogEntry(LogOp.MODIFY, HOBJ)
    for step in (
        ModStep(ModCode.APPEND, 100),
        ModStep(ModCode.SETATTRS, attrs={"b": None, "a": b"x"}),
        ModStep(ModCode.UPDATE_SNAPS, snaps={16, 3}),
        ModStep(ModCode.ROLLBACK_EXTENTS, 7, extents=[(0, 5), (9, 1)]),
        ModStep(ModCode.TRY_DELETE, 8),
    ):
        assert entry.mod_desc.add(step)
    assert entry_document(entry)["mod_desc"]["object_mod_desc"]["ops"] == [
        {"code": "APPEND", "old_size": 100},
        {"code": "SETATTRS", "attrs": ["a", "b"]},
        {"code": "UPDATE_SNAPS", "snaps": "3,10"},
        {"code": "ROLLBACK_EXTENTS", "gen": 7, "snaps": "[0,5,9,1]"},
        {"code": "TRY_RMOBJECT", "old_version": 8},
    ]


def test_requests_results_and_snapshots():
    entry = PGLogEntry(LogOp.CLONE, HOBJ, reqid=REQID)
    entry.extra_reqids = [(REQID, 5), (REQID, 6)]
    entry.extra_reqid_return_codes = {1: -2}
    entry.op_returns = [LogOpReturn(-5, b"why")]
    entry.snaps = b"\1\0\0\0\4\0\0\0\0\0\0\0"
    shown = entry_document(entry)
    assert shown["extra_reqids"] == [
        {"reqid": "client.4152.0:1", "user_version": "5"},
        {"reqid": "client.4152.0:1", "user_version": "6", "return_code": -2},
    ]
    assert shown["op_returns"] == [{"rval": -5, "bl_length": 3}]
    assert shown["snaps"] == {"snap": 4}
    entry.snaps = b"\2\0\0\0\4\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0"
    assert entry_document(entry)["snaps"] == [4, 3]
    entry.snaps = b"\2\0\0\0\4"
    assert entry_document(entry)["snaps"] == []


def test_dups_and_missing_objects():
    dup = PGLogDup(REQID, EVersion(3, 9), 3, -2, [LogOpReturn(0, b"")])
    regions = ObjectCleanRegions()
    regions.mark_data_dirty(0, 19)
    item = PGMissingItem(EVersion(12, 20), EVersion(), True, regions)
    shown = log_document(PGLog(dups=[dup]), PGMissing({HOBJ: item}, True))
    assert json.loads(render(shown))["pg_log_t"]["dups"] == [
        {
            "reqid": "client.4152.0:1",
            "version": "9'3",
            "user_version": "3",
            "return_code": "-2",
            "op_returns": [{"rval": 0, "bl_length": 0}],
        }
    ]
    assert shown["pg_missing_t"] == {
        "missing": [
            {
                "object": "2:80000000:::name:head",
                "need": "20'12",
                "have": "0'0",
                "flags": "delete",
                "clean_regions": "clean_offsets: [19~18446744073709551596], "
                "clean_omap: 1, new_object: 0",
            }
        ],
        "may_include_deletes": True,
    }
