"""A deterministic asyncio event loop in virtual time.

It is for simulations: time stands still while anything can run and jumps to the next timer when
nothing can, so an hour of leases and keepalives costs milliseconds. Everything runs in one thread,
in first-in first-out order, as a function of the seed alone. It is not for production and does no
IO: connections come from `sim.network`, which attaches itself here. `sim.histories` makes one loop
for each history.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import random
import sys
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from typing import Any, Protocol, TypeVar, TypeVarTuple, cast

from spirula.errors import SpirulaError

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")
_Context = dict[str, Any]
_ExceptionHandler = Callable[[asyncio.AbstractEventLoop, _Context], object]

START_TIME_S = 1000.0
"""Where virtual time begins. Not zero, so that code that takes 0.0 for "never" is found out."""

MAX_STEPS = 10_000_000
"""Callbacks that one run may take before it counts as endless."""

MAX_STEPS_PER_INSTANT = 200_000
"""Callbacks that may run without time moving on before the run counts as spinning."""

_COMPACT_AT = 256


class SimulationError(SpirulaError):
    """A simulated run that cannot go on; the message says what was running."""


class Deadlock(SimulationError):
    """Nothing is runnable, no timer is set, and the awaited result is still missing."""


class Livelock(SimulationError):
    """The bound on callbacks was reached: endless work, or work without time moving on."""


class Forbidden(SimulationError):
    """Code under simulation asked for real IO, a thread, a process or a signal."""


class CallbackFailed(SimulationError):
    """A callback or an unattended task ended with an exception (the cause of this one)."""


class StreamNetwork(Protocol):
    """What the loop needs from a simulated network (`sim.network.Network`)."""

    async def connect(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str,
        port: int,
        local_addr: tuple[str, int] | None,
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]: ...

    def listen(
        self, protocol_factory: Callable[[], asyncio.BaseProtocol], hosts: list[str], port: int
    ) -> asyncio.AbstractServer: ...


class Process:
    """Callbacks, tasks and connections that live and die together on one host.

    What runs in a context where `CURRENT_PROCESS` is this process, and all that it starts, belongs
    to it. After `SimLoop.kill` nothing of it ever runs again: no `finally`, no farewell.
    """

    __slots__ = ("alive", "host", "name")

    def __init__(self, name: str, host: object = None) -> None:
        self.name = name
        self.host = host
        self.alive = True

    def __repr__(self) -> str:
        return f"<Process {self.name}{'' if self.alive else ' dead'}>"


CURRENT_PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar(
    "spirula_sim_process", default=None
)


class SimFuture(asyncio.Future[_T]):
    """A future whose hash is its serial number, so that sets of futures iterate alike each run."""

    order = 0

    def __hash__(self) -> int:
        return self.order


class SimTask(asyncio.Task[_T]):
    """A task whose hash is its serial number, for the same reason (`TaskGroup` keeps a set)."""

    def __init__(
        self, order: int, coro: Generator[Any, None, _T] | Coroutine[Any, Any, _T], **kwargs: Any
    ) -> None:
        self.order = order
        self.process = CURRENT_PROCESS.get()
        super().__init__(coro, **kwargs)

    def __hash__(self) -> int:
        return self.order


def _forbidden(name: str) -> Any:
    def refuse(self: SimLoop, *args: object, **kwargs: object) -> Any:
        raise Forbidden(f"loop.{name}() does real IO, which a simulated run has none of")

    refuse.__name__ = name
    return refuse


class SimLoop(asyncio.AbstractEventLoop):
    """The event loop of one simulated run.

    `seed` names the run; `rng(purpose)` gives the random sources that derive from it. `steps`
    counts the callbacks run so far. The loop may be handed to `asyncio.Runner(loop_factory=...)`.
    """

    def __init__(
        self,
        seed: int | str = 0,
        *,
        max_steps: int = MAX_STEPS,
        max_steps_per_instant: int = MAX_STEPS_PER_INSTANT,
    ) -> None:
        self.seed = seed
        self.steps = 0
        self.network: StreamNetwork | None = None
        self._max_steps = max_steps
        self._max_steps_per_instant = max_steps_per_instant
        self._now = START_TIME_S
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._timer_serial = 0
        self._cancelled_timers = 0
        self._serial = 0
        self._tasks: dict[int, SimTask[Any]] = {}
        self._failed_tasks: list[SimTask[Any]] = []
        self._dead_tasks: list[SimTask[Any]] = []
        self._asyncgens: weakref.WeakValueDictionary[int, AsyncGenerator[Any, Any]] = (
            weakref.WeakValueDictionary()
        )
        self._failure: CallbackFailed | None = None
        self._any_killed = False
        self._running = False
        self._stopping = False
        self._closed = False
        self._exception_handler: _ExceptionHandler | None = None
        self._task_factory: Any = None

    def rng(self, purpose: str) -> random.Random:
        """A random source that depends on the seed and `purpose` only."""
        return random.Random(f"{self.seed}/{purpose}")

    # --- time and callbacks

    def time(self) -> float:
        return self._now

    def call_soon(
        self,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        if self._closed:
            raise RuntimeError("Event loop is closed")
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(
        self,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """As `call_soon`: there are no other threads."""
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self,
        delay: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        if self._closed:
            raise RuntimeError("Event loop is closed")
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        handle._scheduled = True  # type: ignore[attr-defined]  # makes cancel() report to us
        self._timer_serial += 1
        heapq.heappush(self._timers, (when, self._timer_serial, handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        self._cancelled_timers += 1
        timers = self._timers
        if self._cancelled_timers > _COMPACT_AT and self._cancelled_timers * 2 > len(timers):
            timers[:] = [entry for entry in timers if not entry[2].cancelled()]
            heapq.heapify(timers)
            self._cancelled_timers = 0

    # --- futures and tasks

    def create_future(self) -> asyncio.Future[Any]:
        future: SimFuture[Any] = SimFuture(loop=self)
        self._serial += 1
        future.order = self._serial
        return future

    def create_task(
        self,
        coro: Generator[Any, None, _T] | Coroutine[Any, Any, _T],
        *,
        name: object = None,
        context: contextvars.Context | None = None,
        **kwargs: Any,
    ) -> asyncio.Task[_T]:
        if self._closed:
            raise RuntimeError("Event loop is closed")
        self._serial += 1
        order = self._serial
        if context is not None:
            kwargs["context"] = context
            task: SimTask[_T] = context.run(
                lambda: SimTask(order, coro, loop=self, name=name or f"Task-{order}", **kwargs)
            )
        else:
            task = SimTask(order, coro, loop=self, name=name or f"Task-{order}", **kwargs)
        self._tasks[order] = task
        task.add_done_callback(self._on_task_done)
        return task

    def _on_task_done(self, task: asyncio.Task[Any]) -> None:
        ours = cast("SimTask[Any]", task)
        self._tasks.pop(ours.order, None)
        if getattr(ours, "_log_traceback", False):
            self._failed_tasks.append(ours)

    def pending_tasks(self) -> list[asyncio.Task[Any]]:
        """Tasks of living processes that have not ended, oldest first."""
        return list(self._tasks.values())

    def unattended_failures(self) -> list[BaseException]:
        """Exceptions of ended tasks that nobody has asked for, in the order of their ends."""
        return [
            cast("BaseException", getattr(task, "_exception", None))
            for task in self._failed_tasks
            if getattr(task, "_log_traceback", False)
        ]

    def kill(self, process: Process) -> None:
        """Stop `process` between two callbacks, for good; nothing that it began is finished."""
        process.alive = False
        self._any_killed = True
        for order, task in list(self._tasks.items()):
            if task.process is process:
                del self._tasks[order]
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # dead, not lost
                self._dead_tasks.append(task)

    # --- running

    # The stubs name two overloads; one body serves both.
    def run_until_complete(self, future: Awaitable[_T]) -> _T:  # type: ignore[override]
        """Run until `future` is done; raises `Deadlock`, `Livelock` or `CallbackFailed`."""
        own_task = not asyncio.isfuture(future)
        awaited: asyncio.Future[_T] = asyncio.ensure_future(future, loop=self)
        try:
            self._run(awaited)
        except BaseException:
            if own_task and awaited.done() and not awaited.cancelled():
                awaited.exception()
            raise
        return awaited.result()

    def run_forever(self) -> None:
        """Run until `stop()`; raises `Deadlock` if nothing is left that could ever run."""
        self._run(None)

    def stop(self) -> None:
        self._stopping = True

    def _run(self, awaited: asyncio.Future[Any] | None) -> None:
        if self._closed:
            raise RuntimeError("Event loop is closed")
        if self._running or asyncio._get_running_loop() is not None:
            raise RuntimeError("This event loop is already running")
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=self._on_asyncgen, finalizer=self._end_asyncgen)
        self._running = True
        self._stopping = False
        asyncio._set_running_loop(self)
        try:
            self._turn(awaited)
        finally:
            self._running = False
            asyncio._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)

    def _turn(self, awaited: asyncio.Future[Any] | None) -> None:
        ready = self._ready
        timers = self._timers
        instant_ends = self.steps + self._max_steps_per_instant
        while not self._stopping and (awaited is None or not awaited.done()):
            if not ready:
                while timers and timers[0][2].cancelled():
                    heapq.heappop(timers)
                    self._cancelled_timers -= 1
                if not timers:
                    raise Deadlock(f"at {self._now:.6f} nothing can run: {self._describe()}")
                when = timers[0][0]
                if when > self._now:
                    self._now = when
                    instant_ends = self.steps + self._max_steps_per_instant
                while timers and timers[0][0] <= when:
                    timer = heapq.heappop(timers)[2]
                    timer._scheduled = False  # type: ignore[attr-defined]  # as above
                    if timer.cancelled():
                        self._cancelled_timers -= 1
                    else:
                        ready.append(timer)
                continue
            handle = ready.popleft()
            if handle.cancelled():
                continue
            if self._any_killed and not _is_alive(handle):
                continue
            self.steps += 1
            if self.steps >= instant_ends:
                raise Livelock(
                    f"{self._max_steps_per_instant} callbacks at {self._now:.6f} without time"
                    f" moving on, the last {handle!r}; {self._describe()}"
                )
            if self.steps >= self._max_steps:
                raise Livelock(f"{self.steps} callbacks in one run; {self._describe()}")
            handle._run()
            if self._failure is not None:
                failure, self._failure = self._failure, None
                raise failure

    def _describe(self) -> str:
        waiting = []
        for task in list(self._tasks.values())[:20]:
            stack = task.get_stack(limit=1)
            at = f" at {stack[-1].f_code.co_qualname}:{stack[-1].f_lineno}" if stack else ""
            waiting.append(f"{task.get_name()}{at}")
        more = "" if len(self._tasks) <= 20 else f" and {len(self._tasks) - 20} more"
        return f"waiting tasks: {', '.join(waiting) or 'none'}{more}"

    def is_running(self) -> bool:
        return self._running

    def is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """End the run: whatever still waits is dropped, oldest first, and can start nothing."""
        if self._running:
            raise RuntimeError("Cannot close a running event loop")
        if self._closed:
            return
        self._closed = True
        self._ready.clear()
        self._timers.clear()
        for task in [*self._dead_tasks, *self._tasks.values()]:
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # dropped knowingly
            try:
                coro = cast("Coroutine[Any, Any, Any]", task.get_coro())
                coro.close()
            except (RuntimeError, SimulationError):
                # Its `finally` asked the closed loop for something, or awaited: too late for both.
                continue
        self._dead_tasks.clear()
        self._tasks.clear()

    # --- failures

    def set_exception_handler(self, handler: _ExceptionHandler | None) -> None:
        self._exception_handler = handler

    def get_exception_handler(self) -> _ExceptionHandler | None:
        return self._exception_handler

    def default_exception_handler(self, context: _Context) -> None:
        """End the run at once: an exception that reached the loop is a bug of what it runs."""
        cause = context.get("exception")
        message = f"seed {self.seed}, at {self._now:.6f}: {context.get('message', 'failed')}"
        if cause is not None:
            message += f": {cause!r}"
        failure = CallbackFailed(message)
        failure.__cause__ = cause
        if self._failure is None:
            self._failure = failure

    def call_exception_handler(self, context: _Context) -> None:
        if self._exception_handler is not None:
            self._exception_handler(self, context)
        else:
            self.default_exception_handler(context)

    # --- async generators, debugging, factories

    def _on_asyncgen(self, agen: AsyncGenerator[Any, Any]) -> None:
        self._serial += 1
        self._asyncgens[self._serial] = agen

    def _end_asyncgen(self, agen: AsyncGenerator[Any, Any]) -> None:
        if not self._closed:
            self.create_task(agen.aclose())

    async def shutdown_asyncgens(self) -> None:
        open_ones = list(self._asyncgens.values())
        self._asyncgens.clear()
        for agen in open_ones:
            await agen.aclose()

    async def shutdown_default_executor(
        self,
        timeout: float | None = None,  # noqa: ASYNC109  # asyncio's signature
    ) -> None:
        """Nothing to do: `run_in_executor` has no threads."""

    def get_debug(self) -> bool:
        return False

    def set_debug(self, enabled: bool) -> None:
        """Has no effect: debug mode of asyncio measures real time."""

    def set_task_factory(self, factory: Any) -> None:
        raise Forbidden("a simulated loop makes its own tasks, with hashes that repeat")

    def get_task_factory(self) -> Any:
        return None

    # --- executors: the function runs at once, the result comes one turn later

    def run_in_executor(
        self, executor: Any, func: Callable[[*_Ts], _T], *args: *_Ts
    ) -> asyncio.Future[_T]:
        """Call `func` here and now; its outcome arrives in a later callback, as from a thread."""
        future: asyncio.Future[_T] = self.create_future()
        try:
            result = func(*args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001  # the outcome belongs to whoever awaits it
            self.call_soon(_unless_done, future, future.set_exception, error)
        else:
            self.call_soon(_unless_done, future, future.set_result, result)
        return future

    def set_default_executor(self, executor: Any) -> None:
        raise Forbidden("a simulated run has no threads; run_in_executor runs inline")

    # --- streams over the simulated network

    def _network(self) -> StreamNetwork:
        if self.network is None:
            raise Forbidden("no simulated network is attached to this loop")
        return self.network

    # Fewer parameters than asyncio's: those of sockets and TLS are refused.
    async def create_connection(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | None = None,
        port: int | None = None,
        *,
        local_addr: tuple[str, int] | None = None,
        ssl: object = None,
        sock: object = None,
        **ignored: Any,
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """Connect through the simulated network; `family`, `flags` and the like do not matter."""
        if ssl or sock is not None:
            raise Forbidden("simulated connections have neither TLS nor a socket")
        if host is None or port is None:
            raise ValueError("host and port are needed")
        return await self._network().connect(protocol_factory, host, port, local_addr)

    # Likewise.
    async def create_server(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | list[str] | tuple[str, ...] | None = None,
        port: int | None = None,
        *,
        ssl: object = None,
        sock: object = None,
        start_serving: bool = True,
        **ignored: Any,
    ) -> asyncio.AbstractServer:
        """Listen on the simulated network; `backlog` and the like do not matter."""
        if ssl or sock is not None:
            raise Forbidden("simulated servers have neither TLS nor a socket")
        hosts = [host or ""] if host is None or isinstance(host, str) else list(host)
        server = self._network().listen(protocol_factory, hosts, port or 0)
        if start_serving:
            await server.start_serving()
        return server

    # --- what a simulated run has not got

    getaddrinfo = _forbidden("getaddrinfo")
    getnameinfo = _forbidden("getnameinfo")
    create_unix_connection = _forbidden("create_unix_connection")
    create_unix_server = _forbidden("create_unix_server")
    create_datagram_endpoint = _forbidden("create_datagram_endpoint")
    connect_accepted_socket = _forbidden("connect_accepted_socket")
    start_tls = _forbidden("start_tls")
    sendfile = _forbidden("sendfile")
    connect_read_pipe = _forbidden("connect_read_pipe")
    connect_write_pipe = _forbidden("connect_write_pipe")
    subprocess_shell = _forbidden("subprocess_shell")
    subprocess_exec = _forbidden("subprocess_exec")
    add_reader = _forbidden("add_reader")
    remove_reader = _forbidden("remove_reader")
    add_writer = _forbidden("add_writer")
    remove_writer = _forbidden("remove_writer")
    sock_recv = _forbidden("sock_recv")
    sock_recv_into = _forbidden("sock_recv_into")
    sock_recvfrom = _forbidden("sock_recvfrom")
    sock_recvfrom_into = _forbidden("sock_recvfrom_into")
    sock_sendall = _forbidden("sock_sendall")
    sock_sendto = _forbidden("sock_sendto")
    sock_connect = _forbidden("sock_connect")
    sock_accept = _forbidden("sock_accept")
    sock_sendfile = _forbidden("sock_sendfile")
    add_signal_handler = _forbidden("add_signal_handler")
    remove_signal_handler = _forbidden("remove_signal_handler")


def _is_alive(handle: asyncio.Handle) -> bool:
    # Private in asyncio, and the only way to know in whose name a callback runs.
    context: contextvars.Context = handle._context  # type: ignore[attr-defined]
    process = context.get(CURRENT_PROCESS)
    return process is None or process.alive


def _unless_done(future: asyncio.Future[_T], settle: Callable[[Any], None], value: object) -> None:
    if not future.done():
        settle(value)
