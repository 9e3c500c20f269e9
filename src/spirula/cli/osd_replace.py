"""`spirula osd replace N`: a new store for an OSD whose disk has died, under the same number.

Its place in the CRUSH map and its weight stay, so that only what the disk held is copied back. To
be run on the OSD's host, with a key of an administrator. Called by the dispatcher.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
import uuid
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from spirula.auth.crypto import KeyType, generate_key
from spirula.auth.keyring import KeyRing
from spirula.cli.credentials import find_key
from spirula.cli.osd import main as run_osd
from spirula.cli.resolve import resolve
from spirula.client.mon_client import Reply
from spirula.client.session import ClusterSession, open_session
from spirula.conf.config import Config
from spirula.conf.load import load
from spirula.errors import Busy, CephError, Exists, NotFound, NotPermitted
from spirula.store.disk.medium import FolderMedium
from spirula.types.auth import CryptoKey, PrincipalName

_DESCRIPTION = """\
Give an OSD whose disk has died a new store under the same number: the old OSD is destroyed (its key
goes, its place in the CRUSH map stays), a store is made in its osd_data, and a key for it. Then
start it as before.
"""
_TIMEOUT_S = 60.0
_MEMORY = 8 << 20


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="spirula osd replace", description=_DESCRIPTION, allow_abbrev=False
    )
    parser.add_argument("osd", metavar="N", type=int, help="the OSD's number")
    parser.add_argument(
        "--force",
        action="store_true",
        help="though no manager says that no data would be lost with it",
    )
    parser.add_argument(
        "--wipe", action="store_true", help="remove the store that is in its osd_data now"
    )
    parser.add_argument("--start", action="store_true", help="run it afterwards, in the foreground")
    parser.add_argument(
        "--dry-run", action="store_true", help="only say whether it can be replaced"
    )
    return parser


@dataclass(slots=True)
class _Job:
    """What is to be replaced: the arguments, and the OSD's configuration."""

    args: argparse.Namespace
    config: Config

    @property
    def folder(self) -> Path:
        """Where the OSD's store is."""
        return Path(self.config.get_str("osd_data"))

    @property
    def number(self) -> int:
        """The OSD's."""
        return int(self.args.osd)


def main(argv: list[str]) -> int:
    """Runs the command; 0, or an exception with an errno."""
    args, others = _parser().parse_known_args(argv)
    ours = ["-i", str(args.osd), *others]
    osd = load(ours, entity_type="osd", daemon=True, data_dir_option="osd_data")
    admin = load(others, defaults={"log_to_stderr": "false"})
    identity = asyncio.run(_replace(_Job(args, osd.config), admin.config))
    if identity is None:
        print(f"osd.{args.osd} can be replaced", file=sys.stderr)
        return 0
    run_osd([*ours, "--mkfs", "--osd-uuid", str(identity)])
    words = " ".join(ours)
    if args.start:
        return run_osd(ours)
    print(f"osd.{args.osd} has a new store: start it by `spirula osd {words}`", file=sys.stderr)
    return 0


async def _replace(job: _Job, admin: Config) -> uuid.UUID | None:
    """All but the new store; its identity, None if nothing was to be done."""
    session = await open_session(
        admin,
        find_key(admin),
        clock=time.time,
        random_bytes=os.urandom,
        resolve=resolve,
        timeout_s=_TIMEOUT_S,
    )
    try:
        row = await _row(session, job.number)
        is_destroyed = "destroyed" in row["state"]
        if not is_destroyed:
            await _check_safe(session, job, row)
        _check_folder(job)
        if job.args.dry_run:
            return None
        if not is_destroyed:
            sure = {"id": job.number, "yes_i_really_mean_it": True}
            (await _ask(session, "osd destroy-actual", sure)).check()
        _wipe(job.folder)
        identity = uuid.uuid4()
        key = generate_key(KeyType.AES, time.time(), os.urandom)
        secret = json.dumps({"cephx_secret": b64encode(key.encode()).decode()}).encode()
        wanted = {"uuid": str(identity), "id": str(job.number)}
        (await _ask(session, "osd new", wanted, secret)).check()
        _write_key(job, key)
        return identity
    finally:
        await session.close()


async def _ask(
    session: ClusterSession,
    prefix: str,
    arguments: Mapping[str, object] = MappingProxyType({}),
    data: bytes = b"",
) -> Reply:
    command = {"prefix": prefix, "format": "json", **arguments}
    return await session.command(command, data, _TIMEOUT_S)


async def _row(session: ClusterSession, number: int) -> dict[str, Any]:
    """What the OSD map says of the OSD."""
    dump = json.loads((await _ask(session, "osd dump")).check())
    for row in dump["osds"]:
        if row["osd"] == number:
            found: dict[str, Any] = row
            return found
    raise NotFound(f"there is no osd.{number}: `ceph osd tree` lists them")


async def _check_safe(session: ClusterSession, job: _Job, row: dict[str, Any]) -> None:
    number = job.number
    if row["up"]:
        raise Busy(f"osd.{number} is up: stop it first, or wait until it is marked down")
    if job.args.force:
        return
    managers = json.loads((await _ask(session, "mgr dump")).check())
    if not managers["available"]:
        raise NotPermitted(
            f"no manager is there to say whether osd.{number} can go without loss of data: "
            "--force replaces it all the same"
        )
    command = {"prefix": "osd safe-to-destroy", "ids": [str(number)], "format": "json"}
    reply = await session.mgr_command(command, b"", _TIMEOUT_S)
    if reply.result < 0:
        raise CephError.from_errno(
            reply.result,
            f"{reply.status}: wait until other OSDs have what it held (`ceph osd out {number}`), "
            "or --force",
        )


# -------------------------------------------------------------------------------------- its folder


def _check_folder(job: _Job) -> None:
    folder = job.folder
    if not (folder / "fsid").exists() and not (folder / "block").exists():
        return
    if not job.args.wipe:
        raise Exists(
            f"{folder} holds a store: mount the new disk there, or --wipe removes what is there"
        )
    try:
        parts = FolderMedium(folder).open(_MEMORY)
    except (Busy, OSError) as error:
        if isinstance(error, Busy):
            raise Busy(f"the store in {folder} is in use: stop osd.{job.number}") from None
    except CephError:
        pass  # it is damaged, or of another kind: that is why it goes
    else:
        parts.close()


def _wipe(folder: Path) -> None:
    """Removes a store's files, and leaves the folder: a disk may be mounted there."""
    if not folder.is_dir():
        return
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()


def _write_key(job: _Job, key: CryptoKey) -> None:
    path = Path(job.config.get_str("keyring").split(",")[0])
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    ring = KeyRing()
    ring.add(PrincipalName.parse(f"osd.{job.number}"), key)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(ring.to_text())
