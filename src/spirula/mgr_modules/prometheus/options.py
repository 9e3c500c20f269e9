"""The options of `prometheus`, for active and standby managers alike."""

from __future__ import annotations

from typing import Any

from spirula.mgr_modules.module import Module
from spirula.mgr_modules.options import Option
from spirula.mgr_modules.prometheus.server import any_address

PORT = 9283

OPTIONS: tuple[Option, ...] = (
    Option("server_addr", "", "the address that is listened at; empty for all"),
    Option("server_port", PORT, "the port on which the module listens for HTTP requests"),
    Option("scrape_interval", 15.0, "seconds between collections"),
    Option(
        "stale_cache_strategy",
        "log",
        "what is answered when collecting takes longer than that: 'return' the old data, or 503",
    ),
    Option("cache", default=True, help="whether data is collected before it is asked for"),
    Option("rbd_stats_pools", "", "pools whose RBD images have metrics of their own"),
    Option("rbd_stats_pools_refresh_interval", 300, "seconds between listings of images"),
    Option(
        "standby_behaviour",
        "default",
        "what standby managers answer: a link to the active one, or an error",
        choices=("default", "error"),
    ),
    Option("standby_error_status_code", 500, "the status of that error", low=400, high=599),
)


def localized(module: Module, name: str) -> Any:
    """An option, as set for this manager or for all."""
    found = module.host.module_option(module.name, name, module.host.mgr_id)
    return module.option(name) if found is None else found


def place_of(module: Module) -> tuple[str, int]:
    """The address and port to listen at."""
    address = str(localized(module, "server_addr")) or any_address()
    return address, int(localized(module, "server_port"))
