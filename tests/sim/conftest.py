"""What histories share."""

from __future__ import annotations

import logging

import pytest


@pytest.fixture(autouse=True)
def _silent():
    """What goes wrong is what histories are about; a log of it would only take their time."""
    logger = logging.getLogger("spirula.ms")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(before)
