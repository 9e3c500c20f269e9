"""Run seeds of the thrasher: `python -m tests.sim.replay SEED`, `FIRST-LAST` or `FIRST-LAST/STEP`.

Prints what happened in the history of a seed: with `--log LEVEL` the logs of all daemons as well,
with `--trace` every segment of the network. Of several seeds it prints a line each, and at the end
which failed (exit status 1). Each seed runs in a fork of a process that has booted its kind of
cluster, so a seed is the same alone, in `make test`, and among thousands.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import random
import signal
import sys
import time
import traceback

from spirula.denc.declare import Struct
from spirula.sim import Faults, Simulation
from spirula.sim.simulation import _within
from tests.sim.thrash_history import KINDS, History, begin, faults, kind_of

LIMIT_S = 3_000
"""Virtual seconds that a history may take."""
WALL_LIMIT_S = 300
"""Seconds of the processor's time after which a history counts as endless."""
MAX_STEPS = 500_000


def run_seeds(seeds, *, log_level=0, keep_trace=False, report=print):
    """Run the seeds, kind by kind; `report` is told of each as a dict when it has ended."""
    compile_types(Struct)
    for number in range(len(KINDS)):
        of_kind = [seed for seed in seeds if kind_of(seed) == number]
        if of_kind:
            for result in _in_fork(_run_kind, number, of_kind, log_level, keep_trace):
                report(result)


def compile_types(base):
    """Compile all declared types now: else the fork of each seed does, for those that it meets."""
    for made in base.__subclasses__():
        if made._denc_compile is not None:
            made._denc_compile()
        compile_types(made)


def _in_fork(work, *arguments):
    """Call a generator function in a child; its results, as they come."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        status = 1
        try:
            with os.fdopen(writing, "w") as out:
                for result in work(*arguments):
                    out.write(json.dumps(result) + "\n")
                    out.flush()
            status = 0
        except BaseException:  # noqa: BLE001 - the parent has to be told by the status
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as answers:
        for line in answers:
            yield json.loads(line)
    _, status = os.waitpid(child, 0)
    if status:
        raise ChildFailed(status)


class ChildFailed(Exception):
    """A child ended without a result: by a signal, mostly that of its limit."""

    def __init__(self, status):
        code = os.waitstatus_to_exitcode(status)
        super().__init__(f"ended by signal {-code}" if code < 0 else f"ended with {code}")


def _run_kind(number, seeds, log_level, keep_trace):
    sim = Simulation(number, Faults(), keep_trace=keep_trace, max_steps=MAX_STEPS)
    scene = sim.loop.run_until_complete(begin(sim, number, log_level))
    scene.world.log.clear()
    gc.collect()
    gc.freeze()
    gc.disable()
    for seed in seeds:
        try:
            yield from _in_fork(_run_seed, sim, scene, seed)
        except ChildFailed as error:
            yield {"seed": seed, "error": str(error), "text": ""}


def _run_seed(sim, scene, seed):
    signal.alarm(WALL_LIMIT_S)
    sim.reseed(seed, faults(random.Random(f"{seed}/faults")))
    started, error, text = time.process_time(), "", ""
    steps, began = sim.loop.steps, sim.time()
    history = History(sim, scene)
    try:
        sim.loop.run_until_complete(_within(history.run(), LIMIT_S))
        for session in (scene.world.admin, *scene.sessions):
            session.lingers.stop()
        failures = sim.loop.unattended_failures()
        if failures:
            raise failures[0]
    except Exception as failure:  # noqa: BLE001 - what is wrong with a seed is its result
        error = f"{type(failure).__name__}: {failure}"
        text = traceback.format_exc()
    yield {
        "seed": seed,
        "error": error,
        "text": text,
        "digest": sim.network.trace.digest(),
        "steps": sim.loop.steps - steps,
        "virtual_s": sim.time() - began,
        "cpu_s": time.process_time() - started,
        "calls": sum(map(len, history.shared.calls.values())),
        "model_steps": sum(client.done for client in history.models),
        "notes": history.notes,
        "log": scene.world.log,
        "trace": sim.network.trace.lines,
    }


def _parse_seeds(words):
    seeds = []
    for word in words:
        ends, _, step = word.partition("/")
        first, _, last = ends.partition("-")
        seeds += range(int(first), int(last or first) + 1, int(step or 1))
    return seeds


def main(words=None):
    """The command; see `--help`."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim.replay", description=__doc__)
    parser.add_argument("seeds", nargs="+", metavar="SEED", help="or FIRST-LAST[/STEP]")
    parser.add_argument("--log", type=int, default=-1, metavar="LEVEL", help="daemons' logs")
    parser.add_argument("--trace", action="store_true", help="every event of the network")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each seed")
    chosen = parser.parse_args(words)
    logging.getLogger("spirula.ms").setLevel(logging.CRITICAL)
    seeds = _parse_seeds(chosen.seeds)
    failed = []

    def report(result):
        if result["error"]:
            failed.append(result["seed"])
        if chosen.json:
            print(json.dumps(result), flush=True)
            return
        if len(seeds) == 1:
            print("\n".join([*result.get("trace", []), *result.get("log", [])]))
            print("\n".join(result.get("notes", [])))
            print(result["text"])
        what = result["error"].replace("\n", " ") or "ok"
        numbers = "{virtual_s:.0f} virtual s, {cpu_s:.2f} s, {steps} callbacks"
        known = numbers.format(**result) if "steps" in result else ""
        print(f"seed {result['seed']}: {known} {result.get('digest', '')} {what}", flush=True)

    run_seeds(seeds, log_level=chosen.log, keep_trace=chosen.trace, report=report)
    if len(seeds) > 1 and not chosen.json:
        print(f"{len(seeds)} seeds, {len(failed)} failed: {failed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
