"""Where a module's log lines go: the manager's log, and as options say the cluster's and a file.

Options: upstream `src/pybind/mgr/mgr_module.py` (MgrModuleLoggingMixin).
"""

from __future__ import annotations

import logging
from logging.handlers import WatchedFileHandler
from typing import TYPE_CHECKING

from spirula.mgr_modules.options import LEVELS, Option

if TYPE_CHECKING:
    from spirula.mgr_modules.module import Module

LOG_OPTIONS = (
    Option("log_level", "", "Least level of the lines in the log; info if empty", choices=LEVELS),
    Option("log_to_file", default=False, help="Whether they go to a file of the module's own, too"),
    Option("log_to_cluster", default=False, help="Whether they go to the cluster log, too"),
    Option("log_to_cluster_level", "info", "Least level of those", choices=LEVELS),
)
"""What every module has."""

_FILE_FORMAT = "%(asctime)s [%(threadName)s] [%(levelname)-4s] [%(name)s] %(message)s"
_INFO, _WARNING, _ERROR = 1, 3, 4
"""Priorities of the cluster log."""


class _ManagerLog(logging.Handler):
    """Lines for the manager's own log."""

    def __init__(self, module: Module) -> None:
        super().__init__()
        self.module = module

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        text = self.format(record)
        self.module.host.log(f"[{self.module.name} {record.levelname}] {text}")


class _ClusterLog(logging.Handler):
    """Lines for the cluster log."""

    def __init__(self, module: Module) -> None:
        super().__init__()
        self.module = module

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        priority = _WARNING if record.levelno >= logging.WARNING else _INFO
        priority = _ERROR if record.levelno >= logging.ERROR else priority
        self.module.host.cluster_log("cluster", priority, self.format(record))


def make_logger(module: Module) -> logging.Logger:
    """The module's logger; `apply` has it follow the options."""
    made = logging.getLogger(f"mgr_modules.{module.name}")
    made.propagate = False
    made.handlers = [_ManagerLog(module)]
    return made


def apply(module: Module) -> None:
    """Has lines go where the options say."""
    log = module.log
    log.setLevel((module.option("log_level") or "info").upper())
    for handler in log.handlers[1:]:
        log.removeHandler(handler)
        handler.close()
    if module.option("log_to_cluster"):
        cluster = _ClusterLog(module)
        cluster.setLevel((module.option("log_to_cluster_level") or "info").upper())
        log.addHandler(cluster)
    path = str(module.host.option("log_file") or "") if module.option("log_to_file") else ""
    if path:
        stem = path[: path.rfind(".log")] if ".log" in path else path
        # It is opened with the first line, and anew when somebody has moved it away.
        name = f"{stem}.{module.name}.log"
        file = WatchedFileHandler(name, encoding="utf-8", delay=True)
        file.setFormatter(logging.Formatter(_FILE_FORMAT))
        log.addHandler(file)
