"""Programs that are shown as a daemon of a service, and what they tell of their machine.

Called by `Cluster.register_service`, which imports it then. Facts as those of upstream's
`collect_sys_info`.
"""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Mapping
from pathlib import Path

import spirula
from spirula.client.mgr_client import MgrClient
from spirula.client.session import ClusterSession
from spirula.conf.config import Config
from spirula.conf.perf import PerfCollection

_KIB = 1024


def begin(
    session: ClusterSession, config: Config, service: str, daemon: str, metadata: Mapping[str, str]
) -> None:
    """Has the session report to the manager as that daemon, from now on."""
    client = MgrClient(session.loop, session.messenger, config, PerfCollection(), daemon)
    client.service = service
    client.metadata = {**host_facts(), **metadata}
    session.serve(client)


def host_facts() -> dict[str, str]:
    """Host, kernel, distribution, processor and memory."""
    system = os.uname()
    facts = {
        "arch": system.machine,
        "ceph_version": f"spirula {spirula.__version__}",
        "ceph_version_short": spirula.__version__,
        "hostname": socket.gethostname(),
        "kernel_description": system.version,
        "kernel_version": system.release,
        "os": system.sysname,
    }
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    for key, name in (("ID", "distro"), ("VERSION_ID", "distro_version"), ("PRETTY_NAME", "")):
        if name and key in release:
            facts[name] = release[key]
    if "PRETTY_NAME" in release:
        facts["distro_description"] = release["PRETTY_NAME"]
    facts.update(_memory())
    return facts


def _memory() -> dict[str, str]:
    wanted = {"MemTotal": "mem_total_kb", "SwapTotal": "mem_swap_kb"}
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        key, _, rest = line.partition(":")
        if key in wanted:
            found[wanted[key]] = rest.split()[0]
    return found
