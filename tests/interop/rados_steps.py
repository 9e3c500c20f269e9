"""What Debian's `rados` is told to do, on a real cluster and on ours; the answers are compared.

A step is a line of words for `rados -p POOL`. Words in braces are files in the test's folder.
What differs between any two clusters (addresses, times, numbers of clients) is blotted out.
"""

from __future__ import annotations

import re
import subprocess
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.interop.realcluster import ENVIRONMENT

POOL, OTHER = "first", "second"
FILES = {
    "empty": b"",
    "small": b"a few bytes\n",
    "twelve": b"TWELVE BYTES",
    "large": bytes(range(256)) * 40_000,
}
"""Contents of files; `large` is 10 MB, more than `rados` puts at once."""

OBJECTS = """
ls
put a {small}
put b {large}
put c {empty}
put d {small} --offset 5000
get a {out}
get b {out}
get c {out}
get d {out}
get nothing {out}
stat a
stat b
stat d
stat nothing
ls
append a {small}
get a -
truncate b 4097
stat b
get b {out}
truncate b 9000
get b {out}
truncate nothing 5
stat nothing
create e
create e
stat e
touch a 1234567890
stat a
stat2 a
mapext d
cp a f
get f -
cp a
cp nothing g
rm e
rm e
rm f d
ls
-N space put a {large}
-N space ls
ls --all
ls
-N space get a {out}
--object-locator key put located {small}
--object-locator key get located -
get located -
ls
--object-locator key rm located
-N space rm a
set-alloc-hint a 4194304 65536
--striper put striped {large}
--striper stat striped
--striper ls
ls
--striper truncate striped 5000
--striper get striped {out}
--striper setxattr striped color blue
--striper getxattr striped color
--striper listxattr striped
--striper rm striped
--striper rm striped
ls
"""

ATTRIBUTES = """
put a {small}
listxattr a
setxattr a color blue
setxattr a shape round
getxattr a color
getxattr a none
listxattr a
rmxattr a color
rmxattr a color
listxattr a
getxattr nothing color
setxattr fresh color red
ls
listomapkeys a
setomapval a key1 value1
setomapval a key2 --input-file {small}
setomapval a key0 other
listomapkeys a
listomapvals a
getomapval a key1
getomapval a key1 {out}
getomapval a none
getomapheader a
setomapheader a heading
getomapheader a
rmomapkey a key1
rmomapkey a key1
listomapvals a
clearomap a
listomapvals a
listomapkeys nothing
clearomap nothing
clearomap a fresh
setomapval made key value
listomapvals made
stat nothing
"""

SNAPSHOTS = """
put a {small}
lssnap
mksnap one
mksnap one
put a {large}
put b {small}
mksnap two
rm a
lssnap
ls
-s one ls
-s one get a {out}
-s two get a {out}
-s one get b {out}
-s none get a {out}
listsnaps a
listsnaps b
listsnaps nothing
-s one stat a
rollback a one
get a -
rollback b one
stat b
rollback nothing one
rollback a none
append a {small}
mksnap three
put a {empty}
listsnaps a
rmsnap two
rmsnap two
lssnap
-s three get a -
rmsnap one
rmsnap three
lssnap
ls
"""

LOCKS = """
put a {small}
lock list a
lock get a mine --lock-cookie c1 --lock-description "of mine" --lock-duration 1000
lock get a mine --lock-cookie c1
lock get a mine --lock-cookie c2
lock get a shared --lock-cookie c1 --lock-type shared --lock-tag t
lock get a shared --lock-cookie c2 --lock-type shared --lock-tag t
lock get a shared --lock-cookie c3 --lock-type shared --lock-tag other
lock get a wrong --lock-type what
lock list a
lock info a mine
lock info a shared
lock info a none
lock break a none client.1
lock break a mine client.1 --lock-cookie c1
lock list nothing
lock get fresh new
stat a
listwatchers a
listwatchers nothing
notify a hello
"""

