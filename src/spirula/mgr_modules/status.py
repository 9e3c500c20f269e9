"""`osd status` and `fs status`: what OSDs and file systems do, for people.

Columns and keys: upstream `src/pybind/mgr/status/module.py`.
"""

from __future__ import annotations

from collections import defaultdict
from fnmatch import fnmatch
from typing import Any

from spirula.commands.arguments import text
from spirula.commands.reply import Reply
from spirula.commands.table import Commands
from spirula.errors import InvalidArgument, NotFound
from spirula.mgr.commands.dispatch import Request
from spirula.mgr_modules.module import Module
from spirula.mgr_modules.tables import Table, short_bytes, short_number

_BOLD, _GREEN, _YELLOW, _PLAIN = "\x1b[1m", "\x1b[1;32m", "\x1b[1;33m", "\x1b[0m"
_RANKS = ("RANK", "STATE", "MDS", "ACTIVITY", "DNS", "INOS", "DIRS", "CAPS")
_OSDS = ("ID", "HOST", "USED", "AVAIL", "WR OPS", "WR DATA", "RD OPS", "RD DATA", "STATE")
_IN_MEMORY = (
    ("dns", "mds_mem.dn"),
    ("inos", "mds_mem.ino"),
    ("dirs", "mds_mem.dir"),
    ("caps", "mds_mem.cap"),
)


class Status(Module):
    """The module `status`."""

    COMMANDS = Commands("mgr")

    def latest(self, kind: str, name: str, counter: str) -> int:
        """The newest value of a counter; 0 where nothing was reported."""
        values = self.host.counter(kind, name, counter)[counter]
        return int(values[-1][1]) if values else 0

    def rate(self, kind: str, name: str, counter: str) -> int:
        """By how much a counter has grown in a second, between its last two reports."""
        values = self.host.counter(kind, name, counter)[counter][-2:]
        if len(values) < 2:
            return 0
        (before, first), (after, last) = (one[:2] for one in values)
        passed = int(after - before)
        return int(last - first) // passed if passed else 0

    @COMMANDS.add(
        "osd status", bucket=text(required=False), perm="r", help="show what OSDs do, in a table"
    )
    def osd_status(self, request: Request, bucket: str | None = None) -> Reply:
        """All OSDs, or those right below the buckets that a pattern fits."""
        chosen = None if bucket is None else self._below(bucket)
        stats = {one["osd"]: one for one in self.host.get("osd_stats")["osd_stats"]}
        rows = [
            self._osd_row(osd, stats.get(osd["osd"]))
            for osd in self.host.get("osd_map")["osds"]
            if chosen is None or osd["osd"] in chosen
        ]
        if not request.is_plain:
            return Reply(data=request.show({"OSDs": rows}))
        table = Table(_OSDS, "rlrrrrrrl")
        for row in rows:
            table.add(
                row["id"],
                row["host name"],
                short_bytes(row["kb used"]),
                short_bytes(row["kb available"]),
                short_number(row["write ops rate"]),
                short_bytes(row["write byte rate"]),
                short_number(row["read ops rate"]),
                short_bytes(row["read byte rate"]),
                ",".join(row["state"]),
            )
        return Reply(data=str(table).encode())

    def _below(self, pattern: str) -> set[int]:
        found = [
            one
            for one in self.host.get("osd_map_crush")["buckets"]
            if fnmatch(one["name"], pattern)
        ]
        if not found:
            raise NotFound(f"Bucket '{pattern}' not found")
        return {item["id"] for bucket in found for item in bucket["items"]}

    def _osd_row(self, osd: dict[str, Any], stat: dict[str, Any] | None) -> dict[str, Any]:
        number = str(osd["osd"])
        metadata = (self.host.metadata("osd", number) if stat else None) or {}

        def rate(*counters: str) -> int:
            return sum(self.rate("osd", number, f"osd.{counter}") for counter in counters)

        return {
            "id": osd["osd"],
            "host name": metadata.get("hostname", ""),
            # Bytes: later releases of upstream, which have this as JSON, call them so.
            "kb used": stat["kb_used"] << 10 if stat else 0,
            "kb available": stat["kb_avail"] << 10 if stat else 0,
            "write ops rate": rate("op_w", "op_rw"),
            "write byte rate": rate("op_in_bytes"),
            "read ops rate": rate("op_r"),
            "read byte rate": rate("op_out_bytes"),
            "state": list(osd["state"]),
        }

    @COMMANDS.add(
        "fs status", fs=text(required=False), perm="r", help="show what a file system's daemons do"
    )
    def fs_status(self, request: Request, fs: str | None = None) -> Reply:
        """All file systems or one: ranks, pools, standbys, versions."""
        told = self.host.get("fs_map")
        shown = [one for one in told["filesystems"] if fs in (None, one["mdsmap"]["fs_name"])]
        if fs is not None and not shown:
            raise InvalidArgument(f"Invalid filesystem: {fs}")
        document: dict[str, Any] = {}
        versions: dict[str, list[str]] = defaultdict(list)
        sections = []
        for one in shown:
            ranks = [*self._ranks(one["mdsmap"], versions), *self._replays(one["mdsmap"], versions)]
            pools, clients = self._pools(one["mdsmap"]), self._clients(one["mdsmap"])
            name = one["mdsmap"]["fs_name"]
            document.setdefault("mdsmap", []).extend(ranks)
            document.setdefault("pools", []).extend(pools)
            document.setdefault("clients", []).append({"fs": name, "clients": clients})
            sections.append(_section(name, clients, ranks, pools))
        standbys = Table(["STANDBY MDS"])
        for standby in told["standbys"]:
            versions[self._version(standby["name"])].append(standby["name"])
            document.setdefault("mdsmap", []).append({"name": standby["name"], "state": "standby"})
            standbys.add(standby["name"])
        if not request.is_plain:
            if len(versions) == 1:
                document["mds_version"] = next(iter(versions))
            elif versions:
                document["mds_version"] = [
                    {"version": version, "daemons": names} for version, names in versions.items()
                ]
            return Reply(data=request.show(document))
        output = "".join(sections) + f"\n{standbys}\n"
        return Reply(data=(output + _versions(versions)).encode())

    def _version(self, name: str) -> str:
        metadata = self.host.metadata("mds", name) or {}
        return metadata.get("ceph_version", "unknown")

    def _ranks(
        self, mdsmap: dict[str, Any], versions: dict[str, list[str]]
    ) -> list[dict[str, Any]]:
        rows = []
        for rank in mdsmap["in"]:
            gid = mdsmap["up"].get(f"mds_{rank}")
            if gid is None:
                rows.append({"rank": rank, "state": "failed"})
                continue
            info = mdsmap["info"][f"gid_{gid}"]
            name, state = info["name"], info["state"].split(":")[1]
            if "laggy_since" in info:
                state += "(laggy)"
            versions[self._version(name)].append(name)
            row = {"rank": rank, "name": name, "state": state, "rate": "0"}
            if state == "active":
                row["rate"] = self.rate("mds", name, "mds_server.handle_client_request")
            rows.append(row | self._in_memory(name))
        return rows

    def _replays(
        self, mdsmap: dict[str, Any], versions: dict[str, list[str]]
    ) -> list[dict[str, Any]]:
        rows = []
        for info in mdsmap["info"].values():
            if info["state"] == "up:standby-replay":
                name = info["name"]
                versions[self._version(name)].append(name)
                events = self.rate("mds", name, "mds_log.replayed")
                row = {"rank": info["rank"], "name": name, "state": "standby-replay"}
                rows.append({**row, "events": events, **self._in_memory(name)})
        return rows

    def _in_memory(self, name: str) -> dict[str, int]:
        return {key: self.latest("mds", name, counter) for key, counter in _IN_MEMORY}

    def _clients(self, mdsmap: dict[str, Any]) -> int:
        """The sessions of rank 0, or of the first rank that has any while that one is down."""
        for rank in mdsmap["in"]:
            gid = mdsmap["up"].get(f"mds_{rank}")
            if gid is not None:
                name = mdsmap["info"][f"gid_{gid}"]["name"]
                found = self.latest("mds", name, "mds_sessions.session_count")
                if found:
                    return found
        return 0

    def _pools(self, mdsmap: dict[str, Any]) -> list[dict[str, Any]]:
        names = {one["pool"]: one["pool_name"] for one in self.host.get("osd_map")["pools"]}
        stats = {one["id"]: one["stats"] for one in self.host.get("df")["pools"]}
        return [
            {
                "id": pool,
                "name": names[pool],
                "type": "metadata" if pool == mdsmap["metadata_pool"] else "data",
                "used": stats[pool]["bytes_used"],
                "avail": stats[pool]["max_avail"],
            }
            for pool in (mdsmap["metadata_pool"], *mdsmap["data_pools"])
            if pool in names and pool in stats
        ]


