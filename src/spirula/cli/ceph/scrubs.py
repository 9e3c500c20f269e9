"""`osd scrub N --block`: waits until the scrubs that were asked for are done."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from spirula.cli.ceph.targets import MONITORS, send
from spirula.errors import CephError
from spirula.rados import Rados

_PAUSE_S = 1.0
_ALL = frozenset({"all", "any", "*"})


class Scrubs:
    """When PGs of an OSD (or of all) were last scrubbed; made before the command is sent."""

    def __init__(self, cluster: Rados, words: Sequence[str]) -> None:
        self.cluster = cluster
        self.verb, self.osd = words[1], words[2].removeprefix("osd.")
        self.before = self._stamps()

    @staticmethod
    def applies(words: Sequence[str]) -> bool:
        """Whether these words are a scrub."""
        return (
            len(words) > 2
            and words[0] == "osd"
            and words[1] in {"scrub", "deep-scrub"}
            and (words[2] in _ALL or words[2].removeprefix("osd.").isdecimal())
        )

    def _stamps(self) -> dict[str, str]:
        command = {"prefix": "pg dump", "format": "json", "target": ("mon-mgr", "")}
        status, output, complaint = send(self.cluster, MONITORS, dict(command))
        if status < 0:
            raise CephError.from_errno(-status, complaint)
        document = json.loads(output)
        stats = document.get("pg_map", document)["pg_stats"]
        field = f"last_{self.verb.replace('-', '_')}_stamp"
        return {
            pg["pgid"]: pg[field]
            for pg in stats
            if self.osd in _ALL or pg["up_primary"] == int(self.osd)
        }

    def wait(self) -> None:
        """Return when each of these PGs was scrubbed once more, or is gone."""
        print(f"Waiting for {self.verb} to complete...", flush=True)
        while True:
            now = self._stamps()
            if all(now.get(pgid) != stamp for pgid, stamp in self.before.items()):
                break
            time.sleep(_PAUSE_S)
        print(f"{self.verb} completed")