POOLS = """
lspools
put a {small}
put b {large}
-N space put c {small}
setxattr a color blue
setomapval b key value
cppool first second
-p second ls --all
-p second get b {out}
-p second getxattr a color
-p second listomapvals b
export {exported}
-p second purge second --yes-i-really-really-mean-it
-p second ls --all
-p second import {exported}
-p second ls --all
-p second get b {out}
-p second import --no-overwrite {exported}
-p second import --dry-run {exported}
purge first
-p none ls
cp a b --target-pool second
-p second get b -
cleanup --prefix benchmark
tier-promote a
cache-flush a
cache-evict a
cache-try-flush a
cache-flush-evict-all
bench 60 write -b 4096 -t 4 --no-cleanup --max-objects 20
cleanup
ls
"""

REST = """
put a {small}
ls -f json
ls -f json-pretty
ls -f xml
ls --format nonsense
ls {out}
ls -o {out}
-N space put b {small}
--object-locator key put c {small}
ls --all -f json
ls --all --pretty-format -f json
ls --all --default
--all -N space ls
--pgid 1.0 ls
--pgid nonsense ls
put empty {empty} --offset 100
stat empty
append made {empty}
stat made
truncate a 5k
truncate a 3
rm --force-full a
rm a --force-full
-N space rm none
-b abc put a {small}
-b 2 put a {small}
-b 2K get a {out}
-t x ls
-S 99 ls
-S abc ls
-s none ls
mksnap one
-s one ls
-N space cp b
-N space cp b bb
-N space cp b bb --target-nspace other
-N other ls
cp c d --target-locator there
--obj-name-file {small} put {small}
--obj-name-file {small} stat
--obj-name-file {small} rm
setomapval a --omap-key-file {small} value
listomapkeys a
getomapval a --omap-key-file {small}
rmomapkey a --omap-key-file {small}
listomapkeys a
notify a message
list-inconsistent-pg first
list-inconsistent-pg none
list-inconsistent-obj 1.0
list-inconsistent-obj 1.77
list-inconsistent-obj nonsense
list-inconsistent-snapset 1.0
list-inconsistent-pg first --pretty-format
list-inconsistent-pg first -f xml
cache-flush a --with-clones
cache-evict none
cache-try-flush-evict-all
set-redirect a
tier-flush a
cppool first first
cppool first none
cppool none first
purge none --yes-i-really-really-mean-it
bench x write
bench 1 dance
bench 1 seq
bench 1 seq -b 4096
bench 1 rand --write-omap
bench 1 write -o {out}
bench 1 write -t 0
cleanup --prefix x
cleanup --run-name none
cleanup --prefix benchmark_data_none
import --nonsense {small}
--create ls
"""

MANIFESTS = """
put a {small}
setxattr a color red
setomapval a key value
-p second put target {large}
-p second setxattr target shape round
-p second setomapval target key2 value2
set-redirect a --target-pool second none --with-reference
set-redirect a --target-pool first a
set-redirect none --target-pool second target
set-redirect a --target-pool second target
get a {out}
listxattr a
listomapvals a
append a {small}
setxattr a more 1
-p second stat target
-p second get target {out}
-p second listxattr target
tier-flush a
unset-manifest a
unset-manifest a
get a {out}
listxattr a
listomapkeys a
set-redirect a --target-pool second target
tier-promote a
get a {out}
listxattr a
listomapvals a
rm a
-p second ls
put b {small}
set-redirect b --target-pool second target --with-reference
set-redirect b --target-pool second target --with-reference
rm b
-p second ls
get b -
ls
put c {twelve}
-p second put one {small}
-p second put two {twelve}
set-chunk c 0 6 --target-pool second one 0 --with-reference
set-chunk c 3 6 --target-pool second two 0 --with-reference
set-chunk c 6 60 --target-pool second two 0 --with-reference
set-chunk c 6 6 --target-pool second none 0 --with-reference
tier-evict a
tier-flush c
tier-evict c
get c -
set-chunk c 6 6 --target-pool second two 6 --with-reference
-p second listxattr two
get c -
tier-evict c
get c -
tier-evict c
tier-promote c
tier-evict c
truncate c 8
get c -
-p second ls
unset-manifest c
get c -
-p second ls
put d {twelve}
-p second put one {small}
set-chunk d 0 6 --target-pool second one 6 --with-reference
rm d
get d -
-p second ls
"""

FAMILIES = {
    "objects": OBJECTS,
    "attributes": ATTRIBUTES,
    "snapshots": SNAPSHOTS,
    "locks": LOCKS,
    "manifests": MANIFESTS,
    "pools": POOLS,
}

