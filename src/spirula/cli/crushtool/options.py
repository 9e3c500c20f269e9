"""The arguments of `spirula crushtool`, as upstream's `src/tools/crushtool.cc` takes them.

Called by the command only. A number that is none is refused here at once, where upstream takes some
for 1; otherwise the order, the doubling and the leaving out of arguments mean what they mean there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from spirula.conf.args import UsageError, Words
from spirula.crush.layers import Layer
from spirula.crush.tester import TestRun, device_weight
from spirula.printing import as_f32

TUNABLES = (
    "choose_local_tries",
    "choose_local_fallback_tries",
    "choose_total_tries",
    "chooseleaf_descend_once",
    "chooseleaf_vary_r",
    "chooseleaf_stable",
    "straw_calc_version",
    "allowed_bucket_algs",
)
"""Tunables that have an option `--set-...`, in the order in which they are set."""

_SHOWS = (
    "utilization",
    "utilization_all",
    "statistics",
    "mappings",
    "bad_mappings",
    "choose_tries",
)
_FLAGS = {
    "compile_unsafe": ("--enable-unsafe-tunables",),
    "reclassify": ("--reclassify",),
    "tree": ("--tree",),
    "bucket_tree": ("--bucket-tree",),
    "dump": ("--dump",),
    "test": ("-t", "--test"),
    "reweight": ("--reweight",),
    "rebuild_class_roots": ("--rebuild-class-roots",),
    "build": ("--build",),
    "verbose": ("-v", "--verbose"),
    "newer": ("--newer",),
    "help_output": ("--help-output",),
}
_VALUES = {
    "infn": ("-i", "--infn"),
    "outfn": ("-o", "--outfn"),
    "compare": ("--compare",),
    "bucket_name": ("-b", "--bucket-name"),
    "format": ("-f", "--format"),
    "compile": ("-c", "--compile"),
    "remove_item": ("--remove-item",),
    "device_class": ("--device-class",),
    "remove_rule": ("--remove-rule",),
}
_INTEGERS = {
    "num_osds": ("--num_osds",),
}
_RUN_INTEGERS = {
    "replicas": ("--num-rep",),
    "max_x": ("--max-x",),
    "min_x": ("--min-x",),
    "pool": ("--pool-id",),
    "max_rule": ("--max-rule",),
    "min_rule": ("--min-rule",),
    "ruleset": ("--ruleset",),
    "batches": ("--batches",),
}
_NUMBER = re.compile(r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)")
_LEADING_FLOAT = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INT_MAX = 0x7FFFFFFF


@dataclass(slots=True)
class Request:
    """What the arguments ask for. Empty texts, None and -1 mean: nothing."""

    infn: str = ""
    outfn: str = ""
    compile: str = ""
    decompile: bool = False
    build: bool = False
    num_osds: int = 0
    layers: list[Layer] = field(default_factory=list)
    compile_unsafe: bool = False
    newer: bool = False
    verbose: bool = False
    help_output: bool = False
    tunables: dict[str, int] = field(default_factory=dict)
    reweight_item: tuple[str, float] | None = None
    remove_item: str = ""
    add_item: tuple[int, float, str] | None = None
    update_item: bool = False
    add_bucket: tuple[str, str] | None = None
    move: str | None = None
    location: dict[str, str] = field(default_factory=dict)
    add_rule: tuple[str, str, str, str] | None = None
    device_class: str = ""
    remove_rule: str | None = None
    reweight: bool = False
    rebuild_class_roots: bool = False
    set_subtree_class: dict[str, str] = field(default_factory=dict)
    reclassify: bool = False
    reclassify_root: dict[str, str] = field(default_factory=dict)
    reclassify_bucket: dict[str, tuple[str, str]] = field(default_factory=dict)
    show_location: int = -1
    tree: bool = False
    bucket_tree: bool = False
    bucket_name: str = ""
    dump: bool = False
    format: str = "json-pretty"
    check: bool = False
    max_id: int = -1
    test: bool = False
    compare: str = ""
    run: TestRun = field(default_factory=TestRun)

    def acts(self) -> bool:
        """Whether there is anything to do."""
        return (
            self.check
            or bool(self.compile)
            or self.decompile
            or self.build
            or self.test
            or self.reweight
            or bool(self.tunables)
            or self.tree
            or self.dump
            or self.add_item is not None
            or self.add_bucket is not None
            or self.move is not None
            or self.add_rule is not None
            or self.remove_rule is not None
            or self.show_location >= 0
            or self.bucket_tree
            or self.reclassify
            or self.rebuild_class_roots
            or bool(self.compare)
            or bool(self.remove_item)
            or self.reweight_item is not None
        )


def parse(argv: Sequence[str], announce: list[str]) -> Request:
    """What `argv` asks for; rules that are asked for are told to `announce`.

    Raises UsageError for what cannot be understood.
    """
    request, words = Request(), Words(argv)
    while words:
        if words.flag("--"):
            words.keep_all()
        elif not (
            _simple(request, words)
            or _edit(request, words, announce)
            or _test(request, words)
            or _class_edit(request, words)
        ):
            words.keep()
    _finish(request, words.left)
    return request


def _finish(request: Request, left: list[str]) -> None:
    if request.decompile + bool(request.compile) + request.build > 1:
        raise UsageError("cannot specify more than one of compile, decompile, and build")
    if not request.acts() and not request.help_output:
        raise UsageError("no action specified; -h for help")
    if left and not request.build:
        raise UsageError(f"unrecognized arguments: [{','.join(left)}]")
    if len(left) % 3:
        raise UsageError(
            f"remaining args: [{','.join(left)}]\n"
            "layers must be specified with 3-tuples of (name, buckettype, size)"
        )
    for at in range(0, len(left), 3):
        name, alg, size = left[at : at + 3]
        request.layers.append(Layer(name, alg, int(leading_float(size))))


def _simple(request: Request, words: Words) -> bool:
    for name, flags in _FLAGS.items():
        if words.flag(*flags):
            setattr(request, name, True)
            return True
    if (text := words.value("-d", "--decompile")) is not None:
        request.infn, request.decompile = text, True
        return True
    for name, flags in _VALUES.items():
        if (text := words.value(*flags)) is not None:
            setattr(request, name, text)
            return True
    for name, flags in _INTEGERS.items():
        if (number := _integer(words, *flags)) is not None:
            setattr(request, name, number)
            return True
    for name in TUNABLES:
        if (number := _integer(words, f"--set-{name}")) is not None:
            if number >= 0:
                request.tunables[name] = number
            return True
    return False


def _edit(request: Request, words: Words, announce: list[str]) -> bool:
    if (text := words.value("--reweight-item")) is not None:
        request.reweight_item = text, _weight(_more(words, "--reweight-item"))
    elif (number := _integer(words, "--add-item")) is not None:
        request.add_item = _item(words, number, "--add-item")
    elif (number := _integer(words, "--update-item")) is not None:
        request.add_item = _item(words, number, "--update-item")
        request.update_item = True
    elif words.flag("--add-bucket"):
        request.add_bucket = _more(words, "--add-bucket"), _more(words, "--add-bucket")
    elif words.flag("--move"):
        request.move = _more(words, "--move")
    elif (text := words.value("--loc")) is not None:
        request.location[text] = _more(words, "--loc")
    elif (text := words.value("--create-simple-rule")) is not None:
        root, type, mode = (_more(words, "--create-simple-rule") for _ in range(3))
        announce.append(f"--create-simple-rule: name={text} root={root} type={type} mode={mode}")
        request.add_rule = text, root, type, mode
    elif (text := words.value("--create-replicated-rule")) is not None:
        root, type = (_more(words, "--create-replicated-rule") for _ in range(2))
        announce.append(f"--create-replicated-rule: name={text} root={root} type={type}")
        request.add_rule = text, root, type, "firstn"
    else:
        return False
    return True


def _item(words: Words, id: int, option: str) -> tuple[int, float, str]:
    return id, _weight(_more(words, option)), _more(words, option)


def _test(request: Request, words: Words) -> bool:
    run = request.run
    for show in _SHOWS:
        if words.flag(f"--show-{show}"):
            setattr(run.shows, show, True)
            return True
    for name, flags in _RUN_INTEGERS.items():
        if (number := _integer(words, *flags, long=name == "pool")) is not None:
            setattr(run, name, number)
            return True
    if words.flag("-s", "--simulate"):
        run.simulate = True
    elif words.flag("--output-csv"):
        run.csv = True
    elif (text := words.value("--output-name")) is not None:
        run.csv_prefix = f"{text}-"
    elif (number := _integer(words, "--x")) is not None:
        run.min_x = run.max_x = number
    elif (number := _integer(words, "--rule")) is not None:
        run.min_rule = run.max_rule = number
    elif (number := _integer(words, "--weight", "-w")) is not None:
        run.device_weights[number] = device_weight(_weight(_more(words, "--weight")))
    elif (number := _integer(words, "--show-location")) is not None:
        request.show_location = number
    elif (ratio := words.value("--mark-down-ratio")) is not None:
        run.down_devices = _weight(ratio)
    elif (ratio := words.value("--mark-down-bucket-ratio")) is not None:
        run.down_buckets = _weight(ratio)
    elif words.peek() == "--check":
        words.flag("--check")
        request.check = True
        if words and _NUMBER.fullmatch(words.peek()):
            request.max_id = _to_integer(_more(words, "--check"))
    elif (number := _integer(words, "--check")) is not None:
        request.check, request.max_id = True, number
    else:
        return False
    return True


def _class_edit(request: Request, words: Words) -> bool:
    if (text := words.value("--reclassify-bucket")) is not None:
        request.reclassify_bucket[text] = _more(words), _more(words)
    elif (text := words.value("--reclassify-root")) is not None:
        request.reclassify_root[text] = _more(words)
    elif (text := words.value("--set-subtree-class")) is not None:
        request.set_subtree_class[text] = _more(words)
    else:
        return False
    return True


def _more(words: Words, option: str = "") -> str:
    """The next word, as one more value of an option."""
    if not words:
        raise UsageError("expecting additional argument" + (f" to {option}" if option else ""))
    return words.words.pop(0)


def _integer(words: Words, *names: str, long: bool = False) -> int | None:
    text = words.value(*names)
    return None if text is None else _to_integer(text, long=long)


def _to_integer(text: str, *, long: bool = False) -> int:
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        if text.startswith("-"):
            raise UsageError("Missing option value")
        if _NUMBER.fullmatch(text):
            raise UsageError(f"Expected option value to be integer, got '{text}'")
        raise UsageError(f"The option value '{text}' is invalid")
    number, bound = int(text), (1 << 63) - 1 if long else _INT_MAX
    if not -bound - 1 <= number <= bound:
        raise UsageError(f"The option value '{text}' seems to be invalid")
    return number


def leading_float(text: str) -> float:
    """The number that a text begins with, or 0, as the C library's `atof` reads it."""
    found = _LEADING_FLOAT.match(text)
    return float(found[0]) if found else 0.0


def _weight(text: str) -> float:
    number = leading_float(text)
    return as_f32(number) if abs(number) < 1e38 else number
