"""What a thrashed cluster suffers: OSDs crash, links break, disks are slow, maps change.

Each action is done to a `thrash_history.History`, returns soon, and leaves with `later` what mends
it. `ACTIONS` has them by name with how often they are drawn.
"""

from __future__ import annotations

# --- OSDs ---


def running(history):
    return [osd for osd in history.world.osds if osd.is_running]


def crash(history, osd):
    """Kill the process, or cut the power: then what was not committed is lost, and nobody hears."""
    if history.rng.random() < 0.5:
        history.note(f"{osd.name} loses its power")
        osd.lose_power()
    else:
        reached = history.rng.randrange(osd.store.uncommitted + 1)
        history.note(f"{osd.name} is killed, {reached} of {osd.store.uncommitted} writes reached")
        osd.crash(reached)


async def crash_osd(history):
    osd = history.rng.choice(running(history) or history.world.osds)
    if osd.is_running:
        crash(history, osd)
        history.later(history.rng.expovariate(1 / 4), start, history, osd)


async def crash_osds(history):
    """Several at once, up to all of them."""
    found = running(history)
    for osd in history.rng.sample(found, history.rng.randrange(len(found) + 1)):
        crash(history, osd)
        history.later(history.rng.expovariate(1 / 2), start, history, osd)


async def start(history, osd):
    if not osd.is_running and osd in history.world.osds:
        _start(history, osd)


def _start(history, machine):
    """Start it; if it gives up before it is up, as without monitors, again a second later."""
    history.note(f"{machine.name} starts")
    starting, life = machine.start(), machine.lives

    def ended(task):
        if not task.cancelled() and task.exception() is not None and machine.lives == life:
            history.note(f"{machine.name} did not start: {task.exception()}")
            machine.crash()
            history.later(1, start, history, machine)

    starting.add_done_callback(ended)


async def stop_osd(history):
    """As an administrator does."""
    osd = history.rng.choice(running(history) or history.world.osds)
    if osd.is_running and osd.daemon.osd.monitors is not None:
        history.note(f"{osd.name} stops")
        history.background(_stop(history, osd, history.rng.expovariate(1 / 4)))


async def _stop(history, osd, away):
    await osd.stop()
    history.later(away, start, history, osd)


async def mark_down(history):
    """The monitors take it for dead, and it is not."""
    osd = history.rng.choice(history.world.osds)
    history.note(f"{osd.name} is marked down")
    history.background(history.command("osd down", ids=[str(osd.number)]))


async def slow_disk(history):
    osd = history.rng.choice(history.world.osds)
    osd.disk_s = history.rng.choice((0.01, 0.1, 1.0))
    history.note(f"the disk of {osd.name} takes {osd.disk_s} s")
    history.later(history.rng.expovariate(1 / 4), quick_disk, history, osd)


async def quick_disk(history, osd):
    osd.disk_s = history.usual_disk_s


# --- the network ---


async def cut_link(history):
    """Between two hosts, one way or both."""
    hosts = history.hosts()
    one, other = history.rng.sample(hosts, 2)
    both = history.rng.random() < 0.6
    history.note(f"{one.name} {'and' if both else 'to'} {other.name}: cut")
    history.network.partition(one, other, both_ways=both)
    history.later(history.rng.expovariate(1 / 5), mend_link, history, one, other, both)


async def mend_link(history, one, other, both):
    history.network.heal_pair(one, other, both_ways=both)


async def cut_off(history):
    """One OSD cannot reach anybody, or is not reached."""
    victim = history.rng.choice(history.world.osds).host
    ways = history.rng.choice(("both", "from", "to"))
    history.note(f"{victim.name} is cut off ({ways})")
    for other in history.hosts():
        if other is not victim:
            pair = (other, victim) if ways == "to" else (victim, other)
            history.network.partition(*pair, both_ways=ways == "both")
            history.later(history.rng.expovariate(1 / 6), mend_link, history, *pair, ways == "both")


# --- monitors ---


