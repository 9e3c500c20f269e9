"""Keys, tickets and names that are not what they should be, shown to a monitor over TCP."""

from __future__ import annotations

from spirula.auth.crypto import KeyType, generate_key
from spirula.msgr.protocol.link import Phase
from spirula.types.auth import PrincipalName
from spirula.types.entity import EntityType
from tests.hostile.siege import MALLORY, both_modes, siege


async def refused(fort, client):
    """Nothing but an answer that it is no use."""
    accepted = len(fort.hall.accepted)
    member = await fort.member(client)
    assert not await member.login()
    assert member.link.phase is Phase.CLOSED
    member.close()
    fort.attackers.remove(member)
    assert len(fort.hall.accepted) == accepted
    return member.failures[0]


@both_modes
@siege()
async def test_unknown_users(fort, secure):
    key = fort.world.key_server.principal_key(MALLORY)
    errors = {
        str(await refused(fort, fort.world.client(PrincipalName.parse(name), key=key)))
        for name in ("client.nobody", "client.nobody", "client.nobody")
    }
    assert len(errors) == 1
    await fort.until(lambda: fort.warnings.matching("client.nobody is not known"))
    assert len(fort.warnings.lines) == 1


@both_modes
@siege()
async def test_wrong_keys(fort, secure):
    for _ in range(3):
        key = generate_key(KeyType.AES256K, fort.world.now, fort.world.random)
        await refused(fort, fort.world.client(MALLORY, key=key))
    await fort.until(lambda: fort.warnings.matching("client.mallory does not hold its key"))
    assert len(fort.warnings.lines) == 1


@siege()
async def test_names_cannot_write_lines_into_the_log(fort):
    key = fort.world.key_server.principal_key(MALLORY)
    name = PrincipalName(EntityType.CLIENT, "x\nALL IS WELL\x1b[2J\r")
    await refused(fort, fort.world.client(name, key=key))
    await fort.until(lambda: fort.warnings.lines)
    for line in fort.warnings.lines:
        assert line.isprintable()


@both_modes
@siege()
async def test_nobody_else_s_global_id(fort, secure):
    """CVE-2021-20288: an id is kept by who shows its ticket, and by nobody else."""
    victim = fort.world.client()
    member = await fort.member(victim)
    assert await member.login()
    thief = fort.world.client(MALLORY)
    thief.global_id = victim.global_id
    await refused(fort, thief)
    await fort.until(lambda: fort.warnings.matching(f"claims global id {victim.global_id}"))


@siege()
async def test_an_altered_ticket_proves_nothing(fort):
    """A flipped bit in each byte of the ticket that is shown with a global id."""
    client = fort.world.client(MALLORY)
    member = await fort.member(client)
    assert await member.login()
    ticket = client.tickets.tickets[EntityType.AUTH]
    blob = ticket.blob.blob
    for at in range(0, len(blob), 3):
        damaged = bytearray(blob)
        damaged[at] ^= 1 << at % 8
        ticket.blob.blob = bytes(damaged)
        await refused(fort, client)
    ticket.blob.blob = blob
    member = await fort.member(client)
    assert await member.login()
    assert len(fort.warnings.lines) == 1
