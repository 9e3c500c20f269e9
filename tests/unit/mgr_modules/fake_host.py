"""A manager for modules under test: what they may ask of it is set, what they say is kept."""

from __future__ import annotations

import json
from typing import Any

from spirula.maps.osdmap import OSDMap
from spirula.mgr_modules import Request


class FakeHost:
    """`documents` are what `get` gives, `answers` what comes of commands, by prefix."""

    mgr_id = "x"

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.time = now
        self.documents: dict[str, Any] = {}
        self.counters: dict[tuple[str, str, str], list[list[float]]] = {}
        self.metadatas: dict[tuple[str, str], dict[str, str]] = {}
        self.options: dict[str, Any] = {}
        self.own_options: dict[str, Any] = {}
        self.store: dict[str, str] = {}
        self.answers: dict[str, tuple[int, str, str]] = {}
        self.methods: dict[tuple[str, str], Any] = {}
        self.osdmap = OSDMap()
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.checks: dict[str, Any] = {}
        self.progress: dict[str, tuple[str, float, bool]] = {}
        self.lines: list[str] = []
        self.cluster_lines: list[tuple[str, int, str]] = []
        self.wear: dict[str, float] = {}

    def now(self):
        return self.time

    def get(self, what):
        return self.documents.get(what)

    def osd_map(self):
        return self.osdmap

    def server(self, hostname):
        return self.documents["servers"]

    def metadata(self, kind, name):
        return self.metadatas.get((kind, name))

    def counter(self, kind, name, path):
        return {path: self.counters.get((kind, name, path), [])}

    def option(self, key):
        return self.options.get(key)

    def module_option(self, module, key, prefix=""):
        return self.own_options.get(key)

    def set_module_option(self, module, key, value):
        if value is None:
            self.own_options.pop(key, None)
        else:
            self.own_options[key] = {"true": True, "false": False}.get(value, value)

    def store_get(self, key):
        return self.store.get(key)

    def store_prefix(self, prefix):
        return {key: value for key, value in self.store.items() if key.startswith(prefix)}

    def store_set(self, key, value):
        if value is None:
            self.store.pop(key, None)
        else:
            self.store[key] = value

    def send_command(self, result, kind, name, command, tag, data):
        given = json.loads(command)
        self.sent.append((f"{kind}.{name}" if name else kind, given))
        result.complete(*self.answers.get(given["prefix"], (0, "", "")))

    def set_health_checks(self, checks):
        self.checks = checks

    def log(self, text):
        self.lines.append(text)

    def cluster_log(self, channel, priority, text):
        self.cluster_lines.append((channel, priority, text))

    def set_wear_level(self, ident, level):
        self.wear[ident] = level

    def update_progress(self, ident, text, progress, *, shown):
        self.progress[ident] = (text, progress, shown)

    def complete_progress(self, ident):
        self.progress.pop(ident, None)

    def clear_progress(self):
        self.progress.clear()

    def remote(self, module, method, args, kwargs):
        if (module, method) not in self.methods:
            raise ImportError("Module not found")
        return self.methods[module, method](*args, **kwargs)


def run(module, prefix, data=b"", **given):
    """What a command gives: code, output, status."""
    reply = module.handle_command(Request(prefix, {"prefix": prefix, **given}, data))
    return reply.rc, reply.data.decode(), reply.outs
