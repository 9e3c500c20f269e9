"""`spirula dencoder`: looks into encoded values, as upstream's ceph-dencoder does, and checks
folders of them.

The verbs are upstream's and are carried out from left to right on one value in hand. `check DIR` is
ours: it takes a folder laid out TYPE/HASH (the object corpus that upstream publishes) and tells how
many objects decode and how many come out again byte for byte.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spirula import __version__
from spirula.denc import REGISTRY, Struct
from spirula.denc.features import PACIFIC
from spirula.errors import InvalidArgument, NotFound, WireError
from spirula.types import load_all as load_types

_MODULES_OF_FURTHER_TYPES = ("spirula.crush.wire", "spirula.maps.osdmap")

USAGE = """usage: spirula dencoder VERB...
       spirula dencoder check DIR [--json] [--features N]

verbs, carried out from left to right on one value in hand:
  version             print the version of Spirula
  list_types          print the names of all declared types
  type NAME           select the type
  import FILE         read an encoded value from FILE (- for standard input)
  skip N              leave out the first N bytes that were read
  decode              decode what was read
  stray_okay          allow bytes after the value when decoding
  get_features        print the features for which is encoded
  set_features N      encode and decode for a peer with these features
  encode              encode the value in hand
  export FILE         write what was read or encoded to FILE (- for standard output)
  hexdump             print what was read or encoded
  dump_json           print the decoded value
  copy                put a copy in the place of the value in hand
  get_struct_v        print the version in the envelope of what was read
  get_struct_compat   print the oldest version of a reader that can decode it
  count_tests         print how many example values the type has
  select_test N       take the N-th example value in hand (from 1)
  is_deterministic    succeed: every type's encoding is a function of its value

check DIR             DIR holds TYPE/HASH; per type and in sum: objects, decoded, same bytes again
"""


@dataclass(slots=True)
class _Bench:
    """What the verbs work on."""

    args: Iterator[str]
    kind: type[Struct] | None = None
    data: bytes = b""
    value: Struct | None = None
    features: int = PACIFIC
    stray_okay: bool = False

    def word(self, what: str) -> str:
        """The next argument, which must be there."""
        try:
            return next(self.args)
        except StopIteration:
            raise InvalidArgument(f"expected {what}; see 'spirula dencoder --help'") from None

    def number(self, what: str) -> int:
        """The next argument as a number (0x for hexadecimal)."""
        text = self.word(what)
        try:
            return int(text, 0)
        except ValueError:
            raise InvalidArgument(f"expected {what}, not {text!r}") from None

    def selected(self) -> type[Struct]:
        """The type that was selected, which must have happened."""
        if self.kind is None:
            raise InvalidArgument("must first select a type with 'type NAME'")
        return self.kind

    def held(self) -> Struct:
        """The value in hand; a zero value until one was decoded."""
        if self.value is None:
            self.value = self.selected()()
        return self.value


def examples(kind: type[Struct]) -> list[Struct]:
    """Example values of a declared type: its zero value, and one with every plain field set."""
    full = kind()
    for number, f in enumerate(kind._denc_fields, start=1):
        held = getattr(full, f.name)
        if isinstance(held, bool):
            setattr(full, f.name, True)
        elif isinstance(held, (int, float)) and not f.when:
            setattr(full, f.name, type(held)(number % 100))
        elif isinstance(held, str):
            setattr(full, f.name, f.name)
    return [kind(), full] if kind._denc_fields else [kind()]


def _list_types(_: _Bench) -> None:
    print("\n".join(sorted(REGISTRY)))


def _type(bench: _Bench) -> None:
    name = bench.word("a type name")
    if name not in REGISTRY:
        raise NotFound(f"class '{name}' unknown; 'spirula dencoder list_types' names all")
    bench.kind, bench.value = REGISTRY[name], None


def _import(bench: _Bench) -> None:
    name = bench.word("a file name")
    bench.data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()


def _export(bench: _Bench) -> None:
    name = bench.word("a file name")
    if name == "-":
        sys.stdout.buffer.write(bench.data)
    else:
        Path(name).write_bytes(bench.data)


def _skip(bench: _Bench) -> None:
    bench.data = bench.data[bench.number("a count of bytes") :]


def _decode(bench: _Bench) -> None:
    exact = not bench.stray_okay
    bench.value = bench.selected().decode(bench.data, bench.features, exact=exact)


def _encode(bench: _Bench) -> None:
    bench.data = bench.held().encode(bench.features)


def _stray_okay(bench: _Bench) -> None:
    bench.stray_okay = True


def _set_features(bench: _Bench) -> None:
    bench.features = bench.number("feature bits")


def _get_features(bench: _Bench) -> None:
    print(bench.features)


def _dump_json(bench: _Bench) -> None:
    print(json.dumps(bench.held().plain(), indent=4))


def _hexdump(bench: _Bench) -> None:
    for at in range(0, len(bench.data), 16):
        row = bench.data[at : at + 16]
        text = "".join(chr(b) if 32 <= b < 127 else "." for b in row)
        print(f"{at:08x}  {row[:8].hex(' '):23}  {row[8:].hex(' '):23}  |{text}|")
    print(f"{len(bench.data):08x}")


def _copy(bench: _Bench) -> None:
    bench.value = bench.selected().decode(bench.held().encode(bench.features), bench.features)


def _get_struct_v(bench: _Bench) -> None:
    print(bench.data[0] if bench.data else 0)


def _get_struct_compat(bench: _Bench) -> None:
    print(bench.data[1] if len(bench.data) > 1 else 0)


def _count_tests(bench: _Bench) -> None:
    print(len(examples(bench.selected())))


def _select_test(bench: _Bench) -> None:
    wanted, found = bench.number("a test number"), examples(bench.selected())
    if not 1 <= wanted <= len(found):
        raise InvalidArgument(f"invalid id for generated object: {wanted}; there are {len(found)}")
    bench.value = found[wanted - 1]


def _is_deterministic(bench: _Bench) -> None:
    bench.selected()


def _version(_: _Bench) -> None:
    print(__version__)


VERBS: dict[str, Callable[[_Bench], None]] = {
    "version": _version,
    "list_types": _list_types,
    "type": _type,
    "import": _import,
    "skip": _skip,
    "decode": _decode,
    "stray_okay": _stray_okay,
    "get_features": _get_features,
    "set_features": _set_features,
    "encode": _encode,
    "export": _export,
    "hexdump": _hexdump,
    "dump_json": _dump_json,
    "copy": _copy,
    "copy_ctor": _copy,
    "get_struct_v": _get_struct_v,
    "get_struct_compat": _get_struct_compat,
    "count_tests": _count_tests,
    "select_test": _select_test,
    "is_deterministic": _is_deterministic,
}


@dataclass(slots=True)
class TypeReport:
    """What `check` found of one type. `problems` holds one line per object that failed."""

    name: str
    objects: int = 0
    declared: bool = False
    decoded: int = 0
    same: int = 0
    problems: list[str] = field(default_factory=list)


def check_type(folder: Path, features: int = PACIFIC) -> TypeReport:
    """Decodes and re-encodes every object in `folder`, which has the type's name."""
    report = TypeReport(folder.name)
    kind = REGISTRY.get(folder.name)
    report.declared = kind is not None
    for path in sorted(p for p in folder.iterdir() if p.is_file()):
        report.objects += 1
        if kind is None:
            continue
        data = path.read_bytes()
        try:
            value = kind.decode(data, features, exact=True)
            report.decoded += 1
            again = value.encode(features)
        except WireError as error:
            report.problems.append(f"{path.name}: {error}")
            continue
        if again == data:
            report.same += 1
        else:
            report.problems.append(f"{path.name}: {_first_difference(data, again)}")
    return report


