"""Copies of a store's folder while it is open, as a process that is killed would leave it."""

from __future__ import annotations

import shutil


def image_of(folder, target):
    """Copy a folder in which nobody writes but RocksDB's own threads, until they let it be."""
    while True:
        before = _listing(folder)
        try:
            shutil.copytree(folder, target)
        except (shutil.Error, FileNotFoundError):
            pass
        else:
            if _listing(folder) == before:
                return
        shutil.rmtree(target, ignore_errors=True)


def _listing(folder):
    found = {}
    for path in folder.rglob("*"):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        found[path] = status.st_size, status.st_mtime_ns, status.st_ino
    return found
