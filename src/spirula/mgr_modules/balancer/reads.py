"""The mode read: primary affinities that even out how many PGs each OSD leads, and serves reads of.

No data moves. Later releases do this by PG (pg_upmap_primary, 18.2), which maps and clients of 16.2
do not know. Affinities they know: an OSD leads a PG unless a die, thrown by PG and OSD, is not
below its affinity. The dice are known, so affinities are found that make one PG after another go
from an OSD that leads too many to one that leads too few. They count for all pools together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spirula.errors import AlreadyDone, NotFound
from spirula.kernels.hash32 import hash32_2
from spirula.maps.apply import apply_incremental, pending_incremental
from spirula.maps.balance.reads import desired_primaries
from spirula.maps.mapping import PGMappings
from spirula.maps.osdmap import OSDMap
from spirula.maps.state import DEFAULT_PRIMARY_AFFINITY as FULL
from spirula.maps.state import primary_affinity
from spirula.types.pg import NO_OSD

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MAX_TRIES = 4_000
"""Affinities that are tried for one plan; each try looks at all PGs."""
EVEN = "Primaries are already distributed evenly"
_WORTH = 1.0
"""What a plan has to gain, as the mean square of the PGs that OSDs are off by."""
_LEAST_GAIN = 1e-9
_STEPS = 4
"""How many PGs an OSD may gain or lose with one change."""
_NEVER = FULL + 1


@dataclass(slots=True)
class Leads:
    """Who may lead which PG.

    `osds` has a row for each PG, filled up with `len(wanted)`; `dice` what was thrown for each.
    `wanted` is how many PGs each OSD should lead.
    """

    osds: Ints
    dice: Ints
    wanted: Floats

    def count(self, affinities: Ints) -> tuple[Ints, Ints]:
        """Who leads each PG, as places in its row, and how many each OSD leads."""
        willing = self.dice < np.append(affinities, 0)[self.osds]
        # Where all decline, the first has to.
        there = self.osds < len(self.wanted)
        first = np.where(willing.any(axis=1), willing.argmax(axis=1), there.argmax(axis=1))
        rows = np.flatnonzero(there.any(axis=1))
        leaders = self.osds[rows, first[rows]]
        return first, np.bincount(leaders, minlength=len(self.wanted))


def optimize_reads(osdmap: OSDMap) -> dict[int, float]:
    """Affinities, from 0 to 1, that OSDs should get. NotFound without pools, AlreadyDone without
    gain.
    """
    leads = find_leads(osdmap)
    if not len(leads.osds):
        raise NotFound("No pools available")
    before = _affinities(osdmap)
    after = improve(leads, before)
    gain = _spread(leads, leads.count(before)[1]) - _spread(leads, leads.count(after)[1])
    if gain < _WORTH:
        raise AlreadyDone(EVEN)
    return {
        osd: int(after[osd]) / FULL for osd in range(osdmap.max_osd) if after[osd] != before[osd]
    }


def _affinities(osdmap: OSDMap) -> Ints:
    return np.array([primary_affinity(osdmap, osd) for osd in range(osdmap.max_osd)], np.int64)


def unevenness(osdmap: OSDMap) -> float:
    """How far OSDs are off what they should lead: the mean of the squares."""
    leads = find_leads(osdmap)
    return _spread(leads, leads.count(_affinities(osdmap))[1])


def furthest_lead(osdmap: OSDMap) -> str:
    """The OSD that leads too many or too few PGs by most: `osd.3 leads 12 PGs, 4.2 too many`."""
    leads = find_leads(osdmap)
    _, led = leads.count(_affinities(osdmap))
    gaps = led - leads.wanted
    if not len(gaps):
        return "nobody"
    osd = int(np.abs(gaps).argmax())
    side = "too many" if gaps[osd] > 0 else "too few"
    return f"osd.{osd} leads {led[osd]} PGs, {abs(gaps[osd]):.1f} {side}"


def find_leads(osdmap: OSDMap) -> Leads:
    """Who may lead which PG by a map, and how many each OSD should."""
    inc = pending_incremental(osdmap)
    inc.new_primary_affinity = dict.fromkeys(range(osdmap.max_osd), FULL)
    bare = apply_incremental(osdmap, inc)
    wanted = np.zeros(osdmap.max_osd)
    rows: list[list[int]] = []
    dice: list[list[int]] = []
    for places in PGMappings(bare).pools.values():
        pgs: dict[int, int] = {}
        for seed in range(places.count):
            up = [osd for osd in places.at(seed).up if osd != NO_OSD]
            thrown = int(places.pps[seed])
            rows.append(up)
            dice.append([hash32_2(thrown, osd) >> 16 for osd in up])
            for osd in up:
                pgs[osd] = pgs.get(osd, 0) + 1
        for osd, part in desired_primaries(bare, pgs, places.count).items():
            wanted[osd] += part
    return Leads(_matrix(rows, osdmap.max_osd), _matrix(dice, _NEVER), wanted)


def _matrix(rows: list[list[int]], filler: int) -> Ints:
    width = max(map(len, rows), default=1) or 1
    return np.array([[*row, *[filler] * (width - len(row))] for row in rows], np.int64)


def _spread(leads: Leads, led: Ints) -> float:
    """The same, where so much is led."""
    able = leads.wanted > 0
    gaps = (led - leads.wanted)[able]
    return float(np.mean(gaps * gaps)) if len(gaps) else 0.0


def improve(leads: Leads, affinities: Ints) -> Ints:
    """Better affinities: changed for one OSD at a time, by what makes a few PGs go elsewhere.

    An OSD that leads what it should takes part, too: PGs pass through it to others.
    """
    current = affinities.copy()
    first, led = leads.count(current)
    spread = _spread(leads, led)
    tries = MAX_TRIES
    while tries > 0:
        for osd, changed in _candidates(leads, current, first, led):
            tries -= 1
            trial = current.copy()
            trial[osd] = changed
            trial_first, trial_led = leads.count(trial)
            trial_spread = _spread(leads, trial_led)
            if trial_spread < spread - _LEAST_GAIN:
                current, first, led, spread = trial, trial_first, trial_led, trial_spread
                break
            if tries <= 0:
                break
        else:
            break
    return current


def _candidates(
    leads: Leads, affinities: Ints, first: Ints, led: Ints
) -> Iterator[tuple[int, int]]:
    """Changes that are worth a try, for the OSDs that lead most too many first."""
    rows = np.arange(len(first))
    leaders, dice = leads.osds[rows, first], leads.dice[rows, first]
    for osd in np.argsort(leads.wanted - led).tolist():
        # What is not below its affinity it leads only since all others decline. And none at all is
        # no affinity to have.
        mine = dice[(leaders == osd) & (dice < affinities[osd]) & (dice > 0)]
        for changed in np.sort(mine)[::-1][:_STEPS].tolist():
            yield osd, changed
        declined = leads.dice[(leads.osds == osd) & (leads.dice >= affinities[osd])]
        for die in np.sort(declined)[:_STEPS].tolist():
            yield osd, die + 1
