"""What the arguments of `spirula osdmaptool` ask for.

Called by the command itself. Options and refusals: upstream `src/tools/osdmaptool.cc` of 16.2.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from spirula.conf.args import UsageError, Words

PROGRAM = "osdmaptool"
USAGE = """\
 usage: [--print] <mapfilename>
   --create-from-conf      creates an osd map with default configurations
   --createsimple <numosd> [--clobber] [--pg-bits <bitsperosd>] [--pgp-bits <bits>] \
creates a relatively generic OSD map with <numosd> devices
   --pgp-bits <bits>       pgp_num map attribute will be shifted by <bits>
   --pg-bits <bits>        pg_num map attribute will be shifted by <bits>
   --clobber               allows osdmaptool to overwrite <mapfilename> if it already exists
   --export-crush <file>   write osdmap's crush map to <file>
   --import-crush <file>   replace osdmap's crush map with <file>
   --health                dump health checks
   --test-map-pgs [--pool <poolid>] [--pg_num <pg_num>] \
[--range-first <first> --range-last <last>] map all pgs
   --test-map-pgs-dump [--pool <poolid>] [--range-first <first> --range-last <last>] map all pgs
   --test-map-pgs-dump-all [--pool <poolid>] \
[--range-first <first> --range-last <last>] map all pgs to osds
   --mark-up-in            mark osds up and in (but do not persist)
   --mark-out <osdid>      mark an osd as out (but do not persist)
   --mark-up <osdid>       mark an osd as up (but do not persist)
   --mark-in <osdid>       mark an osd as in (but do not persist)
   --with-default-pool     include default pool when creating map
   --clear-temp            clear pg_temp and primary_temp
   --clean-temps           clean pg_temps
   --test-random           do random placements
   --test-map-pg <pgid>    map a pgid to osds
   --test-map-object <objectname> [--pool <poolid>] map an object to osds
   --upmap-cleanup <file>  clean up pg_upmap[_items] entries, writing
                           commands to <file> [default: - for stdout]
   --upmap <file>          calculate pg upmap entries to balance pg layout
                           writing commands to <file> [default: - for stdout]
   --upmap-max <max-count> set max upmap entries to calculate [default: 10]
   --upmap-deviation <max-deviation>
                           max deviation from target [default: 5]
   --upmap-pool <poolname> restrict upmap balancing to 1 or more pools
   --upmap-active          Act like an active balancer, keep applying changes until balanced
   --dump <format>         displays the map in plain text when <format> is 'plain', \
'json' if specified format is not supported
   --tree                  displays a tree of the map
   --test-crush [--range-first <first> --range-last <last>] map pgs to acting osds
   --adjust-crush-weight <osdid:weight>[,<osdid:weight>,<...>] \
change <osdid> CRUSH <weight> (but do not persist)
   --save                  write modified osdmap with upmap or crush-adjust changes
"""
# What 16.2 does not have.
MORE_USAGE = """\
   --read <file>           calculate primaries that even out reads (as 19.2 does),
                           writing commands to <file> [default: - for stdout]
   --read-pool <poolname>  the pool to even out; needed for --read
