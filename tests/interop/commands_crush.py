"""Commands about the CRUSH map, device classes, rules, weight sets and erasure-code profiles.

Three OSDs are in the map and none runs. After each group of edits the whole map is compared.
"""

from __future__ import annotations

from spirula.crush.bucket_items import new_bucket
from spirula.crush.map import BucketAlg
from spirula.crush.rules import add_simple_rule
from spirula.crush.wire import CrushWrapper
from spirula.maps.simple import TYPE_NAMES
from tests.interop.compared import Step

UUIDS = [f"{letter * 8}-1111-2222-3333-444444444444" for letter in "abc"]


def both(prefix, **arguments):
    """Plain and as JSON."""
    return [Step(prefix, **arguments), Step(prefix, format="json", **arguments)]


LOOK = [
    Step("osd crush dump"),
    *both("osd crush tree"),
    *both("osd crush tree", shadow="--show-shadow"),
]


def map_with(*, alg=BucketAlg.STRAW2, rule=True, osds=3):
    """A map to be set: one host in a root, as somebody might have compiled it."""
    crush = CrushWrapper()
    crush.type_names = dict(enumerate(TYPE_NAMES))
    crush.max_devices = osds
    crush.item_names = {osd: f"osd.{osd}" for osd in range(osds)}
    host = new_bucket(crush, 1, list(range(osds)), [0x10000] * osds, alg=alg)
    root = new_bucket(crush, 11, [host.id], [0x10000 * osds], alg=alg)
    crush.item_names |= {host.id: "onlyhost", root.id: "default"}
    if rule:
        add_simple_rule(crush, "replicated_rule", "default", "osd")
    return crush


def with_ruleset(number):
    crush = map_with()
    crush.rules[0].ruleset = number
    return crush


OSDS = [*(Step("osd new", uuid=uuid, plain=False) for uuid in UUIDS), *LOOK]


def at(*words):
    return list(words)


