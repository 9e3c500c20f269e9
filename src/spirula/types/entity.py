"""Who talks: entity names, network addresses, instances.

Formats: upstream `src/msg/msg_types.h` and `.cc` (entity_name_t, entity_addr_t, entity_addrvec_t).
An address keeps the bytes of its sockaddr as they came, so that it goes out again unchanged.
"""

from __future__ import annotations

import ipaddress
import re
import struct as _struct
from dataclasses import field
from enum import IntEnum, IntFlag
from functools import lru_cache, total_ordering
from typing import Self

from spirula.denc import Struct, irregular, s64, struct, u8
from spirula.denc.features import MSG_ADDR2, SERVER_NAUTILUS, has
from spirula.errors import WireError
from spirula.records import dataclass

_AF_INET, _AF_INET6 = 2, 10
_HEAD = _struct.Struct("<BBBIIII")
_SOCKADDR_SIZES = {_AF_INET: 16, _AF_INET6: 28}
_SOCKADDR_SIZE_UNKNOWN = 28
_SOCKADDR_STORAGE = 128


class EntityType(IntFlag):
    """Kinds of entities; one bit each, so that sets of them fit a number (upstream
    CEPH_ENTITY_TYPE_*).
    """

    MON = 0x01
    MDS = 0x02
    OSD = 0x04
    CLIENT = 0x08
    MGR = 0x10
    AUTH = 0x20
    ANY = 0xFF


TYPE_NAMES = {1: "mon", 2: "mds", 4: "osd", 8: "client", 16: "mgr", 32: "auth"}
TYPES_BY_NAME = {name: number for number, name in TYPE_NAMES.items()}


@struct(name="entity_name_t", frozen=True)
class EntityName(Struct):
    """A daemon or client by kind and number: `osd.3`, `client.4123` (its global id)."""

    type: u8
    num: s64

    def __str__(self) -> str:
        return f"{TYPE_NAMES.get(self.type, 'unknown')}.{'?' if self.num < 0 else self.num}"


class AddrType(IntEnum):
    """Which protocol is spoken at an address; CIDR is a network, its nonce the prefix's length."""

    NONE = 0
    LEGACY = 1
    MSGR2 = 2
    ANY = 3
    CIDR = 4


ADDR_TYPE_NAMES = {0: "none", 1: "v1", 2: "v2", 3: "any", 4: "cidr"}
_ADDR_PATTERN = re.compile(
    r"(?:(?P<type>v1|v2|any):)?"
    r"(?:\[(?P<six>[0-9a-fA-F:.%]+)\]|(?P<four>\d+\.\d+\.\d+\.\d+))"
    r"(?::(?P<port>\d+))?(?:/(?P<nonce>\d+))?"
)


