"""The mode crush-compat: weights in the compat weight set that make up for CRUSH's unevenness.

Works for clients of any age. Step by step every OSD's weight goes towards what would bring it to
its share; a step that scores worse or moves too much is taken back and made smaller. Weights of
OSDs that were set by `osd reweight` go back to 1 on the way. Upstream: `src/pybind/mgr/balancer`.
"""

from __future__ import annotations

import errno
import random
from dataclasses import dataclass

from spirula.crush.lookup import find_bucket, item_weight
from spirula.crush.weights import COMPAT, to_float
from spirula.errors import AlreadyDone, CephError, InvalidArgument, NotSupported
from spirula.maps.dump.values import share
from spirula.maps.osdmap import OSDMap
from spirula.mgr_modules.balancer.placed import Placed, place
from spirula.mgr_modules.balancer.plan import Plan
from spirula.mgr_modules.balancer.score import METRICS, Score, evaluate

_LEAST_PER_OSD = 2
"""With fewer PGs per OSD weights cannot even anything out."""
_BAD_STEPS = 5
_GO_ON_PERCENT = 70
"""A step that scores worse is often on the way to a better one."""
_TOLERANCE = 1.0001
_PHASE_OUT = 0.005
_FUDGE = 0.001
"""What a score may lose while reweights go back to 1."""
NO_GAIN = "Unable to find further optimization, change balancer mode and retry might help"


@dataclass(frozen=True, slots=True)
class CompatSettings:
    """Options of the mode: `crush_compat_*` and `min_score`."""

    max_iterations: int = 25
    step: float = 0.5
    metrics: tuple[str, ...] = METRICS
    min_score: float = 0.0


@dataclass(slots=True)
class _Weights:
    """Weights in the weight set, and those of `osd reweight` (0 to 1)."""

    crush: dict[int, float]
    reweight: dict[int, float]

    def copy(self) -> _Weights:
        return _Weights(dict(self.crush), dict(self.reweight))


def compat_weights(osdmap: OSDMap) -> dict[int, float]:
    """What each device weighs by the compat weight set; by its own weight where there is none."""
    crush = osdmap.crush
    sets = crush.choose_args.get(COMPAT, {})
    weights: dict[int, float] = {}
    for bucket in crush.buckets:
        if bucket is None or "~" in crush.item_names.get(bucket.id, ""):
            continue
        arg = sets.get(-1 - bucket.id)
        row = arg.weight_sets[0] if arg and arg.weight_sets else bucket.item_weights
        for item, weight in zip(bucket.items, row, strict=False):
            if item >= 0:
                weights.setdefault(item, to_float(weight))
    return weights


def optimize_compat(
    plan: Plan, settings: CompatSettings, max_misplaced: float, rng: random.Random
) -> None:
    """Fills a plan in with weights. Raises AlreadyDone, NotSupported, InvalidArgument, EDOM."""
    if settings.max_iterations < 1:
        raise InvalidArgument('"crush_compat_max_iterations" must be >= 1')
    if not 0 < settings.step < 1:
        raise InvalidArgument('"crush_compat_step" must be in (0, 1)')
    initial = place(f"plan {plan.name} initial", plan.osdmap, plan.loads)
    score = evaluate(initial, plan.pools, settings.metrics)
    if score.score <= settings.min_score:
        text = f"score {score.score:f} <= min_score {settings.min_score:f}, will not optimize"
        raise AlreadyDone(text if score.score else "Distribution is already perfect")
    _refuse_overlaps(score)
    search = _Search(plan, initial, score, settings, max_misplaced, rng)
    best_score, best = search.run()
    original = search.original
    fudge = _FUDGE if best.reweight != original.reweight else 0.0
    if best_score.score >= score.score + fudge:
        plan.compat_weights, plan.reweights = {}, {}
        raise CephError.from_errno(errno.EDOM, NO_GAIN)
    plan.compat_weights = best.crush
    plan.reweights = {
        osd: weight for osd, weight in best.reweight.items() if weight != original.reweight[osd]
    }


