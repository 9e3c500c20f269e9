"""The base class of our own modules.

A module lives in two threads: one runs `serve`, the other answers commands and is notified, one
after the other. What both use is guarded by `self.lock`. An exception out of `serve` is the
module's end (it is told of in `ceph health`); one out of a command is that command's answer.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from errno import EINVAL, ETIMEDOUT
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from spirula.commands.reply import Reply
from spirula.commands.table import Commands, CommandTable
from spirula.errors import CephError, InvalidArgument
from spirula.mgr.commands.dispatch import Request
from spirula.mgr_modules import logs
from spirula.mgr_modules.host import Host
from spirula.mgr_modules.options import Option

if TYPE_CHECKING:
    from spirula.rados import Rados


class Outcome(NamedTuple):
    """What came of a command: 0 or a negative errno, its output and its status line."""

    r: int
    out: str
    status: str

    def check(self) -> str:
        """The output. Raises the CephError that the command ended with."""
        if self.r < 0:
            raise CephError.from_errno(self.r, self.status)
        return self.out

    def document(self) -> Any:
        """The output as JSON. Raises what the command ended with."""
        return json.loads(self.check())


class _Answer:
    """Waits for the outcome of a command."""

    def __init__(self) -> None:
        self.outcome: Outcome | None = None
        self.event = threading.Event()

    def complete(self, r: int, out: str, status: str) -> None:
        """Called on the manager's loop."""
        self.outcome = Outcome(r, out, status)
        self.event.set()


class Module:
    """A module of the manager.

    `COMMANDS` are its commands, as everywhere in this project: each with its handler below it,
    which gets the module, the `Request` and the arguments, and gives a `Reply` or raises a
    CephError. `OPTIONS` are its options. `NOTIFY_TYPES` are the changes that it wants to hear of
    (`osd_map`, `pg_summary` ...). `STANDBY` is a class that serves in managers that stand by.

    `name` is the module's, `host` what it may ask of its manager, `log` an ordinary logger.
    """

    COMMANDS: ClassVar[Commands] = Commands("mgr")
    OPTIONS: ClassVar[tuple[Option, ...]] = ()
    NOTIFY_TYPES: ClassVar[frozenset[str]] = frozenset()
    STANDBY: ClassVar[type[Module] | None] = None

    def __init__(self, name: str, host: Host) -> None:
        self.name, self.host = name, host
        self.lock = threading.RLock()
        self.log = logs.make_logger(self)
        self._ending = False
        self._rados: Any = None
        self._woken = threading.Event()
        self._declared = {one.name: one for one in (*logs.LOG_OPTIONS, *self.OPTIONS)}
        self._table = CommandTable()
        self._table.register(self, [self.COMMANDS])
        logs.apply(self)

    @classmethod
    def can_run(cls) -> tuple[bool, str]:
        """Whether all is there that the module needs, and what is not."""
        return True, ""

    # ------------------------------------------------------------------------ for those to override

    def serve(self) -> None:
        """What the module does by itself; it returns when `wait` gives False."""

    def notify(self, kind: str, ident: str) -> None:
        """Something has changed that NOTIFY_TYPES names."""

    def config_notify(self) -> None:
        """Options were set: whatever `wait` was called for is to be looked at again."""
        logs.apply(self)
        self.wake()

    def shutdown(self) -> None:
        """The manager ends."""
        self._ending = True
        self.wake()
        if self._rados is not None:
            self._rados.shutdown()

    # --------------------------------------------------------------------------------- for modules

    def option(self, name: str) -> Any:
        """An option of the module, of the type of its default and within its limits."""
        option = self._declared[name]
        found = self.host.module_option(self.name, name)
        return option.default if found is None else option.accept(found)

    def set_option(self, name: str, value: str | float | bool | None) -> None:
        """Sets an option for good; None for its default. ValueError if the monitors refuse."""
        if isinstance(value, bool):
            value = "true" if value else "false"
        self.host.set_module_option(self.name, name, None if value is None else str(value))

    def wait(self, seconds: float) -> bool:
        """Waits that long, or until `wake`. False if the module is to end."""
        if not self._ending:
            self._woken.wait(seconds)
        self._woken.clear()
        return not self._ending

    def wake(self) -> None:
        """Ends a `wait` early."""
        self._woken.set()

    def ask(
        self, prefix: str, *, data: str = "", timeout_s: float | None = None, **arguments: Any
    ) -> Outcome:
        """Has the monitors carry out a command and waits for its outcome."""
        return self._send("mon", "", prefix, data, timeout_s, arguments)

    def tell(
        self,
        daemon: str,
        prefix: str,
        *,
        data: str = "",
        timeout_s: float | None = None,
        **arguments: Any,
    ) -> Outcome:
        """Has a daemon (`osd.3`) carry out a command and waits for its outcome."""
        kind, _, name = daemon.partition(".")
        return self._send(kind, name, prefix, data, timeout_s, arguments)

    def _send(
        self,
        kind: str,
        name: str,
        prefix: str,
        data: str,
        timeout_s: float | None,
        arguments: dict[str, Any],
    ) -> Outcome:
        answer = _Answer()
        words = {key.rstrip("_"): value for key, value in arguments.items()}
        command = json.dumps({"prefix": prefix, **words})
        self.host.send_command(answer, kind, name, command, "", data)
        answer.event.wait(timeout_s)
        where = f"{kind}.{name}" if name else kind
        return answer.outcome or Outcome(-ETIMEDOUT, "", f"{where} does not answer {prefix!r}")

    def cluster(self) -> Rados:
        """A connected handle of the cluster as the manager, for objects; made at first use."""
        with self.lock:
            if self._rados is None:
                self._rados = self.host.rados()
            made: Rados = self._rados
            return made

    def remote(self, module: str, method: str, *args: Any, **kwargs: Any) -> Any:
        """Calls a method of another module; see `Host.remote`."""
        return self.host.remote(module, method, args, kwargs)

    # ------------------------------------------------------------------------------ for the manager

    def handle_command(self, request: Request) -> Reply:
        """Has the handler answer that was declared for the command."""
        found = self._table.find(request.prefix, request.given)
        if found is None:
            return Reply(f"No handler found for '{request.prefix}'", rc=-EINVAL)
        command, _, arguments = found
        try:
            if isinstance(arguments, InvalidArgument):
                raise arguments
            reply: Reply = command.handler(self, request, **arguments)
        except CephError as error:
            return Reply(error.message, rc=-error.errno)
        return reply

    def _handle_command(self, data: str, given: Mapping[str, Any]) -> tuple[int, str, str]:
        """As the manager asks, upstream's modules and ours alike."""
        sent = data.encode("utf-8", "surrogateescape")
        reply = self.handle_command(Request(str(given["prefix"]), dict(given), sent))
        return reply.rc, reply.data.decode("utf-8", "surrogateescape"), reply.outs
