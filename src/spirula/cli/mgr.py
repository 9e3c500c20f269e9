"""`spirula mgr`: one manager as a process, in the foreground, with upstream's flags.

    spirula mgr -i x -c ceph.conf

The edge of `spirula.mgr`: files, signals, the event loop and the clock are here. Follows upstream
`src/ceph_mgr.cc`.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from collections.abc import Callable

import uvloop

from spirula.cli.credentials import find_key
from spirula.cli.host import pick_address, system_metadata
from spirula.cli.resolve import resolve
from spirula.cli.serving import Ending, open_admin_socket, serving
from spirula.client.mon_hosts import parse_mon_host
from spirula.conf import version
from spirula.conf.args import Words
from spirula.conf.config import Config
from spirula.conf.load import load
from spirula.conf.log import Logger
from spirula.errors import InvalidArgument, SpirulaError
from spirula.mgr.daemon import make_manager
from spirula.mgr.state import Ports
from spirula.mgr_host.host import ThreadedHost
from spirula.mgr_host.rados_module import rados_for_modules
from spirula.types.mgr import ModuleInfo

_COLLECTIONS = (20_000, 20, 50)
"""New objects until they are looked at, and looks until older ones are."""

HELP = """\
usage: spirula mgr -i ID [-c CEPH.CONF] [flags]

Runs a manager in the foreground, until SIGTERM or SIGINT: as a standby, until the monitors make it
the active one.

  -i ID                 the manager's name
  -c FILE               the configuration (`mgr_data`, `keyring`, `mon_host` ...)
  -d                    log to the error output as well
  --OPTION VALUE        any configuration option

`spirula conf --show-config` lists the options; docs/guide/managers.md tells how to run managers."""


def main(argv: list[str]) -> int:
    """Run `spirula mgr ARGV...`."""
    if "-h" in argv or "--help" in argv:
        print(HELP)
        return 0
    loaded = load(argv, entity_type="mgr", daemon=True, data_dir_option="mgr_data")
    for warning in loaded.warnings:
        print(warning, file=sys.stderr)
    words = Words(loaded.args.rest)
    while words:
        if words.flag("--describe-modules"):
            return _describe(loaded.config)
        if not words.flag("-f", "--foreground"):
            raise InvalidArgument(f"unrecognized argument {words.peek()!r}: see --help")
    collect_seldom()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        ending = runner.run(_serve(loaded.config, argv))
    if ending.again:
        # What modules have loaded and changed cannot be undone in a process.
        again = [sys.executable, "-m", "spirula", "mgr", *argv]
        os.execv(sys.executable, again)  # noqa: S606 - this very program, with its own words
    if ending.reason:
        print(f"spirula mgr: {ending.reason}", file=sys.stderr)
    sys.stderr.flush()
    # Threads of modules may wait for ever for what does not come any more.
    os._exit(1 if ending.reason else 0)


def collect_seldom() -> None:
    """Looks for cycles of objects that nobody uses less often than Python does by itself.

    Reports of PGs make none and leave some thirty objects each for long: looking at all of them
    whenever there are more was half of the work of a manager that begins with many PGs.
    """
    gc.freeze()
    gc.set_threshold(*_COLLECTIONS)


def _describe(config: Config) -> int:
    """Imports all modules and says what they declare: for a manager that runs few of them."""
    host = _module_host(config, lambda *_: None)
    host.load({info.name for info in host.infos()})
    for info in host.infos():
        print(info.encode().hex())
    return 0


async def _learn_modules(host: ThreadedHost, arguments: list[str], logger: Logger) -> None:
    """Has another process import all modules, so that this one knows their options."""
    words = [sys.executable, "-m", "spirula", "mgr", *arguments, "--describe-modules"]
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    output, _ = await process.communicate()
    try:
        host.describe([ModuleInfo.decode(bytes.fromhex(line)) for line in output.decode().split()])
    except (SpirulaError, ValueError) as error:
        logger(0, "options of modules are not known: %s", error)


async def _serve(config: Config, argv: list[str]) -> Ending:
    with serving(config) as log:
        name = config.identity.entity_id
        logger = log.logger("mgr", f"mgr.{name} ")
        ending = Ending(logger)
        ports = Ports(
            loop=asyncio.get_running_loop(),
            wall=time.time,
            random_bytes=os.urandom,
            log=logger,
            stop=ending.stop,
            respawn=ending.restart,
            metadata=system_metadata(),
        )
        monitors = parse_mon_host(config.get_str("mon_host"), resolve)
        address = pick_address(config, "public", monitors)
        host = _module_host(config, logger)
        daemon = make_manager(name, config, find_key(config), ports, address, resolve, host)
        admin = await open_admin_socket(daemon.table, config, log, daemon.manager.perf)
        try:
            logger(1, "%s", version.PRETTY)
            learning = asyncio.create_task(_learn_modules(host, argv, logger))
            try:
                await ending.after(daemon.start())
            finally:
                learning.cancel()
        finally:
            if admin is not None:
                await admin.close()
            await daemon.stop()
    return ending


def _module_host(config: Config, logger: Callable[..., None]) -> ThreadedHost:
    folders = [one for one in config.get_str("mgr_module_path").split(":") if one]
    disabled = set(config.get_str("mgr_disabled_modules").replace(",", " ").split())
    return ThreadedHost(folders, disabled, rados_for_modules(), lambda line: logger(0, "%s", line))
