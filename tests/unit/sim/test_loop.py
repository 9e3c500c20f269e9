"""The virtual-time loop: what asyncio promises, what virtual time adds, and what is refused."""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import threading

import pytest

from spirula.sim import CallbackFailed, Deadlock, Forbidden, Livelock, Process, SimLoop
from spirula.sim.loop import CURRENT_PROCESS


@pytest.fixture
def loop():
    loop = SimLoop(7)
    yield loop
    loop.close()


def test_time_jumps_to_the_next_timer(loop):
    async def hours():
        before = loop.time()
        await asyncio.sleep(3600)
        return loop.time() - before

    assert loop.run_until_complete(hours()) == 3600.0
    assert loop.steps < 10


def test_callbacks_run_in_the_order_they_were_asked_for(loop):
    seen = []
    for n in range(5):
        loop.call_soon(seen.append, n)
    for n in range(5, 10):
        loop.call_later(1.0, seen.append, n)
    loop.call_later(0.5, seen.append, "between")
    loop.call_later(2.0, loop.stop)
    loop.run_forever()
    assert seen == [0, 1, 2, 3, 4, "between", 5, 6, 7, 8, 9]


def test_cancelled_timers_neither_run_nor_move_time(loop):
    seen = []
    timers = [loop.call_later(100 + n, seen.append, n) for n in range(1000)]
    for timer in timers:
        timer.cancel()
    loop.call_later(1.0, loop.stop)
    loop.run_forever()
    assert seen == []
    assert loop.time() == 1001.0


def test_timeouts_groups_queues_and_generators_work(loop):
    async def numbers():
        for n in range(3):
            await asyncio.sleep(1)
            yield n

    async def body():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 5)
        assert loop.time() == 1005.0
        async with asyncio.timeout(10):
            assert [n async for n in numbers()] == [0, 1, 2]
        queue = asyncio.Queue(1)
        async with asyncio.TaskGroup() as group:
            group.create_task(queue.put(1))
            group.create_task(queue.put(2))
            got = [await queue.get(), await queue.get()]
        assert got == [1, 2]
        done, pending = await asyncio.wait(
            [asyncio.create_task(asyncio.sleep(n)) for n in (1, 2, 3)], timeout=2.5
        )
        assert (len(done), len(pending)) == (2, 1)
        return await asyncio.gather(asyncio.sleep(1, "a"), asyncio.sleep(0.5, "b"))

    assert loop.run_until_complete(body()) == ["a", "b"]


def test_asyncio_runner_accepts_the_loop():
    async def body():
        await asyncio.sleep(60)
        return await asyncio.to_thread(lambda: 42)

    with asyncio.Runner(loop_factory=SimLoop) as runner:
        assert runner.run(body()) == 42


def test_context_variables_follow_tasks_and_callbacks(loop):
    variable = contextvars.ContextVar("variable", default="outside")
    seen = []

    async def child():
        seen.append(variable.get())

    async def body():
        variable.set("inside")
        loop.call_soon(lambda: seen.append(variable.get()))
        context = contextvars.copy_context()
        context.run(variable.set, "given")
        await loop.create_task(child(), context=context)
        await child()

    loop.run_until_complete(body())
    assert seen == ["inside", "given", "inside"]
    assert variable.get() == "outside"


def test_waiting_for_what_cannot_come_is_a_deadlock_that_names_the_waiter(loop):
    async def forgotten():
        await loop.create_future()

    with pytest.raises(Deadlock, match="forgotten"):
        loop.run_until_complete(forgotten())


def test_spinning_without_time_is_a_livelock():
    loop = SimLoop(max_steps_per_instant=1000)

    async def spin():
        while loop.time() < 2000:  # noqa: ASYNC110  # the spinning is the test
            await asyncio.sleep(0)

    with pytest.raises(Livelock, match="without time moving on"):
        loop.run_until_complete(spin())
    loop.close()


def test_endless_work_is_a_livelock():
    loop = SimLoop(max_steps=1000)

    async def work():
        while loop.time() < 1e9:  # noqa: ASYNC110  # the endlessness is the test
            await asyncio.sleep(1)

    with pytest.raises(Livelock, match="1000 callbacks"):
        loop.run_until_complete(work())
    loop.close()


def test_a_failing_callback_ends_the_run_at_once(loop):
    loop.call_later(1.0, lambda: 1 / 0)
    with pytest.raises(CallbackFailed, match="seed 7") as failed:
        loop.run_until_complete(asyncio.sleep(1000))
    assert isinstance(failed.value.__cause__, ZeroDivisionError)
    assert loop.time() == 1001.0


