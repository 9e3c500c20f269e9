"""What may go wrong in a simulated network, as data.

`Faults` gives probabilities that the network draws from its seeded source; `Cut` scripts one reset
at an exact place. Neither does anything by itself: `sim.network` and `sim.transport` act on them.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Faults:
    """How a simulated network misbehaves; the default is a quick network that never fails.

    Streams stay streams: bytes of one connection arrive in order and unharmed or not at all. Loss
    therefore shows as delay (retransmission), and reordering happens between connections, which
    have delays of their own.
    """

    delay_s: float = 0.0001
    """Shortest one-way delay of a segment."""
    jitter_s: float = 0.0005
    """Mean of the exponentially distributed delay that comes on top."""
    split: float = 0.0
    """Probability that what is about to be sent is cut at an arbitrary byte instead of whole."""
    coalesce: float = 0.0
    """Probability that arrived bytes wait for those behind them before the reader is called."""
    loss: float = 0.0
    """Probability that a segment has to be retransmitted (again, for each attempt)."""
    retransmit_s: float = 0.2
    """Wait before the first retransmission; doubled for each that follows."""
    reset: float = 0.0
    """Probability, for each segment, that the connection is reset while it travels."""
    reset_at_write: float = 0.0
    """Probability, for each call of `write`, of a reset exactly behind its last byte."""
    blackhole: float = 0.0
    """Probability, for each segment, that nothing passes on its connection from then on."""
    refuse: float = 0.0
    """Probability that a connect is refused although somebody listens."""
    partition: float = 0.0
    """Mean number of partitions in a second, each between two random hosts, one or both ways."""
    partition_s: float = 2.0
    """Mean length of such a partition."""
    slow_host: float = 0.0
    """Probability that a host is slow for the whole run."""
    slow_factor: float = 20.0
    """How much longer delays to and from a slow host are."""
    clock_skew_s: float = 0.0
    """Largest difference between a host's clock and virtual time, either way."""
    clock_drift: float = 0.0
    """Largest relative error of the rate of a host's clock, either way (1e-5: one second a day)."""
    window_bytes: int = 256 * 1024
    """Bytes that may travel or lie unread in one direction before the sender has to wait."""
    connect_timeout_s: float = 30.0
    """After how long a connect without an answer fails."""
    user_timeout_s: float = 60.0
    """After how long a connection whose bytes are not acknowledged fails."""

    def sample_delay(self, rng: random.Random) -> float:
        """One draw of the delay of a segment, without retransmissions."""
        return self.delay_s - self.jitter_s * math.log(1.0 - rng.random())

    def sample_retransmission(self, rng: random.Random) -> float:
        """The delay that losses add to one segment; 0.0 if it passes at the first attempt."""
        added, wait = 0.0, self.retransmit_s
        while self.loss and added < self.user_timeout_s and rng.random() < self.loss:
            added += wait
            wait *= 2
        return added


@dataclass(frozen=True, slots=True)
class Cut:
    """One scripted reset: connection number `connection` breaks at an exact byte or write.

    Connections are numbered from 0 in the order in which the network set them up. `toward` names
    the end that the counted bytes travel to. Exactly `after_bytes` of them arrive (or those of the
    first `after_writes` calls of `write`), then both ends find the connection reset.
    """

    connection: int
    toward: Literal["server", "client"]
    after_bytes: int | None = None
    after_writes: int | None = None
