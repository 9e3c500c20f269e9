"""Texts of CRUSH maps that are refused, each with the place (`^` before it) and the reason.

The unit tests look at place and reason; the interop tests, at whether crushtool refuses them too.
"""

from __future__ import annotations

from typing import NamedTuple

HEAD = """\
device 0 osd.0
device 1 osd.1 class ssd
type 0 osd
type 1 host
type 2 root
"""
HOST = "host h { id -1 alg straw2 hash 0 item osd.0 weight 1.0 item osd.1 weight 2 }\n"
RULE = "rule r { id 0 type replicated min_size 1 max_size 10 step take h step emit }\n"
MAP = HEAD + HOST


class Bad(NamedTuple):
    """A text, where in it the complaint points (line and column from 1), and what it says."""

    text: str
    line: int
    column: int
    reason: str


def bad(marked: str, reason: str) -> Bad:
    before, mark, after = marked.partition("^")
    assert mark, "mark the place"
    line = before.count("\n") + 1
    return Bad(before + after, line, len(before) - before.rfind("\n"), reason)


def bucket(body: str, kind: str = "host", name: str = "h") -> str:
    return f"{HEAD}{kind} {name} {{ {body} }}\n"


def rule(body: str) -> str:
    return f"{MAP}rule r {{ id 0 type replicated min_size 1 max_size 10 {body}}}\n"


def args(body: str) -> str:
    return f"{MAP}{RULE}choose_args 3 {{ {body} }}\n"


