"""A manager in a simulated cluster, without modules. Used where what it tells monitors matters."""

from __future__ import annotations

from spirula.auth.crypto import key_from_text
from spirula.mgr.daemon import make_manager
from spirula.mgr.state import Ports
from spirula.types.entity import EntityAddrVec
from tests.sim.cluster_world import Machine

_CAPS = ["mon", "allow profile mgr", "osd", "allow *", "mds", "allow *"]


class ManagerMachine(Machine):
    """A manager; the monitors make its key when it first starts."""

    def __init__(self, world, name="x"):
        super().__init__(world, f"mgr.{name}", "10.0.3.1")
        self.ident = name

    async def start(self):
        """On return it stands by."""
        self.lives += 1
        asked = {"entity": f"mgr.{self.ident}", "caps": _CAPS}
        (made,) = await self.world.command("auth get-or-create", **asked)
        host = self.host
        ports = Ports(
            loop=self.world.sim.loop,
            wall=host.wall_clock,
            random_bytes=host.random_bytes,
            log=self.log,
            stop=lambda why: self.world.stopped.append(f"{self.name}: {why}"),
            respawn=lambda why: self.world.stopped.append(f"{self.name}: {why}"),
            metadata={"hostname": self.name},
        )
        where = EntityAddrVec.parse(f"[v2:{host.address}:0/0]")
        config = self.config("mgr", self.ident)

        async def run():
            self.daemon = make_manager(self.ident, config, key_from_text(made["key"]), ports, where)
            await self.daemon.start()

        await host.start(run())
        self.is_running = True
