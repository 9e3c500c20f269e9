"""Commands about objects that nobody has, as an operator gives them."""

from __future__ import annotations

import asyncio
import errno
import json
from types import SimpleNamespace
from typing import Any

import pytest

from spirula.conf.admin_commands import CommandTable
from spirula.osd.commands import pg_commands
from tests.unit.osd.pg.harness import PGID, Client, Cluster, read
from tests.unit.osd.pg.test_unfound import give_up, only_on_one


class Asked:
    """A PG of which two objects are unfound, and its OSD's commands."""

    def __init__(self) -> None:
        self.client, self.cluster = Client(), Cluster(2)
        only_on_one(self.cluster, self.client)

    def __call__(self, prefix: str, **arguments: str) -> Any:
        return asyncio.run(self._ask(prefix, arguments))

    async def _ask(self, prefix: str, arguments: dict[str, str]) -> Any:
        osd: Any = SimpleNamespace(
            pgs=SimpleNamespace(by_id={PGID: self.cluster.primary}),
            config=self.cluster.config,
            ports=SimpleNamespace(loop=asyncio.get_running_loop()),
        )
        table = CommandTable()
        pg_commands.register(table, osd)
        request = {"prefix": prefix, "pgid": "1.0", **arguments, "format": "json"}
        answer = asyncio.ensure_future(table.execute(json.dumps(request)))
        await asyncio.sleep(0)
        self.cluster.wait()
        return await answer


@pytest.fixture
def asked():
    return Asked()


def listed(outcome: Any) -> Any:
    assert outcome.errno == 0
    return json.loads(outcome.output)


def test_unfound_objects_are_listed_page_by_page(asked):
    found = listed(asked("list_unfound"))
    assert (found["num_missing"], found["num_unfound"], found["more"]) == (2, 2, False)
    assert [each["oid"]["oid"] for each in found["objects"]] == ["old", "new"]
    assert found["objects"][0]["have"] != "0'0"
    assert found["state"] == "NotRecovering"
    assert found["might_have_unfound"] == [{"osd": "0", "status": "osd is down"}]
    asked.cluster.config.set("osd_command_max_records", "1")
    asked.cluster.config.apply_changes()
    first = listed(asked("list_unfound"))
    assert first["more"]
    offset = json.dumps(first["objects"][0]["oid"])
    second = listed(asked("list_unfound", offset=offset))
    assert [each["oid"]["oid"] for each in second["objects"]] == ["new"]
    assert not second["more"]
    assert asked("list_unfound", offset="{}").errno == -errno.EINVAL


def test_nothing_is_given_up_while_somebody_may_have_it(asked):
    refused = asked("mark_unfound_lost", mulcmd="delete")
    assert refused.errno == -errno.EINVAL
    assert refused.message == (
        "pg has 2 unfound objects but we haven't probed all sources, not marking lost"
    )
    give_up(asked.cluster, 0)
    done = asked("mark_unfound_lost", mulcmd="revert")
    assert done.errno == 0
    assert done.message == "pg has 2 objects unfound and apparently lost marking"
    again = asked("pg", cmd="mark_unfound_lost", mulcmd="revert")
    assert (again.errno, again.message) == (0, "pg has no unfound objects")
    asked.client.backoffs.clear()
    data = asked.cluster.ask(asked.client, "old", read()).ops[0].outdata
    assert data == b"first of old"


def test_a_query_tells_who_was_asked(asked):
    found = listed(asked("query"))
    assert found["state"] == "active+recovery_unfound+undersized+degraded"
    active, started = found["recovery_state"]
    assert active["name"] == "Started/Primary/Active"
    assert active["might_have_unfound"] == [{"osd": "0", "status": "osd is down"}]
    assert active["recovery_progress"]["recovering"] == []
    assert started["name"] == "Started"
