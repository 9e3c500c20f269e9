"""status, iostat, crash, alerts, devicehealth and telemetry: what cannot be seen on a test cluster.

What they answer is compared with upstream's modules in tests/interop/test_manager_compared.py.
"""

from __future__ import annotations

import json

import pytest

from spirula.conf import crash_report
from spirula.mgr_modules.alerts import Alerts, compare
from spirula.mgr_modules.crash import Crashes, signature
from spirula.mgr_modules.devicehealth.module import DeviceHealth
from spirula.mgr_modules.devicehealth.samples import key_at, time_of, wear_level
from spirula.mgr_modules.iostat import Iostat
from spirula.mgr_modules.registry import MODULES
from spirula.mgr_modules.status import Status
from spirula.mgr_modules.tables import Table, iec, short_bytes, short_number, span
from spirula.mgr_modules.telemetry.module import Telemetry
from spirula.mgr_modules.telemetry.report import device_report
from tests.smtp_sink import smtp_sink
from tests.unit.mgr_modules.fake_host import FakeHost, run

NOW = 1_800_000_000.0  # 2027-01-15 08:00
DAY = 86400


@pytest.fixture
def host():
    return FakeHost(NOW)


# ------------------------------------------------------------------------------------ tables


def test_tables_look_as_prettytable_prints_them():
    table = Table(("ID", "NAME", "NEW"), "rlc")
    assert str(table) == ""
    table.add(1, "a", "*")
    table.add(10, "\x1b[1mlong\x1b[0m", "")
    lines = str(table).split("\n")
    assert lines[:2] == ["ID  NAME  NEW  ", " 1  a      *   "]
    assert lines[2] == "10  \x1b[1mlong\x1b[0m       "


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (short_number(0), "   0 "),
        (short_number(9999), "9999 "),
        (short_number(123456), " 123k"),
        (short_bytes(1 << 30), "1024M"),
        (short_bytes(35 << 30), "35.0G"),
        (iec(10 << 10), "10240 "),
        (iec((10 << 10) + 1), "10 Ki"),
        (span(119), "119s"),
        (span(120), "2m"),
        (span(3 * DAY), "3d"),
        (span(1000 * DAY), "2y"),
    ],
)
def test_numbers_and_spans_are_short(made, text):
    assert made == text


# ------------------------------------------------------------------------------------ status


def mds(name, state, rank):
    return {"name": name, "state": state, "rank": rank}


def test_fs_status_shows_ranks_pools_and_standbys(host):
    host.documents |= {
        "fs_map": {
            "filesystems": [
                {
                    "mdsmap": {
                        "fs_name": "home",
                        "in": [0, 1],
                        "up": {"mds_0": 7},
                        "info": {
                            "gid_7": mds("a", "up:active", 0),
                            "gid_8": mds("b", "up:standby-replay", 0),
                        },
                        "metadata_pool": 1,
                        "data_pools": [2],
                    }
                }
            ],
            "standbys": [{"name": "c"}],
        },
        "osd_map": {"pools": [{"pool": 1, "pool_name": "meta"}, {"pool": 2, "pool_name": "files"}]},
        "df": {
            "pools": [
                {"id": 1, "stats": {"bytes_used": 2048, "max_avail": 4096}},
                {"id": 2, "stats": {"bytes_used": 1024, "max_avail": 4096}},
            ]
        },
    }
    host.counters["mds", "a", "mds_server.handle_client_request"] = [[1, 10], [3, 30]]
    host.counters["mds", "a", "mds_sessions.session_count"] = [[3, 4]]
    host.counters["mds", "a", "mds_mem.ino"] = [[3, 12]]
    for name in "abc":
        host.metadatas["mds", name] = {"ceph_version": "16.2"}
    module = Status("status", host)
    plain = run(module, "fs status")[1]
    assert plain.startswith("home - 4 clients\n====\n")
    assert "Reqs:   10 /s" in plain
    assert "0-s" in plain
    assert "failed" in plain
    assert plain.endswith("MDS version: 16.2")
    document = json.loads(run(module, "fs status", format="json")[1])
    assert [one["state"] for one in document["mdsmap"]] == [
        "active",
        "failed",
        "standby-replay",
        "standby",
    ]
    assert document["mdsmap"][0]["rate"] == 10
    assert document["mdsmap"][0]["inos"] == 12
    assert document["pools"][1] == {
        "id": 2,
        "name": "files",
        "type": "data",
        "used": 1024,
        "avail": 4096,
    }
    assert document["clients"] == [{"fs": "home", "clients": 4}]
    host.metadatas["mds", "c"] = {"ceph_version": "17.2"}
    assert "17.2" in run(module, "fs status")[1]
    assert run(module, "fs status", fs="work") == (-22, "", "Invalid filesystem: work")


