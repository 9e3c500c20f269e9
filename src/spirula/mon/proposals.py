"""Proposals across all services, and the requests that wait for one, or for the quorum.

One proposal is under way at a time; it holds what every service has pending, so that a change of
several services is atomic. Requests that cannot be dealt with now wait here as functions which try
again. Called by `monitor` and `services.base`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spirula.mon import containment
from spirula.mon.quorum.paxos import PaxosState
from spirula.mon.quorum.state import Outcome, Phase
from spirula.mon.store import Transaction
from spirula.types.mon import StoreTransaction

if TYPE_CHECKING:
    from spirula.mon.monitor import Monitor
    from spirula.mon.services.base import PaxosService

Action = Callable[[], None]


@dataclass(slots=True)
class _Waiting:
    """What follows from a proposal: `done` once it is committed, `failed` if that is not known.

    `aborted` is told why, where it can never be: else it is as if it had failed.
    """

    done: Action
    failed: Action | None = None
    aborted: Callable[[str], None] | None = None


@dataclass(slots=True)
class _Proposal:
    """A proposal under way; the token that Paxos gives back. `began` is when it was proposed."""

    transaction: StoreTransaction = field(default_factory=StoreTransaction)
    began: float = 0.0
    waiting: list[_Waiting] = field(default_factory=list)


class Proposals:
    """The proposals of one monitor."""

    def __init__(self, monitor: Monitor) -> None:
        self.monitor = monitor
        self.under_way: _Proposal | None = None
        self.last_commit_at = 0.0
        self._next = _Proposal()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._readable: list[tuple[Action, PaxosService, int]] = []
        self._writeable: list[Action] = []
        self._trim = False
        self._writers: list[Callable[[Transaction], None]] = []

    # --- what may be done now

    def is_writeable(self) -> bool:
        """Whether services may prepare changes: we lead, and nothing is under way."""
        member = self.monitor.member
        return (
            self.under_way is None
            and member.state.phase is Phase.LEADER
            and member.paxos.state is PaxosState.ACTIVE
        )

    def wait_readable(self, action: Action, service: PaxosService, version: int) -> None:
        """Call this when that version of a service can be told to clients."""
        self._readable.append((action, service, version))

    def wait_writeable(self, action: Action) -> None:
        """Call this when services may prepare changes, or the quorum has changed."""
        self._writeable.append(action)

    def when_committed(
        self,
        done: Action,
        failed: Action | None = None,
        aborted: Callable[[str], None] | None = None,
    ) -> None:
        """Call `done` when what is pending now has been committed.

        `failed` is called if the quorum is lost before: then nobody knows. It is called, too, when
        what is pending was discarded; `aborted` is in its place, with the reason, where what was
        pending itself was to blame.
        """
        self._next.waiting.append(_Waiting(done, failed, aborted))

    # --- proposing

    def schedule(self) -> None:
        """Propose when the first service that has something pending wants it."""
        if not self.is_writeable():
            return
        due = min((s.due for s in self.monitor.services if s.due is not None), default=None)
        if due is None and not self._trim and not self._writers:
            return
        loop = self.monitor.loop
        at = loop.time() if due is None else max(due, loop.time())
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at
        self._timer = loop.call_at(at, self._propose)

    def add(self, write: Callable[[Transaction], None]) -> None:
        """Let this write into the next proposal what belongs to no service."""
        self._writers.append(write)
        self.schedule()

    def trim(self) -> None:
        """Remove old versions with the next proposal, if there are enough of them."""
        self._trim = True
        self.schedule()

    def _propose(self) -> None:
        self._timer = None
        if not self.is_writeable():
            return
        transaction = Transaction()
        try:
            self._encode(transaction)
        except Exception as error:  # noqa: BLE001 - a bug, which must not end the monitor
            text = containment.report(self.monitor, "writing down what is pending", error)
            self.discard(text)
            return
        if not transaction:
            if self._next.waiting:
                waiting, self._next = self._next.waiting, _Proposal()
                for one in waiting:
                    one.done()
            self._activate()
            return
        self.under_way, self._next = self._next, _Proposal()
        self.under_way.transaction = transaction.value
        self.under_way.began = self.monitor.loop.time()
        self.monitor.propose(transaction.value, self.under_way)

    def _encode(self, transaction: Transaction) -> None:
        """Write what is pending into a transaction."""
        services = self.monitor.services
        for service in services:
            if service.due is not None:
                service.encode_pending(transaction)
                service.have_pending = False
                service.due = None
        writers, self._writers = self._writers, []
        for write in writers:
            write(transaction)
        if self._trim:
            self._trim = False
            for service in services:
                if service.last_committed:
                    service.encode_trim_all(transaction)

    def discard(self, reason: str = "") -> None:
        """Forget what no proposal holds yet, of all services, and begin anew.

        Those who wait for it try again; with a reason they are told that instead.
        """
        if not self.is_writeable():
            return
        waiting = self._forget_pending()
        self._activate()
        for one in waiting:
            if reason and one.aborted is not None:
                self.monitor.loop.call_soon(one.aborted, reason)
            elif one.failed is not None:
                self.monitor.loop.call_soon(one.failed)

    def _forget_pending(self) -> list[_Waiting]:
        """Nothing is pending any more; the result is who waited for it."""
        self._trim = False
        self._writers.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for service in self.monitor.services:
            service.restart()
        waiting, self._next = self._next.waiting, _Proposal()
        return waiting

    def decided(self, outcome: Outcome) -> None:
        """Paxos tells what became of a proposal; it is durable here."""
        proposal = outcome.token
        if not isinstance(proposal, _Proposal):
            return
        if proposal is self.under_way:
            self.under_way = None
        if outcome.version is None:
            for one in proposal.waiting:
                if one.failed is not None:
                    one.failed()
            return
        self.last_commit_at = self.monitor.loop.time()
        self.monitor.perf.on_commit(proposal.transaction, self.last_commit_at - proposal.began)
        self._activate()
        for one in proposal.waiting:
            one.done()
        self.resume()

    # --- what happens to the quorum

    def active(self) -> None:
        """Paxos is active."""
        if self.under_way is None:
            self._activate()

    def _activate(self) -> None:
        if self.monitor.member.paxos.state is not PaxosState.ACTIVE:
            return
        for service in self.monitor.services:
            service.activate()
        self.schedule()

    def restart(self) -> None:
        """The quorum is lost, or another one begins: what was pending is gone."""
        self.under_way = None
        for one in self._forget_pending():
            if one.failed is not None:
                one.failed()

    def resume(self) -> None:
        """Let those try again who may be able to go on now."""
        monitor = self.monitor
        if self._readable and monitor.is_readable():
            waiting, self._readable = self._readable, []
            for action, service, version in waiting:
                if service.last_committed and (
                    version <= service.last_committed or monitor.is_leader
                ):
                    action()
                else:
                    self._readable.append((action, service, version))
        if self._writeable and (self.is_writeable() or monitor.member.state.phase is Phase.PEON):
            actions, self._writeable = self._writeable, []
            for action in actions:
                action()

    def stop(self) -> None:
        """Nothing of ours is left in the loop."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._readable.clear()
        self._writeable.clear()