PLACES = [
    Step("osd crush set", id=0, weight=1.0, args=at("root=default", "host=h0")),
    Step("osd crush add", id=0, weight=1.0, args=at("root=default", "host=h0")),
    Step("osd crush add", id=0, weight=1.0, args=at("root=default", "host=h0")),
    Step("osd crush add", id=0, weight=1.5, args=at("root=default", "host=h0")),
    Step("osd crush set", id=0, weight=1.5, args=at("root=default", "host=h0")),
    Step("osd crush set", id=0, weight=0.123456789, args=at("root=default", "host=h0")),
    Step("osd crush add", id=9, weight=1.0, args=at("root=default", "host=h0")),
    Step("osd crush set", id=9, weight=1.0, args=at("root=default", "host=h0")),
    Step("osd crush add", id=1, weight=1.0, args=at("host=h1")),
    Step("osd crush add", id=2, weight=1.0, args=at("nonsense")),
    Step("osd crush add", id=2, weight=1.0, args=at("root=h0")),
    Step("osd crush add", id=2, weight=1.0, args=at("nosuchtype=x")),
    Step("osd crush add", id=2, weight=1000000.0, args=at("root=default", "host=h2")),
    Step("osd crush add", id=2, weight=2.0, args=at("root=default", "rack=r1", "host=h2")),
    *LOOK,
    Step("osd crush create-or-move", id=2, weight=3.0, args=at("root=default", "host=h2")),
    Step("osd crush create-or-move", id=2, weight=3.0, args=at("root=default", "host=h3")),
    Step("osd crush create-or-move", id=9, weight=3.0, args=at("root=default", "host=h3")),
    Step("osd crush create-or-move", id=1, weight=3.0, args=at("x")),
    Step("osd crush add-bucket", name="r2", type="rack"),
    Step("osd crush add-bucket", name="r2", type="rack"),
    Step("osd crush add-bucket", name="r3", type="nosuch"),
    Step("osd crush add-bucket", name="r3", type="osd"),
    Step("osd crush add-bucket", name="r3", type="rack", args=at("root=default")),
    Step("osd crush add-bucket", name="r4", type="rack", args=at("host=h0")),
    Step("osd crush add-bucket", name="r5", type="rack", args=at("root=elsewhere")),
    *LOOK,
    Step("osd crush move", name="h1", args=at("root=default", "rack=r2")),
    Step("osd crush move", name="h1", args=at("root=default", "rack=r2")),
    Step("osd crush move", name="nope", args=at("root=default")),
    Step("osd crush move", name="r2", args=at("root=default")),
    Step("osd crush move", name="default", args=at("rack=r2")),
    Step("osd crush move", name="r2", args=at("host=h0")),
    Step("osd crush move", name="osd.1", args=at("root=default", "host=h0")),
    Step("osd crush move", name="osd.1", args=at("bad")),
    Step("osd crush link", name="h0", args=at("root=other")),
    Step("osd crush link", name="h0", args=at("root=other")),
    Step("osd crush link", name="nope", args=at("root=other")),
    Step("osd crush link", name="osd.0", args=at("root=other")),
    *LOOK,
    Step("osd crush unlink", name="h0", ancestor="other"),
    Step("osd crush unlink", name="h0", ancestor="other"),
    Step("osd crush unlink", name="h0", ancestor="nosuch"),
    Step("osd crush unlink", name="nope"),
    Step("osd crush rename-bucket", srcname="r2", dstname="rack2"),
    Step("osd crush rename-bucket", srcname="r2", dstname="rack2"),
    Step("osd crush rename-bucket", srcname="nope", dstname="nope2"),
    Step("osd crush rename-bucket", srcname="rack2", dstname="h0"),
    Step("osd crush rename-bucket", srcname="osd.0", dstname="osd.00"),
    Step("osd crush rename-bucket", srcname="rack2", dstname="rack 2", outs=False),
    Step("osd crush add-bucket", name="new", type="host"),
    Step("osd crush swap-bucket", source="h0", dest="new"),
    Step("osd crush swap-bucket", source="nope", dest="new"),
    Step("osd crush swap-bucket", source="new", dest="nope"),
    Step("osd crush swap-bucket", source="new", dest="h0"),
    Step("osd crush swap-bucket", source="rack2", dest="h1", yes_i_really_mean_it=True),
    Step("osd crush swap-bucket", source="osd.0", dest="h1", yes_i_really_mean_it=True),
    *LOOK,
    *both("osd crush ls", node="default"),
    *both("osd crush ls", node="osd.0"),
    Step("osd crush ls", node="nope"),
    Step("osd crush rm", name="default"),
    Step("osd crush rm", name="h1"),
    Step("osd crush rm", name="nope"),
    Step("osd crush rm", name="h0"),
    Step("osd crush rm", name="osd.2", ancestor="h1"),
    Step("osd crush rm", name="osd.2", ancestor="nope"),
    Step("osd crush rm", name="osd.2", ancestor="h3"),
    Step("osd crush remove", name="r3"),
    *LOOK,
    Step("osd crush add", id=2, weight=2.0, args=at("root=default", "host=h2")),
]

WEIGHTS = [
    Step("osd crush reweight", name="osd.0", weight=2.5),
    Step("osd crush reweight", name="h2", weight=2.5),
    Step("osd crush reweight", name="nope", weight=2.5),
    Step("osd crush reweight", name="osd.0", weight=100000.0),
    Step("osd crush reweight-subtree", name="default", weight=0.5),
    Step("osd crush reweight-subtree", name="osd.0", weight=0.5),
    Step("osd crush reweight-subtree", name="nope", weight=0.5),
    Step("osd crush reweight-all"),
    *LOOK,
    Step("osd pool create", pool="p", pg_num=8),
    Step("osd crush weight-set create-compat"),
    Step("osd crush weight-set create-compat"),
    Step("osd crush weight-set reweight-compat", item="osd.0", weight=[0.25]),
    Step("osd crush weight-set reweight-compat", item="nope", weight=[0.25]),
    Step("osd crush weight-set reweight-compat", item="osd.0", weight=[0.25, 1.0]),
    Step("osd crush weight-set create", pool="p", mode="positional"),
    Step("osd crush weight-set create", pool="nope", mode="flat"),
    *both("osd crush weight-set ls"),
    *both("osd crush weight-set dump"),
    Step("osd set-require-min-compat-client", version="luminous"),
    Step("osd crush weight-set create", pool="p", mode="positional"),
    Step("osd crush weight-set create", pool="p", mode="positional"),
    Step("osd crush weight-set reweight", pool="p", item="osd.1", weight=[1.0]),
    Step("osd crush weight-set reweight", pool="p", item="osd.1", weight=[0.1, 0.2, 0.3]),
    Step("osd crush weight-set reweight", pool="p", item="nope", weight=[0.1, 0.2, 0.3]),
    Step("osd crush weight-set reweight", pool="nope", item="osd.1", weight=[0.1]),
    Step("osd crush reweight", name="osd.2", weight=0.75),
    *both("osd crush weight-set ls"),
    *both("osd crush weight-set dump"),
    *LOOK,
    Step("osd crush weight-set rm", pool="p"),
    Step("osd crush weight-set rm", pool="p"),
    Step("osd crush weight-set rm", pool="nope"),
    Step("osd crush weight-set rm-compat"),
    Step("osd crush weight-set reweight-compat", item="osd.0", weight=[0.25]),
    Step("osd crush weight-set reweight", pool="p", item="osd.0", weight=[0.25]),
    *both("osd crush weight-set dump"),
]

