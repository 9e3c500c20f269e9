"""What a real 16.2.15 monitor said of health, usage and PGs, from what it had in its store.

`status.xz` holds answers of a cluster with three OSDs, a replicated and an erasure-coded pool, and
the values in the monitor's store that they were made of: when all was well (`clean`), with an OSD
down while clients wrote (`busy`), and while it came back (`recovering`).
"""

from __future__ import annotations

import base64
import json
import lzma
from pathlib import Path

import pytest

from spirula.commands.reply import lines
from spirula.conf.formatter import render
from spirula.maps.osdmap import OSDMap
from spirula.mon.services.health import checks, show
from spirula.mon.services.mgrstat.service import Report
from spirula.pgmap import services, summary, usage
from spirula.types.service import HealthCheckMap

RECORDED = json.loads(lzma.decompress(Path(__file__).with_name("status.xz").read_bytes()))

pytestmark = pytest.mark.golden


@pytest.fixture(params=sorted(RECORDED))
def recorded(request):
    made = RECORDED[request.param]
    store = {name: base64.b64decode(value) for name, value in made["store"].items()}
    return made["answers"], store


def health_of(store):
    found = {}
    for name, encoded in store.items():
        if name.startswith("health_"):
            checks.merge(found, HealthCheckMap.decode(encoded).checks)
    return found


def test_reports_are_kept_byte_for_byte(recorded):
    _, store = recorded
    assert Report.decode(store["mgrstat"]).encode() == store["mgrstat"]


def test_usage(recorded):
    answers, store = recorded
    digest, osdmap = Report.decode(store["mgrstat"]).digest, OSDMap.decode(store["osdmap"])
    assert lines(usage.plain(digest, osdmap, detail=False)) == answers["df"]
    assert lines(usage.plain(digest, osdmap, detail=True)) == answers["df_detail"]
    document = usage.document(digest, osdmap, detail=True)
    assert lines(render(document, "json")) == answers["df_json"]


def test_pgs_and_services(recorded):
    answers, store = recorded
    report, shown = Report.decode(store["mgrstat"]), json.loads(answers["status_json"])
    assert json.loads(render(summary.document(report.digest), "json")) == shown["pgmap"]
    assert list(summary.document(report.digest)) == list(shown["pgmap"])
    assert json.loads(render(services.document(report.services), "json")) == shown["servicemap"]
    _, _, data = answers["status"].partition("  data:\n")
    data, _, _ = data.partition("  progress:\n")
    assert lines(summary.plain(report.digest) + " \n") == data


def test_health(recorded):
    answers, store = recorded
    found = health_of(store)
    assert show.plain(found, {}, 0.0, detail=True) == answers["health"]
    assert render(show.document(found, {}, detail=False), "json") == answers["health_json"]