# Refused by both.
REFUSED: dict[str, Bad] = {
    # words where none is expected
    "an ini file": bad("^[global]\n", "found `[`"),
    "no sense": bad("one two ^three\n", "expected `{`, found `three`"),
    "a misspelt device": bad("devise 0 ^osd.0\n", "expected `{`, found `osd.0`"),
    "a device without a name": bad("device 0 ^{\n", "expected a name, found `{`"),
    "a device of negative id": bad("device ^-1 osd.0\n", "expected a number from 0"),
    "a device with a comma": bad("device 0 osd^,0\n", "found `,`"),
    "a type without a number": bad("type ^osd\n", "expected a number from 0, found `osd`"),
    "a tunable without a value": bad("tunable choose_total_tries^", "found the end"),
    "a tunable below zero": bad("tunable choose_total_tries ^-5", "found `-5`"),
    "a device after a bucket": bad(
        MAP + "^device 2 osd.2\n", "`device` must stand before all buckets"
    ),
    "a type after a rule": bad(MAP + RULE + "^type 3 row\n", "must stand before all buckets"),
    "a bucket after choose_args": bad(
        MAP + RULE + "choose_args 1 { }\n^host i { alg straw2 }\n", "a bucket must stand before"
    ),
    "a rule after choose_args": bad(
        MAP + "choose_args 1 { }\n^" + RULE, "`rule` must stand before all choose_args"
    ),
    "an accent": bad("device 0 ^\N{LATIN SMALL LETTER E WITH ACUTE}\n", "expected a name"),
    # buckets, as they are written
    "a bucket without end": bad(
        HEAD + "host h { id -1 alg straw2 hash 0\n item osd.0 weight 1.0\n^", "found the end"
    ),
    "a bucket without algorithm": bad(
        bucket("id -1 ^item osd.0"), "expected `class`, `id` or `alg`"
    ),
    "a bucket of positive id": bad(bucket("id ^1 alg straw2"), "expected a negative number"),
    "an id too late": bad(bucket("alg straw2 ^id -1"), "found `id`"),
    "a hash after items": bad(bucket("alg straw2 item osd.0 ^hash 0"), "found `hash`"),
    "an unknown hash": bad(bucket("alg straw2 hash ^md5"), "expected an integer or `rjenkins1`"),
    "a weight in words": bad(bucket("alg straw2 item osd.0 weight ^heavy"), "expected a weight"),
    "half an exponent": bad(bucket("alg straw2 item osd.0 weight ^1.0e"), "expected a weight"),
    "position before weight": bad(
        bucket("alg straw2 item osd.0 pos 0 ^weight 1"), "expected `item` or `}`, found `weight`"
    ),
    "a position below zero": bad(bucket("alg straw2 item osd.0 pos ^-1"), "a number from 0"),
    "commas": bad(bucket("alg straw2 item osd.0 weight 1^, item osd.1"), "found `,`"),
    "a bucket in a bucket": bad(bucket("alg straw2 ^host i { alg straw2 }"), "found `host`"),
    # buckets, as they are meant
    "an unknown type": bad(bucket("id -1 alg straw2").replace("host h", "^row h"), "type row is"),
    "an unknown algorithm": bad(bucket("alg ^straw3"), "expected an algorithm: uniform, list"),
    "an unknown item": bad(bucket("alg straw2 item ^osd.7"), "item osd.7 is not defined"),
    "itself as an item": bad(bucket("alg straw2 item ^h"), "item h is not defined before this"),
    "two that contain each other": bad(
        HEAD + "host a { alg straw2 item b }\nhost ^b { alg straw2 item a }\n", "contain each other"
    ),
    "three in a ring": bad(
        HEAD + "host a { alg straw2 item b }\nhost b { alg straw2 item ^c }\n"
        "host c { alg straw2 item a }\n",
        "is not defined before this",
    ),
    "one before two that it contains": bad(
        HEAD + "root q { alg straw2 item h item ^i }\nhost i { alg straw2 }\n" + HOST,
        "item i is not defined before this",
    ),
    "a name twice": bad(MAP + "host ^h { id -2 alg straw2 }\n", "item h is defined twice"),
    "the name of a device": bad(bucket("alg straw2", name="^osd.0"), "osd.0 is defined twice"),
    "a device twice": bad("device 0 osd.0\ndevice 1 ^osd.0\n", "osd.0 is defined twice"),
    "an id twice": bad(MAP + "host ^i { id -1 alg straw2 }\n", "a bucket with the id -1 already"),
    "a class twice in a bucket": bad(
        bucket("id -2 class ssd id -3 class ^ssd alg straw2"), "class ssd has an id in this bucket"
    ),
    "a position twice": bad(
        bucket("alg straw2 item osd.0 pos 0 item osd.1 pos ^0"), "position 0 is taken"
    ),
    "a position too far": bad(bucket("alg straw2 item osd.0 pos ^1"), "a position below 1"),
    "a heavy device": bad(bucket("alg straw2 item osd.0 weight ^100.1"), "may weigh 100 at most"),
    "a device below zero": bad(bucket("alg straw2 item osd.0 weight ^-1"), "at least 0"),
    "a heavy bucket": bad(
        MAP + "root q { alg straw2 item h weight ^65535.5 }\n", "may weigh 65535 at most"
    ),
    "too much together": bad(
        MAP + "host i { alg straw2 }\n"
        "root q { alg straw2 item h weight 40000 item i weight ^30000 }\n",
        "the weights in bucket q add up",
    ),
    "uniform and not": bad(
        bucket("alg uniform item osd.0 weight 1 item osd.1 weight ^2"), "the weight of the first"
    ),
    "an unknown tunable": bad("tunable ^chooseleaf_vary 1\n" + MAP, "no tunable chooseleaf_vary"),
    # rules, as they are written
    "a rule without steps": bad(rule("^"), "expected `step`"),
    "a rule without end": bad(
        MAP + "rule r { id 0 type replicated min_size 1 max_size 2 step emit^", "found the end"
    ),
    "a rule without id": bad(MAP + "rule r { ^type replicated }\n", "expected `id` or `ruleset`"),
    "a rule of negative id": bad(MAP + "rule r { id ^-1 }\n", "expected a n"),
    "a rule of type raid4": bad(MAP + "rule r { id 0 type ^raid4 }\n", "expected `replicated`"),
    "sizes in the wrong order": bad(
        MAP + "rule r { id 0 type erasure max_size 1 ^min_size 1 step emit }", "expected `step`"
    ),
    "an unknown step": bad(rule("step ^jump"), "expected `take`"),
    "a step noop": bad(rule("step ^noop"), "expected `take`"),
    "choose without mode": bad(rule("step choose ^0 type osd"), "expected `indep` or `firstn`"),
    "choose without type": bad(rule("step choose firstn 0 ^step emit"), "expected `type`"),
    "tries below zero": bad(rule("step set_choose_tries ^-1 step emit"), "a number from 0"),
    "a shadow by its name": bad(rule("step take h^~ssd step emit"), "found `~ssd`"),
    # rules, as they are meant
    "taking nothing": bad(rule("step take ^nothing step emit"), "item nothing is not defined"),
    "taking an unknown class": bad(rule("step take h class ^hdd"), "class hdd is not defined"),
    "taking a device by class": bad(
        rule("step take osd.1 class ^ssd step emit"), "osd.1 has no shadow tree of class ssd"
    ),
    "the shadow of a uniform bucket": bad(
        HEAD + "host h { alg uniform item osd.0 item osd.1 }\nrule r { id 0 type replicated"
        " min_size 1 max_size 2 step take h class ^ssd step emit }\n",
        "the shadow of the uniform bucket h~ssd cannot have items",
    ),
    "choosing an unknown type": bad(
        rule("step take h step choose firstn 0 type ^row"), "type row is not defined"
    ),
    "a rule twice": bad(MAP + RULE + RULE.replace("id 0", "id 1").replace("r {", "^r {"), "twice"),
    "a rule id twice": bad(MAP + RULE + RULE.replace("r { id 0", "s { id ^0"), "id 0 already"),
    "a bucket after a rule": bad(MAP + RULE + "^host i { alg straw2 }\n", "before all rules"),
    "more rules than there may be": bad(
        MAP + RULE.replace("id 0", "id 300") + RULE.replace("r { id 0", "s { id ^301"), "256 rules"
    ),
    # choose_args
    "choose_args of nothing": bad(args("{ ^}"), "expected `bucket_id`"),
    "choose_args of a device": bad(args("{ bucket_id ^0 }"), "expected a negative number"),
    "choose_args of an absent bucket": bad(args("{ bucket_id ^-3 }"), "no bucket has the id -3"),
    "choose_args far away": bad(args("{ bucket_id ^-999999999 }"), "no bucket has the id"),
    "ids before weights": bad(
        args("{ bucket_id -1 ids [ 0 1 ] ^weight_set [ [ 1 1 ] ] }"), "expected `}`"
    ),
    "too few weights": bad(args("{ bucket_id -1 weight_set [ ^[ 1.0 ] ] }"), "2 weights, not 1"),
    "too many weights": bad(
        args("{ bucket_id -1 weight_set [ [ 1 1 ] ^[ 1 2 3 ] ] }"), "2 weights, not 3"
    ),
    "too few ids": bad(args("{ bucket_id ^-1 ids [ 1 ] }"), "needs 2 ids, not 1"),
    "names for ids": bad(args("{ bucket_id -1 ids [ ^osd.0 osd.1 ] }"), "expected an integer"),
    "one list of weights": bad(
        args("{ bucket_id -1 weight_set [ ^1.0 2.0 ] }"), "expected `[` or `]`"
    ),
    "choose_args twice": bad(
        MAP + RULE + "choose_args 3 { }\nchoose_args ^3 { }\n", "choose_args 3 is defined twice"
    ),
    "choose_args without end": bad(
        MAP + RULE + "choose_args 3 { { bucket_id -1 ^", "expected `weight_set`, `ids` or `}`"
    ),
}

