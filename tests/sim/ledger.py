"""The model beside messenger histories: who sent what to whom, and what arrived.

It knows nothing of protocols. Every message carries its own name (sender, its incarnation,
receiver, lane, number); the rules are about these names and about when a reset was reported. A lane
is what ordering is promised for: a session for lossy peers, the pair of entities for lossless ones.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

NAME = struct.Struct("<HHHHII")
"""sender, its incarnation, receiver, lane, segment, number."""


@dataclass(frozen=True, slots=True)
class Process:
    """An entity in one of its incarnations."""

    entity: int
    incarnation: int


@dataclass(slots=True)
class Lane:
    """Messages of one sender process to one entity that are promised to stay in order.

    `segments` counts the resets that the sender was told of: what it had queued before is gone.
    `sent` are the payloads by segment and number.
    """

    sender: Process
    receiver: int
    serial: int
    segments: int = 0
    sent: dict[int, list[bytes]] = field(default_factory=lambda: {0: []})
    arrived: dict[Process, list[tuple[int, int]]] = field(default_factory=dict)


class Broken(AssertionError):
    """A promise of the messenger was not kept."""


class Ledger:
    """All lanes of a history.

    `lossless`: resets have to be reported. `replays_to_restarted`: a restarted receiver may get
    again what its last incarnation had (OSD peers), because the sender cannot know.
    """

    def __init__(self, *, lossless: bool, replays_to_restarted: bool = False) -> None:
        self.lossless = lossless
        self.replays_to_restarted = replays_to_restarted
        self.lanes: dict[tuple[Process, int, int], Lane] = {}
        self.deliveries = 0
        self.resets = 0
        self._heard_from: dict[tuple[Process, int], int] = {}
        self._told_of_reset: set[tuple[Process, int]] = set()

    def lane(self, sender: Process, receiver: int, serial: int = 0) -> Lane:
        key = (sender, receiver, serial)
        if key not in self.lanes:
            self.lanes[key] = Lane(sender, receiver, serial)
        return self.lanes[key]

    def send(self, lane: Lane, filler: bytes) -> bytes:
        """Write down that a message is sent; what it is to contain."""
        segment = lane.sent[lane.segments]
        payload = (
            NAME.pack(
                lane.sender.entity,
                lane.sender.incarnation,
                lane.receiver,
                lane.serial,
                lane.segments,
                len(segment),
            )
            + filler
        )
        segment.append(payload)
        return payload

    def reset(self, sender: Process, receiver: int, serial: int = 0) -> None:
        """The sender is told that its peer lost the session."""
        self.resets += 1
        lane = self.lane(sender, receiver, serial)
        lane.segments += 1
        lane.sent[lane.segments] = []
        self._told_of_reset.add((sender, receiver))

    def arrive(self, receiver: Process, payload: bytes) -> Lane:
        """A message is dispatched; raises Broken if it should not be, or not now."""
        self.deliveries += 1
        entity, incarnation, to, serial, segment, number = NAME.unpack_from(payload)
        sender = Process(entity, incarnation)
        lane = self.lanes.get((sender, to, serial))
        if lane is None or to != receiver.entity:
            raise Broken(f"{receiver} got what nobody sent to it: {sender} {to}")
        name = f"message {segment}.{number} of {sender} to {receiver}, lane {serial}"
        sent = lane.sent.get(segment, [])
        if number >= len(sent) or sent[number] != payload:
            raise Broken(f"{name} is not what was sent")
        arrived = lane.arrived.setdefault(receiver, [])
        self._check_order(lane, receiver, arrived, segment, number, name)
        arrived.append((segment, number))
        self._check_told(receiver, sender, name)
        return lane

    def _check_order(
        self,
        lane: Lane,
        receiver: Process,
        arrived: list[tuple[int, int]],
        segment: int,
        number: int,
        name: str,
    ) -> None:
        if arrived and arrived[-1] >= (segment, number):
            what = "twice" if (segment, number) in arrived else f"after {arrived[-1]}"
            raise Broken(f"{name} arrived {what}")
        earlier = [
            names
            for process, names in lane.arrived.items()
            if process.incarnation < receiver.incarnation and names
        ]
        if not self.replays_to_restarted:
            if any((segment, number) in names for names in earlier):
                raise Broken(f"{name} arrived at an earlier incarnation already")
            if not self._is_next(arrived, segment, number):
                raise Broken(f"{name} arrived, but what is before it did not: {arrived[-3:]}")
            return
        if not self._is_next(arrived, segment, number) and not any(
            (segment, number - 1) in names for names in earlier
        ):
            raise Broken(f"{name} arrived, but what is before it did not: {arrived[-3:]}")

    @staticmethod
    def _is_next(arrived: list[tuple[int, int]], segment: int, number: int) -> bool:
        if arrived and arrived[-1][0] == segment:
            return arrived[-1][1] == number - 1
        return number == 0

    def _check_told(self, receiver: Process, sender: Process, name: str) -> None:
        """Whoever hears from a new incarnation of a lossless peer has been told of the reset."""
        pair = (receiver, sender.entity)
        before = self._heard_from.get(pair)
        if before is not None and before != sender.incarnation:
            if sender.incarnation < before:
                raise Broken(f"{name} is from a process that was replaced")
            if self.lossless and not self.replays_to_restarted and pair not in self._told_of_reset:
                raise Broken(f"{name} arrived, and no reset of the session was reported")
        if before != sender.incarnation:
            self._told_of_reset.discard(pair)
        self._heard_from[pair] = sender.incarnation

    def missing(self, alive: dict[int, Process]) -> list[str]:
        """What should have arrived at the living processes by now, if sessions are lossless."""
        gaps = []
        for lane in self.lanes.values():
            receiver = alive.get(lane.receiver)
            if receiver is None or alive.get(lane.sender.entity) != lane.sender:
                continue
            wanted = len(lane.sent[lane.segments])
            arrived = lane.arrived.get(receiver, [])
            processes = lane.arrived.values() if self.replays_to_restarted else [arrived]
            numbers = {
                number
                for names in processes
                for segment, number in names
                if segment == lane.segments
            }
            have = len(numbers)
            if have < wanted:
                gaps.append(f"{lane.sender} to {receiver}: {have} of {wanted}")
        return gaps
