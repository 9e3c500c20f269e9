"""Wishes for temporary acting sets: each goes out once in an interval, again in the next."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from spirula.osd import reports
from spirula.types.pg import PGId
from tests.unit.osd.pg.harness import Client, Cluster, append, write_full


def test_a_wish_that_monitors_dropped_is_sent_again_in_the_next_interval():
    cluster = Cluster(3, min_size=2)
    sent: list[Any] = []
    osd: Any = SimpleNamespace(
        reports=reports.Reports(),
        monitors=SimpleNamespace(send=sent.append),
        maps=cluster.maps,
        ports=SimpleNamespace(loop=cluster.clock),
        is_active=True,
        is_stopping=False,
    )
    osd.maps.epoch = 1
    cluster.make_pg()
    client = Client()
    cluster.ask(client, "a", write_full(b"1"))
    for node in cluster.nodes:
        options = node.shared.options
        options.osd_min_pg_log_entries = options.osd_max_pg_log_entries = 5
        options.osd_pg_log_trim_min = 1
    cluster.nodes[0].crash()
    cluster.new_map(up=[1, 2])
    cluster.wait()
    for number in range(30):
        cluster.ask(client, f"o{number % 4}", append(b"x"))
    cluster.nodes[0].restart()
    # the first primary has to be filled: it asks that others serve meanwhile
    shared = cluster.nodes[0].shared

    def want(pgid: PGId, osds: list[int]) -> None:
        reports.want_pg_temp(osd, pgid, osds)

    shared.want_pg_temp = want
    shared.forget_pg_temp = lambda pgid: reports.remove_pg_temp(osd, pgid)
    cluster.new_map(up=[0, 1, 2])
    cluster.settle()
    assert [message.pg_temp for message in sent] == [{PGId(1, 0): [1, 2]}]
    cluster.new_map(up=[0, 1, 2], acting=[0, 1, 2])  # the same interval: nothing new to say
    cluster.settle()
    assert len(sent) == 1
    cluster.new_map(up=[0, 2, 1])  # another one, and the wish did not come true
    cluster.settle()
    assert [message.pg_temp for message in sent[1:]] == [{PGId(1, 0): [1, 2]}]
    cluster.new_map(up=[0, 1, 2])
    cluster.settle()
    assert len(sent) == 3