async def crash_monitor(history):
    """The leader, where there are others: the one with the lowest rank."""
    mons = [mon for mon in history.world.mons.values() if mon.is_running]
    if len(mons) < len(history.world.mons):
        return
    victim = mons[0] if history.rng.random() < 0.7 else history.rng.choice(mons)
    history.note(f"mon.{victim.name} crashes")
    if history.rng.random() < 0.5:
        victim.lose_power()
    else:
        victim.crash()
    history.later(history.rng.expovariate(1 / 3), start_monitor, history, victim)


async def start_monitor(history, mon):
    if not mon.is_running:
        _start(history, mon)


# --- maps ---


async def take_out(history):
    osd = history.rng.choice(history.world.osds)
    history.note(f"{osd.name} is marked out")
    history.background(history.command("osd out", ids=[str(osd.number)]))
    history.later(history.rng.expovariate(1 / 5), take_in, history, osd)


async def take_in(history, osd):
    if osd not in history.removed:
        history.note(f"{osd.name} is marked in")
        await history.command("osd in", ids=[str(osd.number)])


async def reweight(history):
    osd = history.rng.choice(history.world.osds)
    weight = history.rng.choice((0.2, 0.5, 0.9, 1.0))
    history.note(f"{osd.name} has weight {weight}")
    history.background(history.command("osd reweight", id=osd.number, weight=weight))


async def affinity(history):
    osd = history.rng.choice(history.world.osds)
    weight = history.rng.choice((0.0, 0.5, 1.0))
    history.note(f"{osd.name} has primary affinity {weight}")
    history.background(history.command("osd primary-affinity", id=osd.number, weight=weight))


async def add_osd(history):
    if history.spare:
        history.spare -= 1
        history.note("an OSD is added")
        history.background(_add(history))


async def _add(history):
    _start(history, await history.world.add_osd())


async def remove_osd(history):
    """One more than there must be: out, gone, and everything of it forgotten."""
    osds = [osd for osd in running(history) if osd not in history.removed]
    if len(osds) > history.size and not history.removed:
        osd = history.rng.choice(osds)
        history.removed.append(osd)
        history.note(f"{osd.name} is removed")
        history.background(_remove(history, osd))


async def _remove(history, osd):
    number = str(osd.number)
    await history.command("osd out", ids=[number])
    await history.clean()
    history.world.osds.remove(osd)
    if osd.is_running:
        osd.crash()
    await history.command("osd down", ids=[number])
    await history.command("osd purge-actual", id=number, yes_i_really_mean_it=True)


async def resize_pool(history):
    """More PGs, or fewer: what a manager does once an administrator wants it."""
    if not history.resizing:
        history.resizing = True
        count = history.rng.choice((5, 8, 12, 16))
        history.note(f"pg_num {count}")
        history.background(_resize(history, count))


async def _resize(history, to):
    while (pool := await _pool(history))["pg_num"] < to:
        await _set(history, "pg_num_actual", to)
        await history.sim.sleep(1)
    await _set(history, "pgp_num_actual", to)
    while (count := (await _pool(history))["pg_num"]) > to:
        await _set(history, "pg_num_actual", count - 1)
        for _ in range(40):
            pool = await _pool(history)
            if pool["pg_num"] < count or pool["pg_num_pending"] == pool["pg_num"]:
                break
            await history.sim.sleep(0.5)
    history.resizing = False


async def _pool(history):
    dump = await history.command("osd dump")
    return next(pool for pool in dump["pools"] if pool["pool_name"] == "data")


async def _set(history, var, value):
    """It is refused while PGs are being made."""
    told = {"prefix": "osd pool set", "pool": "data", "var": var, "val": str(value)}
    while (await history.world.admin.command(told)).result != 0:
        await history.sim.sleep(0.5)


ACTIONS = {
    crash_osd: 10,
    crash_osds: 4,
    stop_osd: 3,
    mark_down: 4,
    slow_disk: 3,
    cut_link: 8,
    cut_off: 4,
    crash_monitor: 2,
    take_out: 4,
    reweight: 3,
    affinity: 1,
    add_osd: 2,
    remove_osd: 2,
    resize_pool: 3,
}
"""What happens, with its weight."""