OF_COMMANDS = {**FAMILIES, "rest": REST}
"""With those that need a manager, and tell programs rather than clusters apart."""

_BLOTTED = [
    (re.compile(r"\[?v[12]:[0-9.:/,v\[\]]+|\d+\.\d+\.\d+\.\d+:\d+/\d+"), "ADDR"),
    (re.compile(r"client\.\d{3,}"), "client.N"),
    (re.compile(r"20\d\d\.\d\d\.\d\d \d\d:\d\d:\d\d"), "TIME"),
    (re.compile(r"20\d{2}-\d\d-\d\dT[0-9:.]+[+-]\d{4}"), "TIME"),
    (re.compile(r"(?m)^.*cookie \d+.*$"), "COOKIE"),
    (re.compile(r"\b[0-9a-f]{12} "), "THREAD "),
    (re.compile(r"benchmark_data_\S+"), "BENCH"),
]
_LOGGED_BY_MONCLIENT = re.compile(rb"(?m)^\S+ [0-9a-f]{8,} -1 monclient[^:]*: .*\n")
"""Of two monitors that librados asks at once, the slower one's answer surprises it now and then."""
_UNORDERED = (
    "ls",
    "lspools",
    "listwatchers",
    "purge",
    "cppool",
    "export",
    "import",
    "cache-flush-evict-all",
)


Run = Callable[[list[str]], tuple[int, bytes, bytes]]
"""Runs `rados` with these words; gives its exit code, output and complaints."""


def run_debians(words: list[str]) -> tuple[int, bytes, bytes]:
    for _ in range(5):
        ended = subprocess.run(
            ["rados", *words], capture_output=True, timeout=120, check=False, env=ENVIRONMENT
        )
        if b"Caught signal" not in ended.stderr:
            break  # with --striper 16.2's crashes now and then, whatever it talks to
    return ended.returncode, ended.stdout, _LOGGED_BY_MONCLIENT.sub(b"", ended.stderr)


def run_family(conf: Path, folder: Path, lines: str, run: Run = run_debians) -> list[list[object]]:
    """Every step with its exit code, its output and its complaint, and the file it wrote."""
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    answers: list[list[object]] = []
    for line in lines.strip().splitlines():
        out = folder / "out"
        out.unlink(missing_ok=True)
        words = [_filled(word, folder) for word in _split(line)]
        code, output, complaint = run(["-c", str(conf), "-p", POOL, *words])
        told = _told(line, output, folder), _told(line, complaint, folder)
        written = out.read_bytes() if out.exists() else b""
        answers.append([line, code, *told, f"{len(written)} {zlib.crc32(written):08x}"])
    return answers


def differences(run_both: Callable[[], Sequence[list[list[object]]]], names: str) -> list[str]:
    """The steps whose answers differ, each time that both run the family: at most three times.

    Some of what a step starts goes on when it was answered, as references are given back; what the
    next one sees of that differs from time to time, whoever serves it.
    """
    different: dict[int, str] | None = None
    for _ in range(3):
        answers = run_both()
        found = {
            number: f"{theirs[0]}\n  {names}: {theirs[1:]}\n  ours: {ours[1:]}"
            for number, (theirs, ours) in enumerate(zip(*answers, strict=True))
            if theirs != ours
        }
        before = found if different is None else different
        different = {number: told for number, told in found.items() if number in before}
        if not different:
            break
    return list((different or {}).values())


def _split(line: str) -> Sequence[str]:
    parts = re.findall(r'"[^"]*"|\S+', line)
    return [part.strip('"') for part in parts]


def _filled(word: str, folder: Path) -> str:
    return str(folder / word[1:-1]) if word.startswith("{") else word


def _told(line: str, output: bytes, folder: Path) -> str:
    text = output.decode("utf-8", "backslashreplace").replace(str(folder), "FOLDER")
    for pattern, blot in _BLOTTED:
        text = pattern.sub(blot, text)
    words = line.split()
    if "bench" in words:
        return ""  # rates and times
    if "mapext" in words:
        return ""  # where BlueStore knows holes to the byte, our store knows blocks
    if any(word in _UNORDERED for word in words):
        text = "\n".join(sorted(text.splitlines()))
    return text
