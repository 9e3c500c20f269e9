"""Disks below a store: found, named, asked."""

from __future__ import annotations

import asyncio
import json
import os

import pytest

from spirula.cli.disks import Disk, Disks, Places, disks_below

SERIAL = """\
S:disk/by-id/x
E:ID_MODEL=ACME Disk
E:ID_SERIAL_SHORT=S3R1AL
"""


@pytest.fixture
def host(tmp_path):
    """A host whose /sys says that the tests' folder is on a volume of two disks."""
    number = tmp_path.stat().st_dev
    sys, udev, by_path = (tmp_path / name for name in ("sys", "udev", "by-path"))
    for place in (sys / "dev" / "block", udev, by_path):
        place.mkdir(parents=True)
    for name, major in (("sda", "8:0"), ("nvme0n1", "259:0")):
        (sys / "block" / name / "device").mkdir(parents=True)
        (sys / "block" / name / "dev").write_text(f"{major}\n")
    part = sys / "block" / "sda" / "sda1"
    part.mkdir()
    (part / "partition").write_text("1\n")
    volume = sys / "block" / "dm-0"
    (volume / "slaves").mkdir(parents=True)
    (volume / "slaves" / "sda1").symlink_to(part)
    (volume / "slaves" / "nvme0n1").symlink_to(sys / "block" / "nvme0n1")
    link = sys / "dev" / "block" / f"{os.major(number)}:{os.minor(number)}"
    link.symlink_to(volume)
    (udev / "b8:0").write_text(SERIAL)
    (sys / "block" / "nvme0n1" / "device" / "model").write_text("FAST 1 \n")
    (sys / "block" / "nvme0n1" / "device" / "serial").write_text(" N1\n")
    (by_path / "pci-1").symlink_to("../../sda")
    return Places(sys, udev, by_path)


def test_a_volume_leads_to_its_disks(host, tmp_path):
    found = disks_below(tmp_path, host)
    assert found.found == [
        Disk("nvme0n1", "FAST_1_N1", ""),
        Disk("sda", "ACME_Disk_S3R1AL", f"{tmp_path}/by-path/pci-1"),
    ]
    assert found.metadata() == {
        "devices": "nvme0n1,sda",
        "device_ids": "nvme0n1=FAST_1_N1,sda=ACME_Disk_S3R1AL",
        "device_paths": f"sda={tmp_path}/by-path/pci-1",
    }


@pytest.mark.parametrize(
    ("told", "ident"),
    [
        ("E:ID_VENDOR=HP\nE:ID_MODEL=X\nE:ID_SCSI_SERIAL=7\nE:ID_SERIAL_SHORT=odd", "HP_X_7"),
        ("E:ID_SERIAL=MTFDKCB_1", "Micron_MTFDKCB_1"),
        ("E:ID_MODEL=LVM PV x\nE:ID_MODEL_ENC=Real\\x20One\nE:ID_SERIAL_SHORT=9", "Real_One_9"),
        ("E:ID_MODEL=only", ""),
    ],
)
def test_ids_are_made_as_upstream_makes_them(host, tmp_path, told, ident):
    (host.udev / "b8:0").write_text(told)
    assert {one.name: one.ident for one in disks_below(tmp_path, host).found}["sda"] == ident


def test_where_nothing_is_known_there_are_no_disks(tmp_path):
    nowhere = Places(tmp_path, tmp_path, tmp_path / "none")
    assert disks_below(tmp_path, nowhere).metadata() == {
        "devices": "",
        "device_ids": "",
        "device_paths": "",
    }


@pytest.mark.parametrize(
    ("script", "key", "value"),
    [
        ('echo "{\\"device\\": \\"$3\\"}"', "device", "/dev/sda"),
        ("echo '{}'; exit 8", "nvme_vendor", "unknown"),
        ("echo broken; exit 2", "smartctl_output", "broken\n"),
        ("echo broken", "error", "smartctl returned invalid JSON"),
        ("sleep 60", "smartctl_error_code", -110),
    ],
)
def test_smartctl_is_asked(tmp_path, monkeypatch, script, key, value):
    program = tmp_path / "smartctl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    disks = Disks([Disk("sda", "ACME_1", ""), Disk("sdb", "", ""), Disk("sdc", "ACME_2", "")])
    timeout = 0.2 if "sleep" in script else 20
    told = json.loads(asyncio.run(disks.smart("ACME_1", timeout)))
    assert list(told) == ["ACME_1"]
    assert told["ACME_1"][key] == value


def test_without_smartctl_the_report_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    told = json.loads(asyncio.run(Disks([Disk("sda", "ACME_1", "")]).smart("", 1)))
    assert "is not installed" in told["ACME_1"]["smartctl_output"]
