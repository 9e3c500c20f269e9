"""OSDs as a monitor sees them: sessions that boot, report, send beacons and get maps."""

from __future__ import annotations

from spirula.denc.features import PACIFIC
from spirula.maps.apply import apply_checked
from spirula.maps.osdmap import Incremental, OSDMap
from spirula.messages.osd_map import MOSDMap
from spirula.messages.osd_mon import FailureFlag, MOSDBeacon, MOSDBoot, MOSDFailure
from spirula.types.entity import EntityAddrVec
from spirula.types.osd_superblock import OSDSuperblock
from tests.unit.mon.harness import FSID, HarnessMonitor

OPTIONS = {
    "osd_pool_default_size": 2,
    "osd_pool_default_pg_autoscale_mode": "off",
    "osd_crush_chooseleaf_type": 0,
    "mon_allow_pool_delete": True,
}


def uuid_of(osd):
    return bytes([osd + 1]) * 16


def addrs_of(osd, port=6800, nonce=1):
    return EntityAddrVec.parse(
        f"[v2:10.0.0.{osd + 1}:{port}/{nonce},v1:10.0.0.{osd + 1}:{port + 1}/{nonce}]"
    )


class World:
    """A monitor and some OSDs, each on a host of its own unless told otherwise."""

    def __init__(self, osds=0, options=None, *, per_host=1):
        self.harness = HarnessMonitor({**OPTIONS, **(options or {})})
        self.sessions = {}
        for osd in range(osds):
            self.create(osd, host=f"h{osd // per_host}")
            self.boot(osd)

    @property
    def service(self):
        return self.harness.mon.osdmap

    @property
    def osdmap(self) -> OSDMap:
        return self.service.osdmap

    def create(self, osd, host="h0"):
        uuid = uuid_of(osd).hex()
        made = self.harness.ok(
            "osd new", uuid=f"{uuid[:8]}-{uuid[8:12]}-{uuid[12:16]}-{uuid[16:20]}-{uuid[20:]}"
        )
        assert int(made) == osd
        self.harness.ok(
            "osd crush create-or-move", id=osd, weight=1.0, args=["root=default", f"host={host}"]
        )

    def session(self, osd, addrs=None, caps="allow profile osd"):
        made = self.harness.session(f"osd.{osd}", caps)
        made.addrs = addrs or addrs_of(osd)
        self.sessions[osd] = made
        return made

    def boot_message(self, osd, **changes):
        fields = {
            "sb": OSDSuperblock(cluster_fsid=FSID.bytes, whoami=osd, osd_fsid=uuid_of(osd)),
            "cluster_addrs": addrs_of(osd, 6802),
            "hb_back_addrs": addrs_of(osd, 6804),
            "hb_front_addrs": addrs_of(osd, 6806),
            "metadata": {"hostname": f"host{osd}", "ceph_version_short": "16.2.15"},
            "osd_features": PACIFIC,
            "version": self.service.epoch,
        }
        return MOSDBoot(**{**fields, **changes})

    def boot(self, osd, addrs=None, **changes):
        """Boot an OSD; what it is sent."""
        session = self.sessions.get(osd) or self.session(osd, addrs)
        if addrs is not None:
            session.addrs = addrs
        sent = self.harness.send(self.boot_message(osd, **changes), session)
        self.harness.advance(3.0)
        return sent

    def send(self, osd, message):
        return self.harness.send(message, self.sessions[osd])

    def fail(self, reporter, target, *, flags=FailureFlag.FAILED, failed_for=30, settle=2.0):
        self.send(
            reporter,
            MOSDFailure(
                fsid=FSID.bytes,
                target_osd=target,
                target_addrs=self.osdmap.client_addrs[target],
                epoch=self.service.epoch,
                flags=flags,
                failed_for=failed_for,
            ),
        )
        self.harness.advance(settle)

    def beacon(self, osd, pgs=(), clean=0):
        message = MOSDBeacon(
            pgs=list(pgs), min_last_epoch_clean=clean, osd_beacon_report_interval=300
        )
        message.version = self.service.epoch
        return self.send(osd, message)

    def beacons_for(self, seconds, osds):
        """Time goes by, and these OSDs are alive."""
        end = self.harness.loop.now + seconds
        while self.harness.loop.now < end:
            for osd in osds:
                self.beacon(osd)
            self.harness.advance(100.0)


def follow(messages, osdmap=None):
    """The newest map of a client that got these messages; checks each step's checksum."""
    for message in messages:
        if not isinstance(message, MOSDMap):
            continue
        epochs = sorted({*message.maps, *message.incremental_maps})
        for epoch in epochs:
            if epoch in message.maps:
                if osdmap is None or epoch > osdmap.epoch:
                    osdmap = OSDMap.decode(message.maps[epoch])
            elif epoch == (osdmap.epoch if osdmap else 0) + 1:
                inc = Incremental.decode(message.incremental_maps[epoch])
                osdmap, _ = apply_checked(osdmap or OSDMap(), inc)
    return osdmap