def test_iostat_gives_rates_per_second(host):
    sums = {"num_read_kb": 40, "num_write_kb": 100_000, "num_read": 10, "num_write": 50}
    host.documents["io_rate"] = {"pg_stats_delta": {"stamp_delta": "2.5", "stat_sum": sums}}
    row = run(Iostat("iostat", host), "iostat", width=100)[1]
    assert [cell.strip() for cell in row.split("|")[1:-1]] == [
        *("20 KiB/s", "48 MiB/s", "48 MiB/s"),
        *("5", "25", "30"),
    ]
    host.documents["io_rate"]["pg_stats_delta"]["stamp_delta"] = "0"
    assert "KiB" not in run(Iostat("iostat", host), "iostat", width=1)[1]


# ------------------------------------------------------------------------------------ crash


def post(module, ident, age_days):
    stamp = f"2027-01-{15 - age_days:02d}T08:00:00.000000Z"
    crash = {"crash_id": ident, "timestamp": stamp, "entity_name": "osd.1", "backtrace": []}
    return run(module, "crash post", json.dumps(crash).encode())


def test_new_crashes_are_told_of_until_they_are_archived_or_old(host):
    module = Crashes("crash", host)
    post(module, "one", 1)
    post(module, "two", 2)
    check = host.checks["RECENT_CRASH"]
    assert (check["count"], check["summary"]) == (2, "2 daemons have recently crashed")
    assert check["detail"][0] == ("osd.1 crashed on host (unknown) at 2027-01-14T08:00:00.000000Z")
    run(module, "crash archive", id="one")
    assert host.checks["RECENT_CRASH"]["count"] == 1
    host.time += 13 * DAY
    run(module, "crash archive", id="one")
    assert host.checks == {}
    kept = json.loads(host.store["crash/one"])
    assert kept["archived"] == "2027-01-15 08:00:00"
    assert run(module, "crash prune", keep="15")[0] == 0
    assert list(host.store) == ["crash/one"]


def test_more_crashes_than_anybody_reads_are_counted(host):
    module = Crashes("crash", host)
    for number in range(33):
        post(module, f"c{number}", 1)
    assert host.checks["RECENT_CRASH"]["detail"][30:] == ["and 3 more"]


def test_what_is_no_report_is_refused_or_passed_over(host):
    module = Crashes("crash", host)
    assert run(module, "crash post", b"[]")[0] == -22
    code, _, status = run(module, "crash post", b'{"crash_id": "x", "timestamp": "noon"}')
    assert (code, status.partition(":")[0]) == (-22, "malformed crash metadata")
    host.store["crash/odd"] = "{"
    assert run(module, "crash stat")[1].startswith("0 crashes recorded")
    assert "crash/odd is no report" in host.lines[0]


def test_reports_that_daemons_have_left_are_posted(host, tmp_path):
    error = ValueError("the end")
    left = crash_report.write(tmp_path, crash_report.describe("osd.3", error, NOW - DAY), ["one"])
    odd = tmp_path / "odd"
    odd.mkdir()
    for name, text in (("meta", "{"), ("done", "")):
        (odd / name).write_text(text)
    module = Crashes("crash", host)
    module.collect(crash_report.UPSTREAM_FOLDER)
    assert host.store == {}
    module.collect(str(tmp_path))
    assert list(host.store) == [f"crash/{left.name}"]
    assert "osd.3 crashed on host" in host.checks["RECENT_CRASH"]["detail"][0]
    assert sorted(one.name for one in (tmp_path / "posted").iterdir()) == [left.name, "odd"]
    module.collect(str(tmp_path / "nowhere"))


def test_a_signature_leaves_out_what_differs_between_hosts():
    first = signature(["(f()+0x1) [0x11]"], "a.cc: In f thread 1 time 2\na.cc: 7: FAILED x\n")
    assert first == signature(
        ["(f()+0x2) [0x2]"], "a.cc: In f thread 3 time 4\na.cc: 7: FAILED x\n"
    )
    assert first != signature(
        ["(g()+0x1) [0x11]"], "a.cc: In f thread 1 time 2\na.cc: 7: FAILED x\n"
    )
    assert signature(["(f()+0x1) [0x11]"], "odd") != first


