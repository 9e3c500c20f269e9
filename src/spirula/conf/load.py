"""Where the configuration meets the machine: finds and reads files, environment and host name.

The edge of `spirula.conf`: everything that `Config` must not look up by itself. Every daemon and
command calls `load` first. Search order and failures are upstream's (src/common/config.cc,
src/global/global_init.cc).
"""

from __future__ import annotations

import os
import re
import socket
import stat
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import BinaryIO

from spirula.conf.args import (
    EarlyArgs,
    ParsedArgs,
    parse_argv,
    parse_early,
    split_words,
    with_environment,
)
from spirula.conf.config import Config, Source
from spirula.conf.expand import Identity
from spirula.conf.file import MAX_CONF_BYTES, ConfFile, ConfSyntaxError, parse_conf
from spirula.errors import CephError, InvalidArgument, NotFound
from spirula.records import dataclass

DEFAULT_SEARCH = "$data_dir/config,/etc/ceph/$cluster.conf,$home/.ceph/$cluster.conf,$cluster.conf"
"""Where a configuration file is looked for when nobody names one."""
MAX_KEY_FILE_BYTES = 1024


@dataclass(slots=True)
class Loaded:
    """A configuration that is ready to use.

    `args.rest` are the arguments nobody understood; `path` is the file that was read, None when
    none was found; `warnings` are texts for the error output.
    """

    config: Config
    early: EarlyArgs
    args: ParsedArgs
    path: str | None = None
    warnings: list[str] = field(default_factory=list)


def open_file(path: str) -> BinaryIO:
    """For reading. OSError."""
    return open(path, "rb")  # noqa: PTH123 - pathlib is large; callers close it


def read_conf(path: str | os.PathLike[str]) -> ConfFile:
    """The parsed file at `path`; a device such as /dev/null counts as empty.

    Raises ConfSyntaxError, or the CephError of the errno when it cannot be read.
    """
    name = os.fspath(path)
    try:
        with open_file(name) as stream:
            info = os.fstat(stream.fileno())
            if stat.S_ISCHR(info.st_mode):
                return ConfFile()
            data = stream.read(MAX_CONF_BYTES + 1)
    except OSError as error:
        raise CephError.from_errno(error.errno or 5, f"can't open {name}") from error
    return parse_conf(data, name)


def search_paths(config: Config, conf_files: str | None, environ: Mapping[str, str]) -> list[str]:
    """The files to try, in order: those of `-c`, else of $CEPH_CONF, else the usual places.

    Metavariables are expanded; entries with `$data_dir` are dropped where there is none.
    """
    text = conf_files if conf_files is not None else environ.get("CEPH_CONF", DEFAULT_SEARCH)
    has_data_dir = bool(config.identity.data_dir_option)
    return [
        config.expand(entry)
        for entry in re.split("[;,]", text)
        if entry and ("$data_dir" not in entry or has_data_dir)
    ]


def find_first(paths: str) -> str:
    """The first entry of a list parted by `,` or `;` that can be opened.

    Raises the CephError of the last failure (NotFound for an empty list).
    """
    failure: CephError = NotFound(paths)
    for path in re.split("[;,]", paths):
        if not path:
            continue
        try:
            # Opening says more than asking for permission would; directories open as well.
            os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            failure = CephError.from_errno(error.errno or 5, path)
        else:
            return path
    raise failure


def cluster_of(path: str) -> str:
    """The cluster name that a configuration file's name implies: `x.conf` means `x`."""
    stem = path.rpartition("/")[2].removesuffix(".conf")
    return stem if stem and path.endswith(".conf") else "ceph"


