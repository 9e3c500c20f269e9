"""What has to be true of a simulated cluster that was thrashed, once it is left in peace."""

from __future__ import annotations

from spirula.types.pg import PGState, pg_state_text

_CLEAN = int(PGState.ACTIVE | PGState.CLEAN)


def not_clean(world, pool):
    """What is left to do until all PGs of the pool are active+clean: some words, empty if nothing.

    Looked at in the OSDs themselves.
    """
    if not all(osd.daemon for osd in world.osds):
        return "OSDs are down"
    # Who lost its monitor may not have heard of a map that changes who leads what.
    mons = [mon.daemon.monitor.osdmap.epoch for mon in world.mons.values() if mon.daemon]
    newest = max([osd.daemon.osd.maps.epoch for osd in world.osds] + mons)
    count, words = 0, []
    for osd in world.osds:
        state = osd.daemon.osd
        if state.maps.epoch != newest:
            words.append(f"{osd.name} has map {state.maps.epoch}, not {newest}")
            continue
        expected = state.maps.current.pools[pool].pg_num
        for pg in state.pgs.by_id.values():
            if pg.pgid.pgid.pool != pool:
                continue
            if pg.is_primary:
                count += 1
                if pg.state != _CLEAN:
                    words.append(
                        f"{pg.pgid} {pg_state_text(pg.state)} up {pg.up} acting {pg.acting}"
                        f" on {osd.name}, {len(pg.missing.missing)} missing"
                    )
            elif pg.role < 0:
                words.append(f"{pg.pgid} is still on {osd.name}, acting {pg.acting}")
    if not words and count != expected:
        words.append(f"{count} PGs have a primary, not {expected}")
    return "; ".join(words)


def led(world, pool):
    """The PGs of a pool, at their primaries."""
    return [
        pg
        for osd in world.osds
        for pg in osd.daemon.osd.pgs.by_id.values()
        if pg.is_primary and pg.pgid.pgid.pool == pool
    ]


def contents(store, coll):
    """All objects of a PG in one store: data, attributes, omap.

    Without what a scrub that runs has found so far, which its primary keeps beside them.
    """
    objects, _ = store.collection_list(coll, limit=100_000)
    return {
        str(oid): (store.read(coll, oid), store.getattrs(coll, oid), store.omap_get(coll, oid))
        for oid in objects
        if not oid.is_pgmeta and not (oid.hobj.pool < 0 and oid.hobj.oid.startswith("scrub_"))
    }


def check_replicas(world, pool):
    """All OSDs that serve a PG have the same objects, byte for byte, and the same log."""
    by_number = {osd.number: osd for osd in world.osds}
    for osd in world.osds:
        for pg in osd.daemon.osd.pgs.by_id.values():
            if not pg.is_primary or pg.pgid.pgid.pool != pool:
                continue
            mine = contents(osd.store, pg.coll)
            for number in pg.acting:
                other = by_number[number]
                its = other.daemon.osd.pgs.by_id[pg.pgid]
                where = f"{pg.pgid} on {osd.name} and {other.name}"
                assert its.info.last_update == pg.info.last_update, where
                assert not its.missing.missing, where
                theirs = contents(other.store, pg.coll)
                assert sorted(mine) == sorted(theirs), where
                for name, here in mine.items():
                    there = theirs[name]
                    for part, a, b in zip(("data", "attrs", "omap"), here, there, strict=True):
                        assert a == b, f"{part} of {name} differ: {where}"
                newest = [str(entry.version) for entry in list(pg.log.entries)[-20:]]
                others = [str(entry.version) for entry in list(its.log.entries)[-20:]]
                shorter = min(len(newest), len(others))
                assert not shorter or newest[-shorter:] == others[-shorter:], where