# ------------------------------------------------------------------------------------ alerts


@pytest.fixture
def sink():
    with smtp_sink() as server:
        yield server


def health(**checks):
    return {
        "status": "HEALTH_WARN",
        "checks": {
            code: {
                "severity": "HEALTH_WARN",
                "summary": {"message": f"{count} of it", "count": count},
                "detail": [{"message": "osd.1 is it"}],
            }
            for code, count in checks.items()
        },
    }


def test_mails_tell_what_is_new_and_everything(host, sink):
    host.own_options |= {
        "smtp_host": "127.0.0.1",
        "smtp_port": sink.server_address[1],
        "smtp_ssl": False,
        "smtp_sender": "ceph@example.com",
        "smtp_destination": "a@example.com, b@example.com",
    }
    module = Alerts("alerts", host)
    changes = compare(health(OSD_DOWN=1, GONE=1), health(OSD_DOWN=2, PG_NEW=1))
    assert {kind: list(checks) for kind, checks in changes.items()} == {
        "new": ["PG_NEW"],
        "updated": ["OSD_DOWN"],
        "cleared": ["GONE"],
    }
    assert module.send(health(OSD_DOWN=2, PG_NEW=1), changes) == ""
    (mail,) = sink.mails
    assert [one.upper() for one in sink.receivers] == [
        "RCPT TO:<A@EXAMPLE.COM>",
        "RCPT TO:<B@EXAMPLE.COM>",
    ]
    assert "Subject: HEALTH_WARN\r\n" in mail
    assert "From: Ceph <ceph@example.com>" in mail
    assert "--- New ---\r\n[WARN] PG_NEW: 1 of it\r\n        osd.1 is it" in mail
    assert "=== Full health status ===" in mail
    assert host.checks == {}
    host.documents["health"] = {"json": json.dumps(health(OSD_DOWN=2))}
    assert run(module, "alerts send") == (0, "", "")
    assert len(sink.mails) == 2


def test_a_mail_that_cannot_be_sent_is_told_of(host):
    module = Alerts("alerts", host)
    host.documents["health"] = {"json": json.dumps(health(X=1))}
    assert "set mgr/alerts/smtp_host" in run(module, "alerts send")[2]
    with smtp_sink() as closed:
        port = closed.server_address[1]
    host.own_options |= {"smtp_host": "127.0.0.1", "smtp_port": port, "smtp_ssl": False}
    assert "refused" in run(module, "alerts send")[2]
    check = host.checks["ALERTS_SMTP_ERROR"]
    assert check["summary"] == "unable to send alert email"
    assert "refused" in check["detail"][0]


# ------------------------------------------------------------------------------ devicehealth


def device(ident, daemon, end):
    return {
        "devid": ident,
        "location": [{"host": "vm", "dev": "sda", "path": ""}],
        "daemons": [daemon],
        "life_expectancy_min": end,
        "life_expectancy_max": end,
    }


SOON, LATER, FAR = (
    "2027-01-20T00:00:00.000000+0000",
    "2027-03-20T00:00:00.000000+0000",
    "2028-01-20T00:00:00.000000+0000",
)


def osds(host, *inside):
    host.options["mon_osd_min_in_ratio"] = 0.5
    host.documents["osd_map"] = {
        "osds": [{"osd": number, "in": int(number in inside)} for number in range(4)]
    }
    host.documents["osd_stats"] = {"osd_stats": [{"osd": n, "num_pgs": 8} for n in range(4)]}


def test_osds_whose_disks_end_soon_are_marked_out(host):
    osds(host, 0, 1, 3)
    host.documents["devices"] = {
        "devices": [
            device("a", "osd.0", SOON),
            device("b", "osd.1", LATER),
            device("c", "osd.2", SOON),
            device("d", "osd.3", FAR),
            {**device("e", "osd.3", "0.000000")},
        ]
    }
    module = DeviceHealth("devicehealth", host)
    assert run(module, "device check-health") == (0, "", "")
    assert [(words["prefix"], words.get("ids")) for _, words in host.sent] == [
        ("osd out", ["0"]),
        ("osd primary-affinity", None),
    ]
    assert host.checks["DEVICE_HEALTH"]["count"] == 3
    assert host.checks["DEVICE_HEALTH"]["detail"][0] == (
        f"a (vm:sda); daemons osd.0; life expectancy between {SOON} and {SOON}"
    )
    assert host.checks["DEVICE_HEALTH_IN_USE"]["detail"] == [
        "osd.2 is marked out but still has 8 PG(s)"
    ]
    run(module, "device monitoring off")
    assert host.checks == {}


