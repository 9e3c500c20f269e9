"""What all tests share: how much to try, and Hypothesis without chance.

`make test` runs every test with a fixed number of histories and examples that are the same at each
run; `make sim` and `make fuzz` multiply the numbers with `--scale`, and `make fuzz` draws new ones.
"""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from xdist.scheduler import LoadScopeScheduling

EXAMPLES = 100
ROOT = Path(__file__).parent.parent


class InteropByFile(LoadScopeScheduling):
    """Spread the tests one by one, but keep those together that share a cluster.

    In tests/interop that is each file, and all files whose tests take the one real cluster of the
    session. (What xdist's own loadgroup is for; release 3.8 of it does nothing under pytest 9.2.)
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if not file.startswith("tests/interop/"):
            return nodeid
        return "tests/interop" if takes_the_real_cluster(file) else file


@functools.cache
def takes_the_real_cluster(file: str) -> bool:
    """Whether tests of a file ask for the fixture `real_cluster`."""
    return re.search(r"\breal_cluster\b", (ROOT / file).read_text()) is not None


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> InteropByFile:
    return InteropByFile(config, log)


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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is asked to try more may take longer than any test says of itself."""
    if config.getoption("--scale") > 1:
        for item in items:
            item.add_marker(pytest.mark.timeout(0), append=False)


@pytest.fixture(scope="session")
def scale(request: pytest.FixtureRequest) -> int:
    """How many times the usual number of histories or examples this run tries."""
    return int(request.config.getoption("--scale"))