CLASSES = [
    *both("osd crush class ls"),
    Step("osd crush set-device-class", class_="ssd", ids=["0"]),
    Step("osd crush set-device-class", class_="ssd", ids=["0"]),
    Step("osd crush set-device-class", class_="hdd", ids=["0"]),
    Step("osd crush set-device-class", class_="hdd", ids=["99"]),
    Step("osd crush set-device-class", class_="hdd", ids=["x", "1"]),
    Step("osd crush set-device-class", class_="hdd", ids=["osd.1", "osd.2"]),
    Step("osd crush set-device-class", class_="hdd", ids=["all"]),
    Step("osd crush set-device-class", class_="hdd", ids=["70000"]),
    Step("osd crush rm-device-class", ids=["2", "77", "x"]),
    Step("osd crush rm-device-class", ids=["77"]),
    Step("osd crush rm-device-class", ids=["2"]),
    Step("osd crush rm-device-class", ids=["2"]),
    Step("osd crush set-device-class", class_="nvme", ids=["2"]),
    *LOOK,
    *both("osd crush class ls"),
    *both("osd crush class ls-osd", class_="hdd"),
    *both("osd crush class ls-osd", class_="nope"),
    *both("osd crush get-device-class", ids=["0"]),
    *both("osd crush get-device-class", ids=["0", "osd.1", "99"]),
    Step("osd crush get-device-class", ids=["x"]),
    Step("osd crush class create", class_="extra"),
    Step("osd crush class create", class_="extra"),
    Step("osd crush class rename", srcname="extra", dstname="hdd"),
    Step("osd crush class rename", srcname="extra", dstname="other"),
    Step("osd crush class rename", srcname="extra", dstname="other"),
    Step("osd crush class rename", srcname="nope", dstname="nope2"),
    Step("osd crush class rename", srcname="nvme", dstname="flash"),
    Step("osd crush class rm", class_="other"),
    Step("osd crush class rm", class_="other"),
    *LOOK,
]

RULES = [
    *both("osd crush rule ls"),
    *both("osd crush rule list"),
    Step("osd crush rule create-simple", name="s", root="default", type="host"),
    Step("osd crush rule create-simple", name="s", root="default", type="host"),
    Step("osd crush rule create-simple", name="i", root="default", type="osd", mode="indep"),
    Step("osd crush rule create-simple", name="x", root="nope", type="osd"),
    Step("osd crush rule create-simple", name="x", root="default", type="nope"),
    Step("osd crush rule create-replicated", name="r", root="default", type="host", class_="ssd"),
    Step("osd crush rule create-replicated", name="r", root="default", type="host", class_="ssd"),
    Step("osd crush rule create-replicated", name="y", root="default", type="host", class_="no"),
    Step("osd crush rule create-replicated", name="y", root="default", type="host"),
    Step("osd crush rule create-erasure", name="ec"),
    Step("osd crush rule create-erasure", name="ec"),
    Step("osd crush rule create-erasure", name="ec2", profile="nope"),
    *both("osd crush rule ls-by-class", class_="ssd"),
    Step("osd crush rule ls-by-class", class_="nope"),
    *both("osd crush rule dump"),
    *both("osd crush rule dump", name="r"),
    Step("osd crush rule dump", name="nope"),
    Step("osd crush class rm", class_="ssd"),
    Step("osd crush rule rename", srcname="s", dstname="simple"),
    Step("osd crush rule rename", srcname="s", dstname="simple"),
    Step("osd crush rule rename", srcname="nope", dstname="nope2"),
    Step("osd crush rule rename", srcname="i", dstname="simple"),
    Step("osd crush rule rename", srcname="i", dstname="i"),
    Step("osd crush rule rm", name="replicated_rule"),
    Step("osd crush rule rm", name="nope"),
    Step("osd crush rule rm", name="simple"),
    *LOOK,
]

