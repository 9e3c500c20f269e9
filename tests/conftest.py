"""What all tests share: how much to try, and Hypothesis without chance.

`make test` runs every test with a fixed number of histories and examples that are the same at each
run; `make sim` and `make fuzz` multiply the numbers with `--scale`, and `make fuzz` draws new ones.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, settings

EXAMPLES = 100


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--scale",
        type=int,
        default=1,
        metavar="N",
        help="try N times as many histories and examples (make sim, make fuzz)",
    )


def pytest_configure(config: pytest.Config) -> None:
    scale = config.getoption("--scale")
    settings.register_profile(
        "repeatable",
        derandomize=True,
        deadline=None,
        print_blob=True,
        max_examples=EXAMPLES * scale,
        # On a busy machine slowness says nothing about the test.
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.register_profile(
        "explore",
        settings.get_profile("repeatable"),
        derandomize=False,
        phases=tuple(Phase),
    )
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@pytest.fixture(scope="session")
def scale(request: pytest.FixtureRequest) -> int:
    """How many times the usual number of histories or examples this run tries."""
    return int(request.config.getoption("--scale"))
