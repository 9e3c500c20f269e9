"""Maps made in layers, each of buckets of one size: what `crushtool --build` makes.

For tests, benchmarks and new clusters. Called by `spirula crushtool`. Ids, names and the one rule
are those that upstream's `src/tools/crushtool.cc` makes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spirula.crush.bucket_items import new_bucket
from spirula.crush.build import FULL, set_tunables
from spirula.crush.check import MAX_DEVICES
from spirula.crush.classes import is_valid_name, roots
from spirula.crush.map import BucketAlg
from spirula.crush.rules import add_simple_rule
from spirula.crush.wire import CrushWrapper
from spirula.errors import InvalidArgument, TooLarge

ALGORITHMS = {alg.name.lower(): alg for alg in BucketAlg}
"""Bucket algorithms by the names that people give."""

_NAME = 19
"""Names of buckets are cut off behind that many letters."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Buckets called `name`, each of `size` items of the layer below (0: one of all of them)."""

    name: str
    alg: str
    size: int

    def bucket_name(self, number: int) -> str:
        """The name of one of them. Long names lose their end, even their number, as upstream's."""
        if not self.size:
            return self.name[:_NAME]
        template = f"{self.name}%d"[: _NAME - 1]
        return template.replace("%d", str(number))[:_NAME]


def new_map() -> CrushWrapper:
    """An empty map with the tunables of new maps."""
    made = CrushWrapper()
    set_tunables(made.tunables, "default")
    return made


def build_layers(devices: int, layers: Sequence[Layer]) -> CrushWrapper:
    """A map of that many devices in `layers`, given from the inside out, with a replicated rule.

    Raises InvalidArgument for a layer that cannot be, TooLarge, OutOfRange for too much weight,
    and what `add_simple_rule` raises where the last layer has no bucket to start from.
    """
    if not layers:
        raise InvalidArgument("must specify at least one layer")
    if devices > MAX_DEVICES:
        raise TooLarge(f"a map is built of at most {MAX_DEVICES} devices")
    crush = new_map()
    crush.max_devices = max(devices, 0)
    lower = [(id, FULL) for id in range(devices)]
    crush.item_names = {id: f"osd.{id}" for id in range(devices)}
    crush.type_names[0] = "osd"
    for type, layer in enumerate(layers, 1):
        crush.type_names[type] = layer.name
        lower = _add_layer(crush, type, layer, lower)
    add_simple_rule(crush, "replicated_rule", root_name(layers), crush.type_names[1])
    return crush


def _add_layer(
    crush: CrushWrapper, type: int, layer: Layer, lower: list[tuple[int, int]]
) -> list[tuple[int, int]]:
    """The buckets that hold `lower`, as (id, weight)."""
    if layer.alg not in ALGORITHMS:
        raise InvalidArgument(f"unknown bucket type '{layer.alg}'")
    if layer.size < 0:
        raise InvalidArgument(f"layer {layer.name} needs a size of 0 or more, not {layer.size}")
    made = []
    size = layer.size or max(len(lower), 1)
    for number, at in enumerate(range(0, len(lower), size)):
        items = [id for id, _ in lower[at : at + size]]
        weights = [weight for _, weight in lower[at : at + size]]
        total = sum(weights)
        if ALGORITHMS[layer.alg] == BucketAlg.UNIFORM:
            # the first item's weight is taken for all
            weights = weights[:1] * len(weights)
        bucket = new_bucket(crush, type, items, weights, alg=ALGORITHMS[layer.alg])
        name = layer.bucket_name(number)
        if is_valid_name(name):
            crush.item_names[bucket.id] = name
        made.append((bucket.id, total))
    return made


def root_name(layers: Sequence[Layer]) -> str:
    """The bucket that the rule starts from: the last layer's first."""
    top = layers[-1]
    return f"{top.name}0" if top.size else top.name


def stray_roots(crush: CrushWrapper) -> int:
    """How many buckets nothing contains: more than one means that the rule leaves some out."""
    return len(roots(crush, shadow=False)) + len(roots(crush, shadow=True))