def load(
    argv: Sequence[str],
    *,
    entity_type: str = "client",
    daemon: bool = False,
    data_dir_option: str = "",
    defaults: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    context_id: int = 0,
) -> Loaded:
    """Reads everything that decides a process's configuration, weakest source first.

    `argv` is without the program's name. `defaults` replace compiled-in ones. Raises UsageError
    for a bad command line, ConfSyntaxError for a bad file, NotFound where the files named by `-c`
    do not exist.
    """
    env = os.environ if environ is None else environ
    early = parse_early(with_environment(argv, env.get("CEPH_ARGS", "")), entity_type)
    identity = Identity(
        entity_type=early.entity_type,
        entity_id=early.entity_id,
        cluster=early.cluster or "ceph",
        host=socket.gethostname().partition(".")[0],
        home=env.get("HOME", ""),
        pid=env.get("PID", os.getpid()),
        context_id=context_id,
        data_dir_option=data_dir_option,
    )
    config = Config(identity, daemon=daemon)
    config.set("no_config_file", "true" if early.no_config_file else "false")
    if early.entity_type in ("mds", "osd"):
        config.set_default("keyring", f"${early.entity_type}_data/keyring")
    for name, text in (defaults or {}).items():
        config.set_default(name, text)
    loaded = Loaded(config, early, ParsedArgs())
    if not early.no_config_file or early.conf_files is not None:
        _load_file(loaded, env)
    _apply_environment(config, early.entity_type, env)
    loaded.args = parse_argv(config, early.rest)
    loaded.warnings += loaded.args.complaints
    if loaded.args.key_file is not None:
        config.set("key", read_key_file(loaded.args.key_file))
    config.apply_changes()
    return loaded


def _load_file(loaded: Loaded, env: Mapping[str, str]) -> None:
    config, early = loaded.config, loaded.early
    unreadable: list[str] = []
    for path in search_paths(config, early.conf_files, env):
        try:
            conf = read_conf(path)
        except ConfSyntaxError:
            raise
        except CephError as error:
            unreadable.append(str(error))
            continue
        loaded.path = path
        if early.conf_files is not None and not early.cluster:
            identity = config.identity
            config.identity = Identity(
                entity_type=identity.entity_type,
                entity_id=identity.entity_id,
                cluster=cluster_of(path),
                host=identity.host,
                home=identity.home,
                pid=identity.pid,
                context_id=identity.context_id,
                data_dir_option=identity.data_dir_option,
            )
        loaded.warnings += config.set_file(conf)
        old_style = conf.old_style_sections()
        if old_style:
            loaded.warnings.append(
                f"sections without a period are not read as daemons': {', '.join(old_style)}"
            )
        return
    if early.conf_files is not None:
        raise NotFound(
            f"unable to open config file from search list {early.conf_files}"
            f" ({'; '.join(unreadable)})"
        )
    if not early.no_config_file:
        loaded.warnings.append("did not load config file, using default settings.")


def _apply_environment(config: Config, entity_type: str, env: Mapping[str, str]) -> None:
    if "CEPH_KEYRING" in env:
        config.set("keyring", env["CEPH_KEYRING"], Source.ENV)
    if "CEPH_LIB" in env:
        for name in ("erasure_code_dir", "plugin_dir", "osd_class_dir"):
            config.set(name, env["CEPH_LIB"], Source.ENV)
    if entity_type == "osd":
        _apply_pod_memory(config, env)
    # The words of $CEPH_ARGS count twice: here, and in front of the command line.
    parse_argv(config, split_words(env.get("CEPH_ARGS", "")), Source.ENV)


def _apply_pod_memory(config: Config, env: Mapping[str, str]) -> None:
    """Container limits: the limit gives the default of the memory target, the request sets it."""
    limit = int(_leading_number(env.get("POD_MEMORY_LIMIT", "")))
    request = int(_leading_number(env.get("POD_MEMORY_REQUEST", "")))
    if limit:
        limit = int(limit * config.get_float("osd_memory_target_cgroup_limit_ratio"))
        if limit:
            config.set_default("osd_memory_target", str(limit))
    if request and limit:
        request = min(request, limit)
    if request:
        config.set("osd_memory_target", str(request), Source.ENV)


def _leading_number(text: str) -> str:
    found = re.match(r"[0-9]{1,18}", text)
    return found[0] if found else "0"


def read_key_file(path: str) -> str:
    """The key in a file of `--keyfile`, or on standard input for `-`. Raises a CephError."""
    try:
        if path == "-":
            data = os.read(0, MAX_KEY_FILE_BYTES)
        else:
            with open_file(path) as stream:
                data = stream.read(MAX_KEY_FILE_BYTES)
    except OSError as error:
        raise CephError.from_errno(error.errno or 5, f"cannot read key from {path}") from error
    try:
        return data.decode("ascii").strip()
    except UnicodeDecodeError:
        raise InvalidArgument(f"{path} does not hold a key") from None
