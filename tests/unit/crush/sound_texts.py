"""Texts of CRUSH maps that are read, though one might doubt it. Both sides must make one map."""

from __future__ import annotations

HEAD = """\
device 0 osd.0
device 1 osd.1 class ssd
device 2 osd.2 class hdd
type 0 osd
type 1 host
type 2 root
"""
HOST = "host h { alg straw2 item osd.0 weight 1 item osd.1 weight 2.5 }\n"
RULE = "rule r { id 0 type replicated min_size 1 max_size 10 step take h step emit }\n"

SOUND: dict[str, str] = {
    "nothing": "",
    "a comment": "# nothing but this\n",
    "words without blanks": (
        "device0osd.0 device 1 osd.1 classssd\ntype0osd type1host\n"
        "host h{id-1alg straw2 hash0 item osd.0 weight1.5 item osd.1 }rule{id 0type replicated "
        "min_size1max_size 3steptake h stepchoosefirstn-1typeosd stepemit}"
    ),
    "all on one line": (HEAD + HOST + RULE).replace("\n", " "),
    "a word a line": (HEAD + HOST + RULE).replace(" ", "\n"),
    "odd blanks": (HEAD + HOST + RULE).replace(" ", "\t\v \f").replace("\n", "\r\n"),
    "comments in between": (HEAD + HOST + RULE).replace(" ", " # why { \n"),
    "a comment in other letters": HEAD + HOST + "# \N{GREEK SMALL LETTER ALPHA} \N{SNOWMAN}\n",
    "names like numbers and words": (
        "device 0 0 device 1 1 device 2 device type 0 item type 1 type type 2 rule\n"
        "type alg { alg list item 0 item 1 item device }\nrule weight { alg straw2 item alg }\n"
    ),
    "no name of a rule": HEAD + HOST + RULE.replace("rule r", "rule"),
    "ruleset for id": HEAD + HOST + RULE.replace("id 0", "ruleset 3"),
    "holes among rules": HEAD + HOST + RULE.replace("id 0", "id 9"),
    "a rule beyond a byte": HEAD + HOST + RULE.replace("id 0", "id 300"),
    "two names of a device": HEAD + "device 0 other\n" + HOST,
    "a type twice": HEAD + "type 7 host\n" + HOST,
    "two types of one number": HEAD + "type 1 other\n" + HOST,
    "no types that are used": "device 0 osd.0\ndevice 5 osd.5\n",
    "devices with holes": "device 7 a\ndevice 3 b\ntype 1 host\nhost h { alg list item b }\n",
    "a device in no bucket": HEAD + "device 40 spare\n" + HOST,
    "the last id wins": HEAD + "host h { id -3 id -9 alg straw2 }\n",
    "minus nothing": HEAD + "host h { id -0 alg straw2 }\n",
    "many slots": HEAD + "host h { id -200 alg straw2 item osd.0 }\n",
    "ids around those given": HEAD + "host a { alg list }\nhost b { id -1 alg list }\n"
    "host c { alg list }\nhost d { id -2 alg list }",
    "an id for no class": HEAD + "host h { id -1 id -5 class tape alg straw2 item osd.1 }\n" + RULE,
    "a shadow without id": HEAD + "host h { id -1 id -0 class ssd alg straw2 item osd.1 }\n" + RULE,
    "a shadow's id is taken": HEAD
    + "host g { id -2 alg straw2 }\nhost h { id -1 id -2 class ssd alg straw2 item osd.1 }\n"
    + RULE,
    "an empty shadow": HEAD
    + HOST
    + "rule r { id 0 type erasure min_size 1 max_size 1 step take h class hdd step emit }\n",
    "no shadows without rules": HEAD + HOST,
    "shadows through two levels": HEAD
    + "host a { id -4 id -7 class hdd alg straw item osd.2 weight 3 item osd.1 weight 1 }\n"
    "host b { id -2 alg list item osd.0 item osd.1 weight 0.25 }\n"
    "root c { id -1 alg straw2 item a weight 9 item b }\n" + RULE.replace("take h", "take c"),
    "two roots share a host": HEAD
    + "host a { alg straw2 item osd.2 item osd.1 }\nroot c { alg list item a }\n"
    "root b { alg straw2 item a weight 0.5 }\n" + RULE.replace("take h", "take c class ssd"),
    "uniform shadows stop the making": HEAD
    + "host a { alg uniform item osd.1 }\nhost b { alg straw2 item osd.1 }\n"
    "root c { alg straw2 item b item a }\nroot d { alg straw2 item b }\n"
    + RULE.replace("take h", "take c"),
    "an empty uniform shadow": HEAD.replace(" class hdd", "")
    + "host a { alg uniform item osd.2 item osd.0 }\nhost b { alg straw2 item osd.1 }\n"
    "root c { alg straw2 item b item a }\n" + RULE.replace("take h", "take c class ssd"),
    "hash by name": HEAD + "host h { alg straw2 hash 1 hash rjenkins1 item osd.0 }\n",
    "another hash": HEAD + "host h { alg straw2 hash 1 item osd.0 }\n",
    "weights in all ways": HEAD
    + "host h { alg list item osd.0 weight +1.5 item osd.1 weight .25 item osd.2 weight 2e-3 }\n"
    "host i { alg list item osd.0 weight 3. item osd.1 weight 1.E1 item osd.2 weight -0.000001 }\n",
    "weights by default": HEAD + HOST + "root q { alg straw2 item h item osd.2 }\n",
    "a device twice in a bucket": HEAD + "host h { alg straw2 item osd.0 item osd.0 }\n",
    "positions": HEAD
    + "host h { alg tree item osd.0 pos 2 item osd.1 item osd.2 weight 0 pos 0 }\n",
    "empty buckets": HEAD
    + "".join(f"host {a} {{ alg {a} }}\n" for a in ("uniform", "list", "tree", "straw", "straw2")),
    "all weights zero": HEAD
    + "".join(
        f"host {a} {{ alg {a} item osd.0 weight 0 item osd.1 weight 0 }}\n"
        for a in ("list", "tree", "straw", "straw2")
    ),
    "straws of version 1": "tunable straw_calc_version 1\n"
    + HEAD
    + "host h { alg straw item osd.0 weight 0 item osd.1 weight 2 item osd.2 weight 2 }\n"
    "host i { alg straw item osd.0 weight 1 item osd.1 weight 99 item osd.2 weight 0.001 }\n",
    "straws of version 0": HEAD
    + "host h { alg straw item osd.0 weight 0 item osd.1 weight 2 item osd.2 weight 2 }\n"
    "host i { alg straw item osd.0 weight 1 item osd.1 weight 99 item osd.2 weight 0.001 }\n",
    "the outer before the inner": HEAD + "root q { alg straw2 item h item osd.2 }\n" + HOST,
    "ids where buckets change places": HEAD
    + "root q { alg straw2 item h }\nhost g { alg list }\nhost h { alg list item osd.0 }\n",
    "an item of a type's name": HEAD + "host host { alg straw2 item osd.0 }\n",
    "every tunable": "".join(
        f"tunable {name} {value}\n"
        for value, name in enumerate(
            (
                "choose_local_tries",
                "choose_local_fallback_tries",
                "choose_total_tries",
                "chooseleaf_descend_once",
                "chooseleaf_vary_r",
                "chooseleaf_stable",
                "straw_calc_version",
                "allowed_bucket_algs",
            ),
            3,
        )
    )
    + HEAD,
    "a tunable after devices, and again": HEAD
    + "tunable choose_total_tries 5\ntunable choose_total_tries 6\n"
    + HOST,
    "every step": HEAD
    + HOST
    + "rule r { id 0 type erasure min_size 0 max_size 255 step set_choose_tries 1\n"
    "step set_choose_local_tries 2 step set_choose_local_fallback_tries 3\n"
    "step set_chooseleaf_tries 4 step set_chooseleaf_vary_r 5 step set_chooseleaf_stable 6\n"
    "step take h step choose firstn 2 type osd step choose indep -1 type host step emit\n"
    "step take osd.1 step chooseleaf firstn 0 type osd step chooseleaf indep 1 type root\n"
    "step emit step emit }\n",
    "choose_args": HEAD
    + HOST
    + RULE
    + "choose_args 18446744073709551615 { { bucket_id -1 weight_set [ [ 0.5 2 ] ] } }\n"
    "choose_args 0 { { bucket_id -1 ids [ -20 7 ] } }\n"
    "choose_args 5 { { bucket_id -1 weight_set [ [ 1 1 ] [ 2.25 .5 ] ] ids [ 0 1 ] } }\n"
    "choose_args 6 { }\nchoose_args 7 { { bucket_id -1 weight_set [ ] } }\n",
    "choose_args twice for a bucket": HEAD
    + HOST
    + "choose_args 1 { { bucket_id -1 ids [ 5 6 ] } { bucket_id -1 weight_set [ [ 1 1 ] ] }\n"
    "{ bucket_id -1 weight_set [ [ 3 1 ] [ 1 1 ] ] } }\n",
    "choose_args of a list": HEAD
    + "host h { alg list item osd.0 }\nchoose_args 1 { { bucket_id -1 weight_set [ [ 3 ] ] } }\n",
}