def test_not_so_many_osds_are_marked_out_that_too_few_are_left(host):
    osds(host, 0, 1, 2)
    ends = [device(str(number), f"osd.{number}", SOON) for number in range(3)]
    host.documents["devices"] = {"devices": ends}
    DeviceHealth("devicehealth", host).check_health()
    assert host.sent[0][1]["ids"] == ["0"]
    (line,) = host.checks["DEVICE_HEALTH_TOOMANY"]["detail"]
    assert line == (
        '2 OSDs with failing device(s) would bring "in" ratio to 0.000000'
        " < mon_osd_min_in_ratio 0.500000"
    )


def test_nobody_is_marked_out_where_that_is_not_wanted(host):
    osds(host, 0, 1, 2, 3)
    host.documents["devices"] = {"devices": [device("a", "osd.0", SOON)]}
    host.own_options["self_heal"] = False
    DeviceHealth("devicehealth", host).check_health()
    assert host.sent == []
    assert list(host.checks) == ["DEVICE_HEALTH"]


def test_devices_and_daemons_that_are_not_there_are_refused(host):
    host.documents["mon_map"] = {"mons": []}
    host.options |= {"osd_pool_default_size": 3, "device_failure_prediction_mode": "local"}
    module = DeviceHealth("devicehealth", host)
    assert run(module, "device get-health-metrics", devid="x")[0] == -2
    assert run(module, "device scrape-health-metrics", devid="x")[0] == -2
    assert run(module, "device scrape-health-metrics")[0] == -11
    host.documents["device x"] = {"device": {"daemons": []}}
    assert run(module, "device scrape-health-metrics", devid="x")[0] == -11
    for who in ("mds.a", "osd.", "x"):
        assert run(module, "device scrape-daemon-health-metrics", who=who)[0] == -22
    code, _, status = run(module, "device predict-life-expectancy", devid="x")
    assert (code, status) == (-1, "unable to invoke diskprediction local or remote plugin")


def test_times_of_samples_and_wear_are_read():
    assert time_of(key_at(NOW)) == NOW
    assert time_of("yesterday") is None
    page = {"number": 7, "table": [{"offset": 8, "value": 12}]}
    assert wear_level({"ata_device_statistics": {"pages": [None, page]}}) == 0.12
    assert wear_level({"nvme_smart_health_information_log": {"percentage_used": 3}}) == 0.03
    assert wear_level({}) is None


# --------------------------------------------------------------------------------- telemetry


def test_telemetry_cannot_be_turned_on(host):
    module = Telemetry("telemetry", host)
    for command in ("telemetry on", "telemetry send"):
        code, _, status = run(module, command, license="sharing-1-0")
        assert code == -1
        assert "sends nothing to anybody" in status
    assert run(module, "telemetry off")[0] == 0
    assert json.loads(run(module, "telemetry status")[1])["enabled"] is False
    assert run(module, "telemetry show", channels=["all"])[0] == -22


def test_nothing_of_ours_could_send_a_report():
    """What opens connections to elsewhere is not even imported."""
    sources = MODULES["telemetry"].partition(":")[0].rpartition(".")[0]
    package = __import__(sources, fromlist=["module", "report"])
    for part in (package.module, package.report):
        names = {getattr(one, "__name__", "") for one in vars(part).values()}
        assert not names & {"requests", "urllib", "http", "socket", "smtplib", "urllib.request"}


def test_reports_of_crashes_and_disks_carry_other_names(host):
    crash = {"entity_name": "osd.7", "utsname_hostname": "secret", "crash_id": "x"}
    sample = {"serial_number": "S3R1AL", "text": "disk S3R1AL"}
    host.methods |= {
        ("crash", "reports"): lambda: {"x": crash},
        ("devicehealth", "get_time_format"): lambda: "%Y%m%d-%H%M%S",
        ("devicehealth", "get_recent_device_metrics"): lambda devid, since: {since: sample},
    }
    host.documents["devices"] = {"devices": [device("ACME_S3R1AL", "osd.7", FAR)]}
    module = Telemetry("telemetry", host)
    shown = run(module, "telemetry show", channels=["crash"])[1]
    report = device_report(module)
    assert "secret" not in shown
    assert '"osd.7"' not in shown
    text = json.dumps(report)
    assert "S3R1AL" not in text
    assert "vm" not in report
    assert "ACME_" in text
    assert device_report(module) == report