@irregular("entity_addr_t")
@total_ordering
@dataclass(slots=True, unsafe_hash=True)
class EntityAddr(Struct):
    """One address of an entity; `nonce` tells apart the processes that had it.

    `sockaddr` holds what follows the family in a C sockaddr: port (big endian), then the address.
    Treat as a key: not to be changed once made.
    """

    type: int = AddrType.NONE
    nonce: int = 0
    family: int = 0
    sockaddr: bytes = bytes(_SOCKADDR_SIZE_UNKNOWN - 2)

    @classmethod
    def of(cls, host: str, port: int, *, type: int = AddrType.MSGR2, nonce: int = 0) -> Self:
        """The address of an IPv4 or IPv6 `host` as text (ValueError if it is not one)."""
        ip = ipaddress.ip_address(host)
        head = _struct.pack(">H", port)
        if ip.version == 4:
            return cls(type, nonce, _AF_INET, head + ip.packed + bytes(8))
        return cls(type, nonce, _AF_INET6, head + bytes(4) + ip.packed + bytes(4))

    @classmethod
    def parse(cls, text: str, default_type: int = AddrType.MSGR2) -> Self:
        """Reads `v2:127.0.0.1:6789/123` (type, port and nonce may be missing). ValueError
        otherwise.
        """
        match = _ADDR_PATTERN.fullmatch(text.strip())
        if not match:
            raise ValueError(f"{text!r} is not an address like v2:127.0.0.1:3300/0")
        named = {"v1": AddrType.LEGACY, "v2": AddrType.MSGR2, "any": AddrType.ANY}
        port = int(match["port"] or 0)
        if port > 0xFFFF:
            raise ValueError(f"port {port} of {text!r} is over 65535")
        return cls.of(
            match["six"] or match["four"],
            port,
            type=named.get(match["type"], default_type),
            nonce=int(match["nonce"] or 0) & 0xFFFFFFFF,
        )

    @property
    def port(self) -> int:
        """The port; 0 where there is none."""
        return int.from_bytes(self.sockaddr[:2], "big") if self.is_ip else 0

    @property
    def host(self) -> str:
        """The IP address as text, `""` for an address without one."""
        if self.family == _AF_INET:
            return str(ipaddress.IPv4Address(self.sockaddr[2:6]))
        if self.family == _AF_INET6:
            return str(ipaddress.IPv6Address(self.sockaddr[6:22]))
        return ""

    @property
    def is_ip(self) -> bool:
        """True for IPv4 and IPv6."""
        return self.family in _SOCKADDR_SIZES

    @property
    def is_blank_ip(self) -> bool:
        """True where no host is named yet (0.0.0.0, ::, or no family at all)."""
        part = self.sockaddr[2:6] if self.family == _AF_INET else self.sockaddr[6:22]
        return not self.is_ip or not any(part)

    def with_port(self, port: int) -> Self:
        """The same address at another port."""
        return type(self)(
            self.type, self.nonce, self.family, _struct.pack(">H", port) + self.sockaddr[2:]
        )

    def with_nonce(self, nonce: int) -> Self:
        """The same address for another process."""
        return type(self)(self.type, nonce, self.family, self.sockaddr)

    def with_type(self, kind: int) -> Self:
        """The same address for another protocol."""
        return type(self)(kind, self.nonce, self.family, self.sockaddr)

    def without_type(self) -> str:
        """`127.0.0.1:6789/0`, as upstream prints an address whose protocol is clear."""
        host = f"[{self.host}]" if self.family == _AF_INET6 else self.host
        if not self.is_ip:
            return f"(unrecognized address family {self.family})/{self.nonce}"
        return f"{host}:{self.port}/{self.nonce}"

    def __str__(self) -> str:
        if self.type == AddrType.NONE:
            return "-"
        prefix = "" if self.type == AddrType.ANY else f"{ADDR_TYPE_NAMES.get(self.type, '???')}:"
        return prefix + self.without_type()

    def __lt__(self, other: EntityAddr) -> bool:
        return self._image() < other._image()

    def _image(self) -> bytes:
        """The C structure; upstream compares addresses by its bytes."""
        head = _struct.pack("<IIH", self.type, self.nonce, self.family)
        return head + self.sockaddr[:26].ljust(26, b"\0")

    def _enc(self, out: bytearray, features: int) -> None:
        if not has(features, MSG_ADDR2):
            out += _struct.pack("<IIH", 0, self.nonce, 0)[:-2]
            out += _struct.pack(">H", self.family) + self.sockaddr[:126].ljust(126, b"\0")
            return
        kind = self.type
        if kind == AddrType.ANY and not has(features, SERVER_NAUTILUS):
            kind = AddrType.LEGACY
        out += _encoded(kind, self.nonce, self.family, self.sockaddr)

    @classmethod
    def _dec(cls, buf: bytes, pos: int, end: int, features: int) -> tuple[Self, int]:
        marker = buf[pos]
        if marker == 0:
            return cls._decode_legacy(buf, pos + 1)
        if marker != 1:
            raise WireError(f"address marker is {marker}, not 0 or 1", offset=pos)
        return cls._decode_after_marker(buf, pos + 1, end)

    @classmethod
    def _decode_after_marker(cls, buf: bytes, pos: int, end: int) -> tuple[Self, int]:
        _, compat, length, kind, nonce, size = _struct.unpack_from("<BBIIII", buf, pos)
        after = pos + 6 + length
        start = pos + 18
        if compat > 1 or after > end or start + size > after:
            raise WireError("address does not fit its length", offset=pos, limit=end)
        if size == 0:
            return cls(kind, nonce, 0, b""), after
        if size < 2:
            raise WireError("sockaddr is too short for its family", offset=start)
        family = int.from_bytes(buf[start : start + 2], "little")
        if size > _SOCKADDR_SIZES.get(family, _SOCKADDR_SIZE_UNKNOWN):
            raise WireError(f"sockaddr of {size} bytes", offset=start, limit=_SOCKADDR_SIZE_UNKNOWN)
        rest = buf[start + 2 : start + size]
        if family in _SOCKADDR_SIZES:  # what a peer left out is zero, as upstream reads it
            rest = rest.ljust(_SOCKADDR_SIZES[family] - 2, b"\0")
        return cls(kind, nonce, family, rest), after

    @classmethod
    def _decode_legacy(cls, buf: bytes, pos: int) -> tuple[Self, int]:
        """What stands after marker 0: padding, nonce, a whole sockaddr_storage with its family big
        endian.
        """
        _, _, nonce, family = _struct.unpack_from("<BHIH", buf, pos)
        family = (family & 0xFF) << 8 | family >> 8
        start = pos + 9
        if start + _SOCKADDR_STORAGE - 2 > len(buf):
            raise WireError("ends inside a sockaddr", offset=start)
        size = _SOCKADDR_SIZES.get(family, _SOCKADDR_SIZE_UNKNOWN) - 2
        kind = AddrType.LEGACY if family else AddrType.NONE
        after = start + _SOCKADDR_STORAGE - 2
        return cls(kind, nonce, family, buf[start : start + size]), after

    def plain(self) -> dict[str, object]:
        """As upstream's JSON shows an address."""
        kind = ADDR_TYPE_NAMES.get(self.type, "???")
        host = f"[{self.host}]" if self.family == _AF_INET6 else self.host
        return {
            "type": kind,
            "addr": f"{host}:{self.port}" if self.is_ip else "-",
            "nonce": self.nonce,
        }


