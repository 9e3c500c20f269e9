"""Devices as they are shown: how worn, and how long they may live."""

from __future__ import annotations

import pytest

from spirula.mgr.devices import Device


@pytest.mark.parametrize(("kept", "worn"), [("0.12", 0.12), ("odd", None), (None, None)])
def test_wear_is_shown_where_the_disk_says_it(kept, worn):
    device = Device("ACME_1", metadata={} if kept is None else {"wear_level": kept})
    assert device.wear == worn
    assert device.document().get("wear_level") == worn


def test_a_life_is_told_from_now():
    noted = {
        "life_expectancy_min": "2027-01-20T00:00:00.000000+0000",
        "life_expectancy_max": "2027-02-20T00:00:00.000000+0000",
    }
    now = 1_800_000_000.0  # 2027-01-15 08:00
    device = Device("ACME_1", metadata=noted)
    assert device.life_text(now) == "4d to 5w"
    assert device.life_text(now + 10 * 86400) == "now"
    assert Device("ACME_2").life_text(now) == ""