# What crushtool takes, though the number does not fit its field and becomes another one.
WRAPPED: dict[str, Bad] = {
    "an id beyond 32 bits": bad("device ^4294967296 osd.0\n" + MAP[15:], "a number from 0 to"),
    "a weight that wraps to zero": bad(bucket("alg straw2 item osd.0 weight ^1e30"), "below 65536"),
    "a vary_r of two bytes": bad("tunable chooseleaf_vary_r ^256\n" + MAP, "from 0 to 255"),
    "a type of three bytes": bad("type ^65536 pod\n" + MAP, "from 0 to 65535"),
    "a hash of two bytes": bad(bucket("alg straw2 hash ^256"), "from 0 to 255"),
    "a size of two bytes": bad(
        MAP + RULE.replace("max_size 10", "max_size ^257"), "a number from 0 to 255"
    ),
    "a weight of a set below zero": bad(
        args("{ bucket_id -1 weight_set [ [ ^-1 1 ] ] }"), "at least 0"
    ),
}

# What makes crushtool abort, run out of memory or write what it never computed.
ABORTED: dict[str, Bad] = {
    "uniform and weightless": bad(
        HEAD + "host ^h { alg uniform item osd.0 weight 0 }\n", "must weigh more than zero"
    ),
    "a tree of too many": bad(
        "".join(f"device {n} osd.{n}\n" for n in range(65))
        + "type 1 host\nhost ^h { alg tree "
        + " ".join(f"item osd.{n}" for n in range(65))
        + " }\n",
        "room for 64 items",
    ),
    "a position far away": bad(bucket("alg straw2 item osd.0 pos ^2147483647"), "below 1"),
    "an id far away": bad(bucket("id ^-2000000000 alg straw2"), "a number from -262144 to 0"),
    "an id of many digits": bad(bucket(f"id ^-{'9' * 9999} alg straw2"), "from -262144 to 0"),
    "a rule far away": bad(MAP + RULE.replace("id 0", "id ^2000000000"), "from 0 to 65535"),
    "the device that means none": bad("device ^2147483647 osd.0\n", "from 0 to 2147483645"),
}