def _first_difference(data: bytes, again: bytes) -> str:
    at = next((i for i, (a, b) in enumerate(zip(data, again, strict=False)) if a != b), -1)
    if at < 0:
        at = min(len(data), len(again))
    was, now = data[at : at + 8].hex(), again[at : at + 8].hex()
    return f"{len(data)} bytes became {len(again)}, first difference at byte {at}: {was} -> {now}"


def check(bench: _Bench) -> int:
    """The `check` verb: prints the table; 1 when an object of a declared type does not decode."""
    folder, as_json, verbose = "", False, False
    for arg in bench.args:
        if arg == "--json":
            as_json = True
        elif arg in ("-v", "--verbose"):
            verbose = True
        elif arg == "--features":
            bench.features = bench.number("feature bits")
        elif folder or arg.startswith("-"):
            raise InvalidArgument(
                f"check takes one folder, --json, --verbose, --features N, not {arg!r}"
            )
        else:
            folder = arg
    root = Path(folder or bench.word("a folder"))
    if not root.is_dir():
        raise NotFound(f"{root} is not a folder of TYPE/HASH")
    reports = [check_type(p, bench.features) for p in sorted(root.iterdir()) if p.is_dir()]
    if as_json:
        print(json.dumps(_summary(reports), indent=2))
    else:
        _print_table(reports, verbose=verbose)
    return int(any(r.decoded < r.objects for r in reports if r.declared))


def _summary(reports: list[TypeReport]) -> dict[str, Any]:
    declared = [r for r in reports if r.declared]
    return {
        "types": {
            r.name: {
                "objects": r.objects,
                "decoded": r.decoded,
                "same": r.same,
                "problems": r.problems,
            }
            for r in declared
        },
        "not_declared": [r.name for r in reports if not r.declared],
        "sum": {
            "types": len(reports),
            "declared": len(declared),
            "objects": sum(r.objects for r in declared),
            "decoded": sum(r.decoded for r in declared),
            "same": sum(r.same for r in declared),
        },
    }


def _print_table(reports: list[TypeReport], *, verbose: bool) -> None:
    summary = _summary(reports)
    print(f"{'type':44} {'objects':>8} {'decoded':>8} {'same':>8}")
    for r in reports:
        if r.declared:
            print(f"{r.name:44} {r.objects:8} {r.decoded:8} {r.same:8}")
            for problem in r.problems[: None if verbose else 3]:
                print(f"    {problem}")
    total = summary["sum"]
    label = f"sum: {total['declared']} of {total['types']} types declared"
    print(f"{label:44} {total['objects']:8} {total['decoded']:8} {total['same']:8}")
    if summary["not_declared"]:
        print("not declared: " + " ".join(summary["not_declared"]))


def main(argv: list[str]) -> int:
    """Runs the verbs in `argv`; 0, or 1 when `check` found objects that do not decode."""
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0 if argv else 22
    load_types()
    for name in _MODULES_OF_FURTHER_TYPES:
        importlib.import_module(name)
    bench = _Bench(iter(argv))
    for verb in bench.args:
        if verb == "check":
            return check(bench)
        if verb not in VERBS:
            raise InvalidArgument(f"unknown verb {verb!r}; see 'spirula dencoder --help'")
        VERBS[verb](bench)
    return 0
