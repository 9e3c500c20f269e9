"""A client's configuration: files, environment, arguments and single values, in the order given.

What `Rados.conf_*` and `connect` work on. Nothing is read that was not asked for, as in librados:
a handle knows no file before `read_file`. Rules: upstream `src/librados/librados_c.cc`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from errno import EINVAL, ENOENT, ENOSYS
from itertools import count
from typing import Self

from spirula.conf.args import ENTITY_TYPES, parse_argv, split_words
from spirula.conf.config import Config, Source
from spirula.conf.expand import Identity
from spirula.conf.load import read_conf, read_key_file, search_paths
from spirula.conf.values import BadValue, to_text
from spirula.errors import CephError, NotFound
from spirula.rados.errors import Error, make_error

_contexts = count(1)


class Settings:
    """The configuration of one cluster handle; `config` has the values.

    Raises Error for a name that is none (`client.admin` is one).
    """

    def __init__(self, name: str = "client.admin", cluster_name: str = "") -> None:
        kind, dot, entity_id = name.partition(".")
        if not dot or kind not in ENTITY_TYPES:
            raise Error(f"rados_initialize failed with error code: {-EINVAL}")
        identity = Identity(
            entity_type=kind,
            entity_id=entity_id,
            cluster=cluster_name or "ceph",
            host=socket.gethostname().partition(".")[0],
            home=os.environ.get("HOME", ""),
            pid=os.getpid(),
            context_id=next(_contexts),
        )
        self.config = Config(identity)
        self.started = False

    @classmethod
    def of(cls, config: Config) -> Self:
        """A configuration that was made elsewhere, as by `spirula.conf.load`."""
        made = cls(config.identity.name, config.identity.cluster)
        made.config = config
        return made

    def read_file(self, path: str | None = None) -> None:
        """Read a configuration file, or the first of the usual ones that can be read.

        Those are $CEPH_CONF, /etc/ceph, ~/.ceph and the working directory. Raises ObjectNotFound
        where none can be read, OSError (ENOSYS) once the session is open.
        """
        if self.started:
            raise make_error(ENOSYS, "error calling conf_read_file")
        for name in search_paths(self.config, path, os.environ):
            try:
                conf = read_conf(name)
            except NotFound:
                continue
            except CephError as error:
                raise make_error(error.errno, "error calling conf_read_file") from error
            self.config.set_file(conf)
            self.config.apply_changes()
            return
        raise make_error(ENOENT, "error calling conf_read_file")

    def parse_args(self, words: Sequence[str]) -> list[str]:
        """Take the options among `words`; what is left, in order."""
        try:
            parsed = parse_argv(self.config, words)
            if parsed.key_file is not None:
                self.config.set("key", read_key_file(parsed.key_file))
        except CephError as error:
            raise make_error(error.errno, "error calling conf_parse_argv_remainder") from error
        self.config.apply_changes()
        return parsed.rest

    def parse_env(self, variable: str = "CEPH_ARGS") -> None:
        """Take the options in an environment variable, and those in $CEPH_KEYRING."""
        if "CEPH_KEYRING" in os.environ:
            self.config.set("keyring", os.environ["CEPH_KEYRING"], Source.ENV)
        try:
            parse_argv(self.config, split_words(os.environ.get(variable, "")), Source.ENV)
        except CephError as error:
            raise make_error(error.errno, "error calling conf_parse_env") from error
        self.config.apply_changes()

    def set(self, option: str, value: str) -> None:
        """Give an option a value. Raises ObjectNotFound, InvalidArgumentError."""
        try:
            self.config.set(option, value)
        except (NotFound, BadValue) as error:
            raise make_error(error.errno, "error calling conf_set") from error
        self.config.apply_changes()

    def get(self, option: str) -> str | None:
        """An option's value as text; None where there is no such option."""
        try:
            return to_text(self.config.get(option))
        except NotFound:
            return None
