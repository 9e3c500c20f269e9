"""How fast two messengers in two processes talk over loopback.

    python bench/bench_messenger.py [--seconds 2] [--runs 3] [--profile]

Large messages: 4 MiB of data one way, a window of eight, acknowledged by the receiver. Small ones:
150 bytes of front there and 150 back, 16 in flight. Both through the whole messenger, in CRC mode
and encrypted. Prints the best of several runs, because other work on the machine only slows down,
and beside the measured rate what a core for each process would allow, from the processor time that
the busier of the two took.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import hashlib
import multiprocessing
import pstats
import time

import uvloop

from spirula.auth.handshake import AuthDone, AuthMethod, AuthOutcome, AuthRequest, ConnectionMode
from spirula.kernels.crc32c import IMPLEMENTATION
from spirula.msgr.plain import plain_messenger
from spirula.msgr.policies import Policy
from spirula.msgr.protocol.message import RawMessage
from spirula.types.entity import EntityAddrVec, EntityName, EntityType

LARGE_BYTES = 4 * 1024 * 1024
LARGE_WINDOW = 8
SMALL_BYTES = 150
SMALL_WINDOW = 16
LOOPBACK = EntityAddrVec.parse("v2:127.0.0.1:0")
SECRET = hashlib.sha512(b"a secret of both ends").digest()


class SecureClient:
    """Both ends know the secret already: encryption is measured, not authentication."""

    def request(self):
        return AuthRequest(AuthMethod.NONE, [ConnectionMode.SECURE], b"")

    def on_done(self, global_id, mode, payload):
        return secure_outcome()


class SecureServer:
    def on_request(self, peer_type, request):
        return AuthDone(b"", secure_outcome())


def secure_outcome():
    return AuthOutcome(1, ConnectionMode.SECURE, SECRET[:16], SECRET)


class Server:
    """Answers a message with one that has the front it should have."""

    def ms_dispatch(self, connection, message):
        connection.send_message(RawMessage(2, self.answer, tid=message.tid))

    def ms_handle_accept(self, connection):
        pass

    def ms_handle_reset(self, connection):
        pass

    def ms_handle_refused(self, connection, error):
        pass

    answer = b"a" * SMALL_BYTES


class Client:
    """Keeps a window of messages under way and counts answers."""

    def __init__(self, window, message):
        self.window = window
        self.message = message
        self.answers = 0

    def ms_handle_connect(self, connection):
        for _ in range(self.window):
            connection.send_message(self.message())

    def ms_dispatch(self, connection, message):
        self.answers += 1
        connection.send_message(self.message())


def make(loop, number, policy, dispatcher, secure):
    messenger = plain_messenger(loop, EntityName(EntityType.OSD, number), policy, dispatcher)
    if secure:
        messenger.endpoint.auth_client = lambda peer_type, addrs: SecureClient()
        messenger.endpoint.auth_server = SecureServer
    return messenger


def serve(pipe, policy, secure, profile):
    async def run():
        loop = asyncio.get_running_loop()
        messenger = make(loop, 0, policy, Server(), secure)
        pipe.send(str(await messenger.bind(LOOPBACK, range(0))))
        done = asyncio.Event()

        def asked():
            if pipe.recv() == "done":
                done.set()
            pipe.send(time.process_time())

        loop.add_reader(pipe.fileno(), asked)
        await done.wait()
        await messenger.shutdown()

    with Profile(profile, "server"):
        uvloop.run(run())


class Profile:
    def __init__(self, enabled, name):
        self.enabled = enabled
        self.name = name
        self.profile = cProfile.Profile()

    def __enter__(self):
        if self.enabled:
            self.profile.enable()

    def __exit__(self, *error):
        if self.enabled:
            self.profile.disable()
            print(f"-- {self.name}")
            pstats.Stats(self.profile).sort_stats("tottime").print_stats(25)


def measure(client, policies, secure, seconds, profile):
    """Answers per second, and what each costs the busier side in seconds of its processor."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(theirs, policies[1], secure, profile))
    server.start()
    addrs = EntityAddrVec.parse(ours.recv())

    async def run():
        loop = asyncio.get_running_loop()
        messenger = make(loop, 1, policies[0], client, secure)
        messenger.get_connection(EntityType.OSD, addrs)
        await asyncio.sleep(seconds / 4)
        before, start = client.answers, time.perf_counter()
        busy = [time.process_time(), ask("time")]
        await asyncio.sleep(seconds)
        answers = client.answers - before
        elapsed = time.perf_counter() - start
        busy = [time.process_time() - busy[0], ask("time") - busy[1]]
        await messenger.shutdown()
        return answers / elapsed, max(busy) / answers

    def ask(word):
        ours.send(word)
        return ours.recv()

    with Profile(profile, "client"):
        result = uvloop.run(run())
    ask("done")
    server.join()
    return result


def best(*runs):
    """The highest rate and the lowest cost, not necessarily of the same run."""
    rates, costs = zip(*runs, strict=True)
    return max(rates), min(costs)


def repeat(options, window, message, policies, secure):
    """The best of all runs of one measurement."""
    return best(
        *(
            measure(Client(window, message), policies, secure, options.seconds, options.profile)
            for _ in range(options.runs)
        )
    )


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--seconds", type=float, default=2.0)
    arguments.add_argument("--runs", type=int, default=3)
    arguments.add_argument("--profile", action="store_true")
    arguments.add_argument("--only", choices=["large", "small"])
    options = arguments.parse_args()
    multiprocessing.set_start_method("spawn")
    data = bytes(range(256)) * (LARGE_BYTES // 256)
    lossy = (Policy.lossy_client(), Policy.stateless_server())
    lossless = (Policy.lossless_peer(), Policy.lossless_peer())

    def large():
        return RawMessage(1, b"f" * 100, data=data)

    def small():
        return RawMessage(1, b"f" * SMALL_BYTES)

    print(f"crc32c: {IMPLEMENTATION}; best of {options.runs}")
    for name, policies, secure in (
        ("CRC, lossy", lossy, False),
        ("CRC, lossless", lossless, False),
        ("secure, lossy", lossy, True),
    ):
        if options.only != "small":
            rate, cost = repeat(options, LARGE_WINDOW, large, policies, secure)
            measured, possible = (LARGE_BYTES * n / 1e9 for n in (rate, 1 / cost))
            print(
                f"4 MiB messages, {name:14} {measured:7.2f} GB/s   a core each: {possible:.2f} GB/s"
            )
        if options.only != "large":
            rate, cost = repeat(options, SMALL_WINDOW, small, policies, secure)
            print(f"round trips,    {name:14} {rate:7.0f} /s     a core each: {1 / cost:.0f} /s")


if __name__ == "__main__":
    main()