def _section(
    name: str, clients: int, ranks: list[dict[str, Any]], pools: list[dict[str, Any]]
) -> str:
    """A file system in print."""
    table = Table(_RANKS)
    for row in ranks:
        counts = [short_number(row[key]) if key in row else "" for key, _ in _IN_MEMORY]
        if "events" in row:
            activity = f"Evts: {short_number(row['events'])}/s"
            table.add(f"{row['rank']}-s", "standby-replay", row["name"], activity, *counts)
        elif "name" not in row:
            table.add(row["rank"], "failed", "", "", *counts)
        else:
            active = row["state"] == "active"
            activity = f"Reqs: {short_number(row['rate'])}/s" if active else ""
            colour = _GREEN if active else _YELLOW
            state = f"{colour}{row['state']}{_PLAIN}"
            table.add(f"{_BOLD}{row['rank']}{_PLAIN}", state, row["name"], activity, *counts)
    places = Table(["POOL", "TYPE", "USED", "AVAIL"])
    for pool in pools:
        used, free = short_bytes(pool["used"]), short_bytes(pool["avail"])
        places.add(pool["name"], pool["type"], used, free)
    return f"{name} - {clients} clients\n{'=' * len(name)}\n{table}\n{places}\n"


def _versions(versions: dict[str, list[str]]) -> str:
    if len(versions) == 1:
        return f"MDS version: {next(iter(versions))}"
    table = Table(["VERSION", "DAEMONS"])
    for version, names in versions.items():
        table.add(version, ", ".join(names))
    return f"{table}\n"