def _refuse_overlaps(score: Score) -> None:
    """A device below two roots would have to weigh differently in each."""
    seen: dict[int, list[str]] = {}
    for root, shares in score.target_by_root.items():
        for osd in shares:
            seen.setdefault(osd, []).append(root)
    overlaps = {osd: roots for osd, roots in seen.items() if len(roots) > 1}
    if overlaps:
        raise NotSupported(f"Some osds belong to multiple subtrees: {overlaps}")


class _Search:
    """The search for better weights."""

    def __init__(
        self,
        plan: Plan,
        initial: Placed,
        score: Score,
        settings: CompatSettings,
        max_misplaced: float,
        rng: random.Random,
    ) -> None:
        osdmap = plan.osdmap
        self.plan, self.initial, self.first = plan, initial, score
        self.settings, self.max_misplaced, self.rng = settings, max_misplaced, rng
        metric = settings.metrics[0] if settings.metrics else METRICS[0]
        self.metric = metric if metric in METRICS else METRICS[0]
        weights = compat_weights(osdmap)
        self.original = _Weights(
            weights,
            {osd: share(osdmap.osd_weight[osd]) for osd in weights if osd < osdmap.max_osd},
        )

    def run(self) -> tuple[Score, _Weights]:
        """The best that was found, which may be what there was before."""
        best_score, best = self.first, self.original
        step, bad = self.settings.step, 0
        current = best.copy()
        for _ in range(self.settings.max_iterations):
            self._step(best_score, best, current, step)
            score, misplaced = self._try(current)
            if misplaced > self.max_misplaced:
                if best_score.score < self.first.score:
                    break  # it is good for something, and more would move too much at once
                step /= 2
                current = best.copy()
            elif score.score > best_score.score * _TOLERANCE:
                bad += 1
                if bad >= _BAD_STEPS or self.rng.randint(0, 100) >= _GO_ON_PERCENT:
                    step /= 2
                    current = best.copy()
            else:
                bad = 0
                best_score, best = score, current.copy()
                if not best_score.score:
                    break
        return best_score, best

    def _try(self, weights: _Weights) -> tuple[Score, float]:
        """How the cluster would be with these weights, and what share of PGs would move."""
        self.plan.compat_weights = weights.crush
        after = place("", self.plan.result(), self.plan.loads)
        score = evaluate(after, self.plan.pools, self.settings.metrics)
        return score, after.misplaced_from(self.initial)

    def _step(self, score: Score, best: _Weights, current: _Weights, step: float) -> None:
        """Moves all weights by one step."""
        roots = list(score.target_by_root)
        self.rng.shuffle(roots)
        for root in roots:
            target = score.target_by_root[root]
            if score.total_by_root[root][self.metric] < len(target) * _LEAST_PER_OSD:
                continue
            actual = score.actual_by_root[root][self.metric]
            for osd, wanted in target.items():
                self._step_osd(osd, wanted, actual[osd], best, current, step)
            self._normalize(score.root_ids[root], target, current)

    def _step_osd(
        self,
        osd: int,
        target: float,
        actual: float,
        best: _Weights,
        current: _Weights,
        step: float,
    ) -> None:
        reweight = self.original.reweight.get(osd, 0.0)
        if not reweight or target == actual or osd not in best.crush:
            return
        weight = best.crush[osd]
        # An OSD that has nothing yet starts from its share and is caught up step by step.
        aim = target / actual * weight * reweight if actual > 0 else target
        current.crush[osd] = weight * (1.0 - step) + aim * step
        if reweight < 1.0:
            grown = max(step + (1.0 - step) * reweight, reweight + _PHASE_OUT)
            current.reweight[osd] = min(1.0, grown)

    def _normalize(self, root: int, osds: dict[int, float], current: _Weights) -> None:
        """The weights below a root add up to what they did."""
        crush = self.plan.osdmap.crush
        weight = to_float(item_weight(crush, root)) if find_bucket(crush, root) else 0.0
        total = sum(current.crush[osd] for osd in osds if osd in current.crush)
        if total > 0 and weight > 0:
            for osd in osds:
                if osd in current.crush:
                    current.crush[osd] *= weight / total