PROFILES = [
    *both("osd erasure-code-profile ls"),
    *both("osd erasure-code-profile get", name="default"),
    Step("osd erasure-code-profile get", name="nope"),
    Step("osd erasure-code-profile set", name="one"),
    Step("osd erasure-code-profile set", name="one"),
    Step("osd erasure-code-profile set", name="one", profile=["k=3", "m=1"]),
    Step("osd erasure-code-profile set", name="one", profile=["k=3", "m=1"], force=True),
    Step("osd erasure-code-profile set", name="bad", profile=["k=1"]),
    Step("osd erasure-code-profile set", name="bad", profile=["ruleset-root=x"]),
    Step("osd erasure-code-profile set", name="bad", profile=["crush-failure-domain=x"]),
    Step("osd erasure-code-profile set", name="bad", profile=["stripe_unit=100"]),
    Step("osd erasure-code-profile set", name="bad", profile=["stripe_unit=64"]),
    Step("osd erasure-code-profile set", name="odd", profile=["stripe_unit=64"], force=True),
    Step("osd erasure-code-profile set", name="bad", profile=["plugin=nope"], outs=False),
    Step("osd erasure-code-profile set", name="isa", profile=["plugin=isa"]),
    Step(
        "osd erasure-code-profile set",
        name="ssd",
        profile=["k=2", "m=1", "crush-device-class=ssd", "crush-failure-domain=osd"],
    ),
    Step("osd erasure-code-profile set", name="lrc", profile=["plugin=lrc", "k=4", "m=2", "l=3"]),
    Step("osd crush rule create-erasure", name="ecssd", profile="ssd"),
    Step("osd crush rule create-erasure", name="eclrc", profile="lrc"),
    Step("osd crush rule rm", name="r"),
    Step("osd crush rule rm", name="ecssd"),
    Step("osd crush class rm", class_="ssd"),
    Step("osd pool create", pool="ep", pg_num=8, pool_type="erasure", erasure_code_profile="one"),
    Step("osd erasure-code-profile rm", name="one"),
    Step("osd erasure-code-profile rm", name="isa"),
    Step("osd erasure-code-profile rm", name="isa"),
    *both("osd erasure-code-profile ls"),
    *both("osd erasure-code-profile get", name="one"),
    *both("osd erasure-code-profile get", name="lrc"),
    *LOOK,
]

TUNABLES = [
    *both("osd crush show-tunables"),
    *both("osd crush get-tunable", tunable="straw_calc_version"),
    Step("osd crush set-tunable", tunable="straw_calc_version", value=2),
    Step("osd crush set-tunable", tunable="straw_calc_version", value=0),
    *both("osd crush get-tunable", tunable="straw_calc_version"),
    Step("osd crush tunables", profile="legacy"),
    *both("osd crush show-tunables"),
    Step("osd crush tunables", profile="hammer"),
    *both("osd crush show-tunables"),
    Step("osd set-require-min-compat-client", version="firefly"),
    Step("osd crush tunables", profile="optimal"),
    *both("osd crush show-tunables"),
    Step("osd crush set-all-straw-buckets-to-straw2"),
]

MAPS = [
    Step("osd setcrushmap", b"nonsense", outs=False),
    Step("osd setcrushmap", b"", outs=False),
    Step("osd setcrushmap", map_with(rule=False).encode(), outs=False),
    Step("osd setcrushmap", with_ruleset(7).encode()),
    Step("osd pool rm", pool="ep", pool2="ep", yes_i_really_really_mean_it=True),
    Step("osd setcrushmap", map_with().encode(), prior_version=1, outs=False),
    Step("osd setcrushmap", map_with().encode(), outs=False),
    *LOOK,
    Step("osd crush set", map_with(alg=BucketAlg.STRAW).encode(), outs=False),
    *LOOK,
    Step("osd crush weight-set create-compat"),
    Step("osd crush set-all-straw-buckets-to-straw2"),
    *LOOK,
]

STEPS = [*OSDS, *PLACES, *WEIGHTS, *CLASSES, *RULES, *PROFILES, *TUNABLES, *MAPS]
