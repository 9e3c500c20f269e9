"""ConfigService: the options that monitors keep for everybody, and push to who subscribes.

The values stand in the config-key store, under `config/`, with a history; a version of this service
is only a number, committed together with the change there. Each session is sent what holds for its
entity, when that changes; this monitor's own values go into its `Config`. Follows upstream
`src/mon/ConfigMonitor.cc`. Called by `monitor`; commands are in `show` and `change`.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, ClassVar

from spirula.conf.option import OptionFlag
from spirula.conf.values import BadValue
from spirula.crush.lookup import find_item, full_location, item_class
from spirula.errors import NotFound
from spirula.messages.mon_client import MConfig, MGetConfig
from spirula.mon.services.base import LAST, PaxosService
from spirula.mon.services.config import change, history, show
from spirula.mon.services.config.config_map import (
    GLOBAL,
    ConfigMap,
    MaskedOption,
    OptionMask,
    Place,
    make_key,
    parse_key,
    parse_mask,
)
from spirula.mon.services.config.module_options import find_module_option, module_options
from spirula.types.base import UTime
from spirula.types.entity import EntityType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spirula.conf.option import Option
    from spirula.crush.map import CrushMap
    from spirula.mon.monitor import Monitor
    from spirula.mon.request import Request
    from spirula.mon.session import MonSession, Subscription
    from spirula.mon.store import Transaction

CONFIG = "config/"
"""Where the values stand in the config-key store."""
KEPT_VERSIONS = 5
_WHAT = "config"

_RENAMED = {
    "mon_osd_blacklist_default_expire": "mon_osd_blocklist_default_expire",
    "mon_mds_blacklist_interval": "mon_mds_blocklist_interval",
    "mon_mgr_blacklist_interval": "mon_mgr_blocklist_interval",
    "rbd_blacklist_on_break_lock": "rbd_blocklist_on_break_lock",
    "rbd_blacklist_expire_seconds": "rbd_blocklist_expire_seconds",
    "mds_session_blacklist_on_timeout": "mds_session_blocklist_on_timeout",
    "mds_session_blacklist_on_evict": "mds_session_blocklist_on_evict",
}
"""Options that 16.2 calls otherwise than its predecessors."""


class ConfigService(PaxosService):
    """The config service of one monitor."""

    NAME = "config"
    COMMANDS = (show.commands, change.commands)
    SUBSCRIPTIONS: ClassVar[Mapping[str, tuple[str, str] | None]] = {_WHAT: None}

    def __init__(self, monitor: Monitor) -> None:
        super().__init__(monitor)
        self.map = ConfigMap()
        self.current: dict[str, bytes] = {}
        """The committed values by key."""
        self.pending: dict[str, bytes | None] = {}
        self.description = ""
        """A remark for the history of what is pending."""
        self._cleanup: dict[str, bytes | None] = {}
        self._modules: tuple[int, dict[str, Option]] = (0, {})
        self._loaded = (-1, -1, -1)
        self._told = -1

    # --- Paxos

    def update(self) -> None:
        self._load_if_changed()

    def create_pending(self) -> None:
        self.pending, self.description = {}, ""

    def on_restart(self) -> None:
        self.pending, self.description = {}, ""

    def encode_pending(self, transaction: Transaction) -> None:
        version = self.last_committed + 1
        transaction.put(self.NAME, LAST, version)
        if not self.pending:
            return
        kv = self.monitor.kv
        stamp = UTime.at(self.monitor.wall())
        made = history.entries(version, stamp, self.description, self.pending, self.current)
        for key, value in made.items():
            kv.put(key, value)
        for key, changed in self.pending.items():
            if changed is not None:
                kv.put(CONFIG + key, changed)
            elif key in self.current:
                kv.remove(CONFIG + key)

    def trim_to(self) -> int:
        return max(0, self.last_committed - KEPT_VERSIONS)

    def on_active(self) -> None:
        self._load_if_changed()
        if self._told != self.last_committed:
            self._told = self.last_committed
            self.notify_subscribers()

    def tick(self) -> None:
        if (
            self.monitor.is_leader
            and self._cleanup
            and self.is_writeable
            and self.monitor.kv.is_writeable
        ):
            self.change(dict(self._cleanup))

    def change(self, values: Mapping[str, bytes | None], description: str = "") -> bool:
        """Set (or with None remove) keys, and propose; False if nothing would change.

        With the first change what was found wrong in the store is put right.
        """
        for key, value in values.items():
            if self.current.get(key) == value:
                self.pending.pop(key, None)
            else:
                self.pending[key] = value
        if not self.pending:
            return False
        self.pending = {**self._cleanup, **self.pending}
        self.description = description or self.description
        self.propose()
        self.monitor.kv.propose()
        return True

    # --- options

    def find_option(self, name: str) -> Option | None:
        """An option of daemons, or of a module of the manager."""
        option = self.monitor.config.schema.get(name)
        return option or find_module_option(self.module_options(), name)

    def module_options(self) -> dict[str, Option]:
        """The options of all modules of the manager, by name."""
        mgrmap = self.monitor.mgrmap.map
        if self._modules[0] != mgrmap.epoch:
            self._modules = (mgrmap.epoch, module_options(mgrmap))
        return self._modules[1]

    # --- the values

    def _load_if_changed(self) -> None:
        """Read the values anew, if they or the modules' options have changed."""
        kv, mgrmap = self.monitor.kv, self.monitor.mgrmap.map
        versions = (self.last_committed, kv.last_committed, mgrmap.epoch)
        if versions == self._loaded:
            return
        first, same_modules = self._loaded[0] < 0, versions[2] == self._loaded[2]
        self._loaded = versions
        current = {key.removeprefix(CONFIG): value for key, value in kv.items(CONFIG)}
        if first or not same_modules or current != self.current:
            self.current = current
            self._load()

    def _load(self) -> None:
        self._cleanup = {}
        read = [self._read(key, encoded) for key, encoded in self.current.items()]
        self.map = ConfigMap(value for value in read if value is not None)
        self._apply_own()

    def _read(self, key: str, encoded: bytes) -> MaskedOption | None:
        """A value; what should not be there is left out, and put right by and by."""
        name, who = parse_key(key)
        if name in _RENAMED:
            name = _RENAMED[name]
            self._cleanup[key] = None
            self._cleanup[f"{who}/{name}" if who else name] = encoded
        option = self.find_option(name)
        target = parse_mask(who) if who else None
        if who and target is None:
            self.monitor.log(0, f"config: key {key!r} is for nobody; it will be removed")
            self._cleanup[key] = None
            return None
        if option is not None and option.flags & OptionFlag.NO_MON_UPDATE:
            self._cleanup[key] = None
            return None
        section, mask = target or ("", OptionMask())
        if not section:
            self._cleanup[key] = None
            self._cleanup[make_key(GLOBAL, mask, name)] = encoded
        text = _normal(option, encoded.decode("utf-8", "surrogateescape"))
        return MaskedOption(name, text, section or GLOBAL, mask, option)

    def _apply_own(self) -> None:
        """This monitor's own values."""
        config = self.monitor.config
        place = self.place_of(host=config.identity.host)
        mine = self.values_for(config.identity.name, place)
        for complaint in config.set_mon(mine):
            self.monitor.log(1, f"config: {complaint}")
        config.apply_changes()

    def values_for(self, entity: str, place: Place) -> dict[str, str]:
        """What holds for an entity: text by option."""
        types = self.crush_types() if self.map.has_masks else {}
        found = self.map.for_entity(entity, place, types)
        return {name: value.value for name, value in found.items()}

    def _crush(self) -> CrushMap:
        return self.monitor.osdmap.osdmap.crush

    def crush_types(self) -> dict[str, int]:
        """The types of CRUSH buckets by name."""
        return {name: number for number, name in self._crush().type_names.items()}

    def place_of(self, *, osd: int | None = None, host: str = "") -> Place:
        """Where an OSD is by the CRUSH map, or whoever runs on a host, which may not be in it."""
        crush = self._crush()
        location = {"host": host} if host else {}
        for item in (find_item(crush, host), osd):
            if item is not None:
                with contextlib.suppress(NotFound):
                    location.update(full_location(crush, item))
        device_class = item_class(crush, osd) if osd is not None else None
        return Place(location, device_class or "")

    # --- who is told

    def _values_of(self, session: MonSession) -> dict[str, str]:
        if not self.map.has_masks:
            return self.values_for(str(session.entity), Place())
        osd = session.name.num if session.name.type == EntityType.OSD else None
        place = self.place_of(osd=osd, host=session.remote_host)
        return self.values_for(str(session.entity), place)

    def check_subscription(self, session: MonSession, subscription: Subscription) -> None:
        if subscription.next > self.last_committed:
            return
        values = self._values_of(session)
        if values != session.config_sent:
            session.config_sent = values
            self.monitor.send(session, MConfig(config=values))
        subscription.next = self.last_committed + 1
        if subscription.onetime:
            self.monitor.sessions.unsubscribe(session, subscription.what)

    def on_get_config(self, request: Request) -> None:
        """Somebody asks for what holds for an entity: his own, or he may read the configuration."""
        message, session = request.message, request.session
        if not isinstance(message, MGetConfig):
            return
        if message.name != session.entity and not session.is_capable("config", read=True):
            self.monitor.log(1, f"config: {session} may not read what {message.name} gets")
            request.no_reply()
            return
        place = Place(self.place_of(host=message.host).location, message.device_class)
        request.reply(MConfig(config=self.values_for(str(message.name), place)))


def _normal(option: Option | None, text: str) -> str:
    """A value as its option's validator writes it, if it has one that can read it."""
    if option is None or option.validator is None:
        return text
    try:
        return option.validator(text)
    except BadValue:
        return text
