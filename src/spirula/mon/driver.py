"""Drives a quorum member with an event loop, a store and a messenger.

Everything that leaves this process goes through `after_durable`: what a member has staged may be
read here at once, but nobody else may hear of it before it cannot be lost any more. Called by
`monitor`, which handles the events that come out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial

from spirula.errors import CephError
from spirula.mon.quorum.member import Member
from spirula.mon.quorum.state import Event, Outcome, Send
from spirula.mon.store import Transaction
from spirula.store.keyvalue import KeyValueStore

_SHORTEST_WAIT_S = 0.001


class QuorumDriver:
    """Runs one member. `wall` gives seconds since 1970.

    `transmit` sends to another monitor; `on_event` and `on_outcome` are told what the member says;
    `settled` is called whenever all of it was handled, `on_failure` when the store could not
    commit.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        wall: Callable[[], float],
        member: Member,
        store: KeyValueStore,
        *,
        transmit: Callable[[Send], None],
        on_event: Callable[[Event], None],
        on_outcome: Callable[[Outcome], None],
        settled: Callable[[], None],
        on_failure: Callable[[CephError], None],
    ) -> None:
        self.loop = loop
        self.wall = wall
        self.member = member
        self._store = store
        self._transmit = transmit
        self._on_event = on_event
        self._on_outcome = on_outcome
        self._settled = settled
        self._on_failure = on_failure
        self._commits: deque[list[Callable[[], None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._pumping = False
        self._stopped = False

    def start(self) -> None:
        """The monitor has started."""
        self.member.start(self.loop.time(), self.wall())
        self.pump()

    def stop(self) -> None:
        """Nothing of ours is left in the loop; what is not durable yet is never told."""
        self._stopped = True
        self._commits.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def give_up_store(self, reason: str) -> None:
        """The store has failed: nothing that waits for it may leave; tell the others, and wait."""
        self._commits.clear()
        self.member.on_store_failed(reason, self.loop.time(), self.wall())
        self.pump()

    def after_durable(self, action: Callable[[], None]) -> None:
        """Do this when all that was staged up to now is durable: at once, if it is."""
        if self._commits:
            self._commits[-1].append(action)
        else:
            action()

    def persist(self, transaction: Transaction) -> None:
        """Make a change to what is this monitor's own durable, before anything else that leaves."""
        self._store.stage(transaction.value)
        self._commit()

    def pump(self) -> None:
        """Do what the member wants done. To be called after every call of one of its methods."""
        if self._pumping or self._stopped:
            return
        self._pumping = True
        try:
            while self._pump_once():
                pass
        finally:
            self._pumping = False
        if not self._stopped:
            self._settled()
            self._arm()

    def _pump_once(self) -> bool:
        ready = self.member.take()
        if not (ready.events or ready.persist or ready.messages or ready.outcomes):
            return False
        for event in ready.events:
            self._on_event(event)
        if self._stopped:
            return False
        if ready.persist:
            self._commit()
        for send in ready.messages:
            self.after_durable(partial(self._transmit, send))
        for outcome in ready.outcomes:
            self.after_durable(partial(self._decided, outcome))
        return True

    def _decided(self, outcome: Outcome) -> None:
        self._on_outcome(outcome)
        self.pump()

    def _commit(self) -> None:
        waiting: list[Callable[[], None]] = []
        self._commits.append(waiting)
        self._store.commit(lambda error: self._committed(waiting, error))

    def _committed(self, waiting: list[Callable[[], None]], error: CephError | None) -> None:
        if self._stopped or self.member.store_failed:
            return
        if error is not None:
            self._on_failure(error)
            return
        if self._commits and self._commits[0] is waiting:
            self._commits.popleft()
        for action in waiting:
            action()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self.member.deadline()
        if due is not None:
            self._timer = self.loop.call_at(due + _SHORTEST_WAIT_S, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self.member.wake(self.loop.time(), self.wall())
        self.pump()
