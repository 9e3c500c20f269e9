"""Random edits for tests: arguments of crushtool that fit a map, or nearly."""

from __future__ import annotations

import random

from spirula.crush.map import CrushMap
from spirula.crush.weights import create_choose_args

_WEIGHTS = ("0", "1", "1.5", "0.33333", "2.71828", "300.12345", "7", "-1", "40000", "1e-3")


def random_weight_sets(rng: random.Random, crush: CrushMap) -> None:
    """Give the map sets of choose_args such as balancers make, in place of what it has."""
    crush.choose_args.clear()
    for key in rng.sample((-1, 3, 7), rng.choice((1, 1, 2))):
        create_choose_args(crush, key, rng.choice((1, 1, 2, 3)))
        for arg in crush.choose_args[key].values():
            for row in arg.weight_sets:
                row[:] = [
                    rng.randrange(1 << 18) if rng.random() < 0.3 else weight for weight in row
                ]


def random_edit(rng: random.Random, crush: CrushMap) -> list[str]:
    """The arguments of one edit; many are refused, as they name things that do not fit."""
    names = [name for name in crush.item_names.values() if "~" not in name] or ["none"]
    devices = [id for id in crush.item_names if id >= 0] or [0]
    buckets = [bucket.id for bucket in crush.buckets if bucket]
    buckets = [id for id in buckets if "~" not in crush.item_names.get(id, "~")]
    types = [name for id, name in crush.type_names.items() if id > 0]

    def location() -> list[str]:
        words = []
        for _ in range(rng.choice((1, 1, 2, 3))):
            if buckets and rng.random() < 0.75:
                found = crush.buckets[-1 - rng.choice(buckets)]
                assert found
                words += ["--loc", crush.type_names[found.type], crush.item_names[found.id]]
            else:
                name = rng.choice([*names, f"new{rng.randrange(5)}"])
                words += ["--loc", rng.choice(types), name]
        return words

    def bucket() -> str:
        return crush.item_names[rng.choice(buckets)] if buckets else "none"

    weight = rng.choice((*_WEIGHTS, f"{rng.uniform(0, 20):.5f}"))
    device = rng.choice(devices)
    match rng.randrange(12):
        case 0:
            id = str(rng.randrange(60))
            name = rng.choice((f"osd.{id}", f"osd.{rng.randrange(40)}", "spare"))
            return ["--add-item", id, weight, name, *location()]
        case 1 | 2:
            name = rng.choice((crush.item_names.get(device, "osd.0"), f"osd.{device}"))
            return ["--update-item", str(device), weight, name, *location()]
        case 3:
            name = rng.choice((f"made{rng.randrange(9)}", rng.choice(names)))
            below = location() if rng.random() < 0.6 else []
            return ["--add-bucket", name, rng.choice([*types, "odd"]), *below]
        case 4 | 5:
            return ["--move", bucket(), *location()]
        case 6:
            return ["--move", crush.item_names.get(device, "osd.0"), *location()]
        case 7:
            return ["--reweight-item", rng.choice(names), weight]
        case 8:
            return ["--remove-item", rng.choice(names)]
        case 9:
            return ["--remove-item", crush.item_names.get(device, "osd.0")]
        case 10:
            return ["--reweight"]
        case _:
            device_class = rng.choice(("ssd", "hdd", "new"))
            return ["--set-subtree-class", bucket(), device_class, "--rebuild-class-roots"]