"""


class Failure(Exception):
    """Ends the command with a line on stderr, and perhaps the usage on stdout."""

    def __init__(self, line: str, status: int = 1, *, usage: bool = False) -> None:
        super().__init__(line)
        self.line, self.status, self.usage = line, status, usage


@dataclass(slots=True)
class Request:
    """The arguments. Formats are None where nothing is shown, numbers -1 where none was given."""

    path: str = ""
    dump: str | None = None
    tree: str | None = None
    health: bool = False
    create_simple: int | None = None
    create_from_conf: bool = False
    with_pool: bool = False
    pg_bits: int = 6
    pgp_bits: int = 6
    clobber: bool = False
    export_crush: str = ""
    import_crush: str = ""
    adjust_crush_weight: str = ""
    save: bool = False
    mark_up_in: bool = False
    mark_out: int = -1
    mark_up: int = -1
    mark_in: int = -1
    clear_temp: bool = False
    clean_temps: bool = False
    test_pg: str = ""
    test_object: str = ""
    test_crush: bool = False
    test_pgs: bool = False
    test_pgs_dump: bool = False
    test_pgs_dump_all: bool = False
    test_random: bool = False
    pool: int = -1
    pg_num: int = -1
    range_first: int = -1
    range_last: int = -1
    upmap: bool = False
    upmap_cleanup: bool = False
    upmap_file: str = "-"
    upmap_max: int = 10
    upmap_deviation: int = 5
    upmap_active: bool = False
    upmap_pools: set[str] = field(default_factory=set)
    read: bool = False
    read_file: str = "-"
    read_pool: str = ""

    @property
    def maps_pgs(self) -> bool:
        """One of the three tests of all PGs."""
        return self.test_pgs or self.test_pgs_dump or self.test_pgs_dump_all

    @property
    def acts(self) -> bool:
        """Something is asked for that shows or writes something."""
        return bool(
            self.dump is not None
            or self.tree is not None
            or self.health
            or self.export_crush
            or self.import_crush
            or self.test_pg
            or self.test_object
            or self.maps_pgs
            or self.adjust_crush_weight
            or self.upmap
            or self.upmap_cleanup
            or self.read
        )


def usage() -> str:
    """The text of `--help`."""
    return USAGE + MORE_USAGE


_FLAGS = {
    "--upmap-active": "upmap_active",
    "--health": "health",
    "--with-default-pool": "with_pool",
    "--create-from-conf": "create_from_conf",
    "--mark-up-in": "mark_up_in",
    "--clear-temp": "clear_temp",
    "--clean-temps": "clean_temps",
    "--test-map-pgs": "test_pgs",
    "--test-map-pgs-dump": "test_pgs_dump",
    "--test-map-pgs-dump-all": "test_pgs_dump_all",
    "--test-random": "test_random",
    "--clobber": "clobber",
    "--test-crush": "test_crush",
    "--save": "save",
}
_TEXTS = {
    "--export-crush": "export_crush",
    "--import-crush": "import_crush",
    "--test-map-pg": "test_pg",
    "--test-map-object": "test_object",
    "--adjust-crush-weight": "adjust_crush_weight",
    "--read-pool": "read_pool",
}
_NUMBERS = {
    "--osd-pg-bits": "pg_bits",
    "--pg-bits": "pg_bits",
    "--osd-pgp-bits": "pgp_bits",
    "--pgp-bits": "pgp_bits",
    "--upmap-max": "upmap_max",
    "--upmap-deviation": "upmap_deviation",
    "--createsimple": "create_simple",
    "--pg-num": "pg_num",
    "--range-first": "range_first",
    "--range-last": "range_last",
    "--pool": "pool",
    "--mark-out": "mark_out",
    "--mark-up": "mark_up",
    "--mark-in": "mark_in",
}


def parse(argv: Sequence[str]) -> Request:
    """The request in `argv`, from which general options were taken. Raises Failure."""
    request, words = Request(), Words(argv)
    while words:
        if words.peek() == "--":
            words.words.pop(0)
            words.keep_all()
        elif not _take(words, request):
            words.keep()
    if not words.left:
        raise Failure(f"{PROGRAM}: must specify osdmap filename", usage=True)
    if len(words.left) > 1:
        raise Failure(f"{PROGRAM}: too many arguments", usage=True)
    if request.upmap_deviation < 1:
        raise Failure(f"{PROGRAM}: upmap-deviation must be >= 1", usage=True)
    request.path = words.left[0]
    return request


def _take(words: Words, request: Request) -> bool:
    """Takes one option; False when the word is none."""
    for names, slot in ((("--dump",), "dump"), (("--tree",), "tree")):
        if len(words.words) == 1 and words.flag(*names):
            setattr(request, slot, "plain")  # the value may be left out at the end
            return True
        if (text := _text(words, *names)) is not None:
            setattr(request, slot, text or "plain")
            return True
    if words.flag("-p", "--print"):
        request.dump = request.dump or "plain"
        return True
    for name, slot in _FLAGS.items():
        if words.flag(name):
            setattr(request, slot, True)
            return True
    for name, slot in _TEXTS.items():
        if (text := _text(words, name)) is not None:
            setattr(request, slot, text)
            return True
    for name, slot in _NUMBERS.items():
        if (text := _text(words, name)) is not None:
            setattr(request, slot, number(text))
            return True
    return _take_balancing(words, request)


def _take_balancing(words: Words, request: Request) -> bool:
    if (text := _text(words, "--upmap-cleanup")) is not None:
        request.upmap_cleanup, request.upmap_file = True, text
    elif (text := _text(words, "--upmap")) is not None:
        request.upmap = request.upmap_cleanup = True
        request.upmap_file = text
    elif (text := _text(words, "--upmap-pool")) is not None:
        request.upmap_pools.add(text)
    elif (text := _text(words, "--read")) is not None:
        request.read, request.read_file = True, text
    else:
        return False
    return True


def _text(words: Words, *names: str) -> str | None:
    try:
        return words.value(*names)
    except UsageError as error:
        raise Failure(f"{error.message}\n") from error


def number(text: str) -> int:
    """A decimal number. Raises Failure."""
    if not re.fullmatch(r"\s*[+-]?\d{1,18}", text):
        raise Failure(f"The option value '{text}' is invalid")
    return int(text)
