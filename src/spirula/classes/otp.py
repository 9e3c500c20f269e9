"""The object class `otp`: one-time passwords by time (TOTP, RFC 6238), checked where the seeds are.

A check writes its result, which the client asks for afterwards: a call that writes could not answer
otherwise. Client: RGW (multi-factor authentication). Behaviour: upstream `src/cls/otp/cls_otp.cc`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from typing import Final

from spirula.classes.declare import method
from spirula.classes.handle import ObjectHandle, decoded
from spirula.errors import InvalidArgument, NotFound
from spirula.types.base import UTime
from spirula.types.cls.otp import (
    CheckOtpOp,
    CheckResult,
    GetCurrentTimeOp,
    GetCurrentTimeReply,
    GetOtpOp,
    GetOtpReply,
    GetResultReply,
    OtpCheck,
    OtpHeader,
    OtpInfo,
    OtpInstance,
    RemoveOtpOp,
    SeedType,
    SetOtpOp,
)

HEADER: Final = "header"
PREFIX: Final = "otp/"
MAX_ATTEMPTS: Final = 5
"""Checks within one step; further ones are not even looked at."""
MAX_WINDOW: Final = 10_000
"""Steps before and after now in which a password is looked for."""

_NO_WHOLE_BYTES: Final = (1, 3, 6)
"""Numbers of letters of base32 that make no whole bytes."""
_DIGITS: Final = (6, 7, 8)
_U32: Final = 0xFFFFFFFF
_U64: Final = 0xFFFFFFFFFFFFFFFF


def totp(seed: bytes, step: int, digits: int) -> str:
    """The password of a step (RFC 4226, HMAC-SHA1)."""
    digest = hmac.digest(seed, (step & _U64).to_bytes(8, "big"), hashlib.sha1)
    start = digest[-1] & 0xF
    number = int.from_bytes(digest[start : start + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**digits:0{digits}}"


def matching_step(info: OtpInfo, now_s: int, password: str) -> int | None:
    """How many steps from now on or back `password` belongs to; None for none in the window."""
    if len(password) not in _DIGITS or not info.step_size:
        return None
    offset = now_s - info.time_ofs
    now = abs(offset) // info.step_size * (-1 if offset < 0 else 1)
    for distance in range(min(info.window, MAX_WINDOW) + 1):
        for step in {now + distance, now - distance}:
            if hmac.compare_digest(
                totp(info.seed_bin, step, len(password)).encode(),
                password.encode("utf-8", "surrogateescape"),
            ):
                return distance
    return None


def seed_bytes(seed: str, kind: int) -> bytes:
    """A seed's bytes; InvalidArgument if it is not written as it says."""
    try:
        if kind != SeedType.BASE32:
            if not re.fullmatch(r"(?:[0-9a-fA-F]{2})*", seed):
                raise InvalidArgument("the seed is not hexadecimal")
            return bytes.fromhex(seed)
        letters = seed.replace(" ", "").upper()
        if len(letters) % 8 in _NO_WHOLE_BYTES:
            raise InvalidArgument("the seed is not in base32: letters are missing")
        return base64.b32decode(letters + "=" * (-len(letters) % 8))
    except (binascii.Error, ValueError):
        raise InvalidArgument("the seed is not in base32") from None


def _read_header(handle: ObjectHandle) -> OtpHeader:
    try:
        stored = handle.map_get_val(HEADER)
    except NotFound:
        return OtpHeader()
    return decoded(handle, OtpHeader, stored, HEADER) if stored else OtpHeader()


def _read(handle: ObjectHandle, ident: str) -> OtpInstance:
    key = PREFIX + ident
    return decoded(handle, OtpInstance, handle.map_get_val(key), key)


def _write(handle: ObjectHandle, instance: OtpInstance) -> None:
    handle.map_set_val(PREFIX + instance.otp.id, instance.encode())


def _trim(instance: OtpInstance, now: UTime) -> None:
    """Forgets checks older than a step."""
    start = UTime(max(0, now.sec - instance.otp.step_size), now.nsec)
    while instance.last_checks and instance.last_checks[0].timestamp < start:
        del instance.last_checks[0]


def _verify(instance: OtpInstance, now: UTime, password: str) -> bool:
    info = instance.otp
    distance = matching_step(info, now.sec, password)
    if distance is None:
        return False
    index = distance + (now.sec - info.time_ofs & _U32) // info.step_size
    if index <= instance.last_success:
        return False  # it, or a later one, was used before
    instance.last_success = index
    return True


@method("otp_set", read=True, write=True)
def otp_set(handle: ObjectHandle, request: SetOtpOp) -> None:
    """Stores seeds; what is known about their use remains."""
    header = _read_header(handle)
    for entry in request.entries:
        try:
            instance = _read(handle, entry.id)
        except NotFound:
            instance = OtpInstance()
        instance.otp = entry
        entry.seed_bin = seed_bytes(entry.seed, entry.seed_type)
        _write(handle, instance)
        header.ids.add(entry.id)
    handle.map_set_val(HEADER, header.encode())


@method("otp_get", read=True)
def otp_get(handle: ObjectHandle, request: GetOtpOp) -> GetOtpReply:
    """Seeds, all or by their ids; unknown ids are passed over."""
    known = _read_header(handle).ids
    wanted = sorted(known) if request.get_all else request.ids
    return GetOtpReply([_read(handle, ident).otp for ident in wanted if ident in known])


@method("otp_check", read=True, write=True)
def otp_check(handle: ObjectHandle, request: CheckOtpOp) -> None:
    """Checks a password and keeps the result; after too many attempts it does nothing."""
    instance = _read(handle, request.id)
    _trim(instance, handle.now)
    if len(instance.last_checks) >= MAX_ATTEMPTS:
        return
    good = _verify(instance, handle.now, request.val.partition("\0")[0])
    result = CheckResult.SUCCESS if good else CheckResult.FAIL
    instance.last_checks.append(OtpCheck(request.token, handle.now, result))
    _write(handle, instance)


# Clients send what they sent for the check.
@method("otp_get_result", read=True)
def otp_get_result(handle: ObjectHandle, request: CheckOtpOp) -> GetResultReply:
    """The result of the latest check with a token; UNKNOWN if there is none, or not any more."""
    instance = _read(handle, request.id)
    _trim(instance, handle.now)
    for check in reversed(instance.last_checks):
        if check.token == request.token:
            return GetResultReply(check)
    return GetResultReply(OtpCheck(request.token, handle.now, CheckResult.UNKNOWN))


@method("otp_remove", read=True, write=True)
def otp_remove(handle: ObjectHandle, request: RemoveOtpOp) -> None:
    """Forgets seeds; unknown ids are passed over."""
    header = _read_header(handle)
    removed = False
    for ident in request.ids:
        if ident in header.ids:
            handle.map_remove_key(PREFIX + ident)
            header.ids.discard(ident)
            removed = True
    if removed:
        handle.map_set_val(HEADER, header.encode())


@method("get_current_time", read=True)
def get_current_time(handle: ObjectHandle, request: GetCurrentTimeOp) -> GetCurrentTimeReply:
    """The OSD's clock, for telling why a password is not taken."""
    return GetCurrentTimeReply(handle.now)