@lru_cache(maxsize=1 << 14)
def _encoded(kind: int, nonce: int, family: int, sockaddr: bytes) -> bytes:
    """An address in today's form; maps hold thousands, which seldom change."""
    size = len(sockaddr) + 2
    head = _HEAD.pack(1, 1, 1, 12 + size, kind, nonce, size)
    return head + family.to_bytes(2, "little") + sockaddr


@irregular("entity_addrvec_t")
@total_ordering
@dataclass(slots=True)
class EntityAddrVec(Struct):
    """All addresses of one entity, the preferred one first.

    For peers without MSG_ADDR2 only the legacy address goes out, as a bare address.
    """

    addrs: list[EntityAddr] = field(default_factory=list)

    @classmethod
    def parse(cls, text: str, default_type: int = AddrType.MSGR2) -> Self:
        """Reads `[v2:1.2.3.4:3300/0,v1:1.2.3.4:6789/0]` or one address. ValueError otherwise."""
        text = text.strip()
        if text.startswith("[") and text.endswith("]") and not _ADDR_PATTERN.fullmatch(text):
            text = text[1:-1]
        return cls(
            [EntityAddr.parse(part, default_type) for part in text.split(",") if part.strip()]
        )

    def of_type(self, kind: int) -> EntityAddr | None:
        """The first address of that protocol (an `any` address where there is none)."""
        for wanted in (kind, AddrType.ANY):
            for addr in self.addrs:
                if addr.type == wanted:
                    return addr
        return None

    @property
    def msgr2(self) -> EntityAddr | None:
        """Where msgr2 is spoken."""
        return self.of_type(AddrType.MSGR2)

    @property
    def legacy(self) -> EntityAddr:
        """The v1 address, a blank one where there is none."""
        return next((addr for addr in self.addrs if addr.type == AddrType.LEGACY), EntityAddr())

    @property
    def legacy_or_front(self) -> EntityAddr:
        """The v1 address, else the first, else a blank one."""
        for addr in self.addrs:
            if addr.type == AddrType.LEGACY:
                return addr
        return self.addrs[0] if self.addrs else EntityAddr()

    def __bool__(self) -> bool:
        return bool(self.addrs)

    def __len__(self) -> int:
        return len(self.addrs)

    def __hash__(self) -> int:
        return hash(tuple(self.addrs))

    def __lt__(self, other: EntityAddrVec) -> bool:
        return self.addrs < other.addrs

    def __str__(self) -> str:
        if len(self.addrs) < 2:
            return "".join(map(str, self.addrs))
        return f"[{','.join(str(addr) for addr in self.addrs)}]"

    def _enc(self, out: bytearray, features: int) -> None:
        if not has(features, MSG_ADDR2):
            self.legacy._enc(out, 0)
            return
        out += b"\x02" + len(self.addrs).to_bytes(4, "little")
        if has(features, SERVER_NAUTILUS):
            for addr in self.addrs:
                out += _encoded(addr.type, addr.nonce, addr.family, addr.sockaddr)
            return
        for addr in self.addrs:
            addr._enc(out, features)

    @classmethod
    def _dec(cls, buf: bytes, pos: int, end: int, features: int) -> tuple[Self, int]:
        marker = buf[pos]
        if marker < 2:
            addr, pos = EntityAddr._dec(buf, pos, end, features)
            return cls([addr]), pos
        if marker > 2:
            raise WireError(f"address vector marker is {marker}", offset=pos)
        (count,) = _struct.unpack_from("<I", buf, pos + 1)
        pos += 5
        if count > (end - pos) // 9:
            raise WireError(f"{count} addresses in {end - pos} bytes", offset=pos)
        addrs = []
        for _ in range(count):
            addr, pos = EntityAddr._dec(buf, pos, end, features)
            addrs.append(addr)
        return cls(addrs), pos

    def plain(self) -> object:
        """As upstream's JSON shows it."""
        return {"addrvec": [addr.plain() for addr in self.addrs]}


@struct(name="entity_inst_t", frozen=True)
class EntityInst(Struct):
    """An entity's name and where it is."""

    name: EntityName
    addr: EntityAddr

    def __str__(self) -> str:
        return f"{self.name} {self.addr}"