def test_a_handler_of_ones_own_replaces_the_failure(loop):
    contexts = []
    loop.set_exception_handler(lambda _, context: contexts.append(context["exception"]))
    loop.call_later(1.0, lambda: 1 / 0)
    loop.run_until_complete(asyncio.sleep(2))
    assert [type(error) for error in contexts] == [ZeroDivisionError]


def test_unattended_failures_of_tasks_are_known_at_once_and_forgotten_when_asked_for(loop):
    async def fail():
        raise KeyError("k")

    async def body():
        task = loop.create_task(fail())
        await asyncio.sleep(1)
        assert [type(error) for error in loop.unattended_failures()] == [KeyError]
        with pytest.raises(KeyError):
            await task

    loop.run_until_complete(body())
    assert loop.unattended_failures() == []


def test_executors_run_inline_and_answer_one_turn_later(loop):
    order = []

    def work(n):
        order.append("work")
        assert threading.current_thread() is threading.main_thread()
        if n < 0:
            raise ValueError(n)
        return n * 2

    async def body():
        future = loop.run_in_executor(None, work, 21)
        order.append("asked")
        assert not future.done()
        assert await future == 42
        with pytest.raises(ValueError, match="-1"):
            await loop.run_in_executor(None, work, -1)

    loop.run_until_complete(body())
    assert order == ["work", "asked", "work"]


REAL_IO = {
    "file descriptors": lambda loop: loop.add_reader(0, print),
    "unix sockets": lambda loop: loop.create_unix_server(asyncio.Protocol, "/nowhere"),
    "name service": lambda loop: loop.getaddrinfo("localhost", 1),
    "subprocesses": lambda loop: loop.subprocess_exec(asyncio.SubprocessProtocol, "true"),
    "signals": lambda loop: loop.add_signal_handler(2, print),
    "sockets": lambda loop: loop.sock_recv(None, 1),
    "connections without a network": lambda loop: loop.run_until_complete(
        loop.create_connection(asyncio.Protocol, "127.0.0.1", 1)
    ),
}


@pytest.mark.parametrize("what", REAL_IO)
def test_real_io_is_refused(loop, what):
    with pytest.raises(Forbidden):
        REAL_IO[what](loop)


def test_a_closed_loop_takes_nothing_more(loop):
    loop.close()
    with pytest.raises(RuntimeError):
        loop.call_soon(print)
    with pytest.raises(RuntimeError):
        loop.call_later(1, print)


def test_nothing_of_a_killed_process_runs_again(loop):
    process = Process("p")
    seen = []

    async def doomed():
        try:
            while True:
                await asyncio.sleep(1)
                seen.append(loop.time())
        finally:
            seen.append("farewell")

    async def body():
        context = contextvars.copy_context()
        context.run(CURRENT_PROCESS.set, process)
        loop.create_task(doomed(), context=context)
        await asyncio.sleep(2.5)
        loop.kill(process)
        await asyncio.sleep(10)
        assert seen == [1001.0, 1002.0]
        assert loop.pending_tasks() == [asyncio.current_task()]

    loop.run_until_complete(body())


def test_random_sources_depend_on_seed_and_purpose_only():
    def draws(seed, purpose):
        rng = SimLoop(seed).rng(purpose)
        return [rng.random() for _ in range(5)]

    assert draws(1, "a") == draws(1, "a")
    assert draws(1, "a") != draws(2, "a")
    assert draws(1, "a") != draws(1, "b")


SETS = """
import asyncio
from spirula.sim import SimLoop
loop = SimLoop(1)
async def body():
    order = []
    async def child(n):
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            order.append(n)
            raise
    async def fail():
        await asyncio.sleep(1)
        raise KeyError
    try:
        async with asyncio.TaskGroup() as group:
            for n in range(40):
                group.create_task(child(n))
            group.create_task(fail())
    except* KeyError:
        pass
    futures = {loop.create_future() for _ in range(40)}
    print(order, [future.order for future in futures])
loop.run_until_complete(body())
loop.close()
"""


def test_sets_of_tasks_and_futures_iterate_alike_whatever_the_hash_seed():
    outputs = {
        subprocess.run(
            [sys.executable, "-c", f"junk = [object() for _ in range({seed})]\n{SETS}"],
            env={"PYTHONHASHSEED": str(seed), "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in (1, 2, 3)
    }
    assert len(outputs) == 1
    assert outputs.pop().startswith("[0, 1, 2")
