"""Commands about the cluster as a whole."""

from __future__ import annotations

from tests.interop.compared import Step

STEPS = [
    Step("fsid"),
    Step("fsid", format="json"),
    Step("version"),
    Step("nonsense"),
    Step(""),
    Step("status", format="json", ignore=("servicemap.modified",)),
    Step("health", format="json"),
    Step("health", detail="detail", format="json"),
    Step("health"),
    Step("df"),
    Step("df", format="json"),
    Step("df", detail="detail", format="json"),
    Step("quorum_status", format="json"),
    Step("mon metadata", format="json", ignore=("[]",)),
    Step("mon metadata", id="nobody"),
    Step("mon count-metadata", property="os", format="json"),
    Step("mon count-metadata", property="nothing", format="json"),
    Step("node ls", format="json"),
    Step("node ls", type="mon", format="json"),
    Step("node ls", type="osd", format="json"),
    Step("features", format="json", ignore=("client[].num",)),
    Step("time-sync-status", format="json", ignore=("timechecks.epoch",)),
    Step(
        "report",
        tags=["a", "title"],
        format="json",
        outs=False,
        ignore=(
            "cluster_fingerprint",
            "commit",
            "tag",
            "auth.last_committed",
            "monmap_first_committed",
            "paxos.last_committed",
            "paxos.first_committed",
            "paxos.last_pn",
            "paxos.accepted_pn",
        ),
    ),
    Step("mon scrub"),
    Step("scrub"),
    Step("tell", target="osd.0", args=["version"]),
]
