"""The object class `otp`: one-time passwords (TOTP) for RGW's multi-factor authentication.

Layouts of its methods' arguments and results, and of the stored seeds.
Formats: upstream `src/cls/otp/cls_otp_types.h`, `cls_otp_ops.h`.
"""

from __future__ import annotations

from enum import IntEnum

from spirula.denc import (
    Map,
    Set,
    Struct,
    Vec,
    blob,
    boolean,
    default,
    s32,
    string,
    struct,
    u8,
    u32,
    u64,
)
from spirula.types.base import UTime


class OtpType(IntEnum):
    """What a password is computed from; only time is supported."""

    UNKNOWN = 0
    HOTP = 1
    TOTP = 2


class SeedType(IntEnum):
    """How `seed` is written."""

    UNKNOWN = 0
    HEX = 1
    BASE32 = 2


class CheckResult(IntEnum):
    """How a check went."""

    UNKNOWN = 0
    SUCCESS = 1
    FAIL = 2


@struct(name="rados::cls::otp::otp_info_t", version=1, compat=1)
class OtpInfo(Struct):
    """A seed. `time_ofs` and `step_size` in seconds, `window` in steps before and after now.

    `seed_bin` is `seed` as bytes; the class fills it in.
    """

    type: u8 = default(OtpType.TOTP.value)
    id: string
    seed: string
    seed_type: u8
    seed_bin: blob
    time_ofs: s32
    step_size: u32 = default(30)
    window: u32 = default(2)


@struct(name="rados::cls::otp::otp_check_t", version=1, compat=1)
class OtpCheck(Struct):
    """The result of a check, found again by the token that its caller chose."""

    token: string
    timestamp: UTime
    result: u8


@struct(name="rados::cls::otp::otp_repo_t", version=1, compat=1)
class OtpRepo(Struct):
    """Seeds by id."""

    entries: Map[string, OtpInfo]


@struct(version=1, compat=1)
class OtpHeader(Struct):
    """What the omap key `header` holds: the ids of all seeds."""

    ids: Set[string]


@struct(version=1, compat=1)
class OtpInstance(Struct):
    """What the omap key `otp/ID` holds: a seed, its latest checks, the step last used."""

    otp: OtpInfo
    last_checks: Vec[OtpCheck]
    last_success: u64


@struct(name="cls_otp_set_otp_op", version=1, compat=1)
class SetOtpOp(Struct):
    """Store seeds."""

    entries: Vec[OtpInfo]


@struct(name="cls_otp_check_otp_op", version=1, compat=1)
class CheckOtpOp(Struct):
    """Check a password; the result is asked for later, by the token."""

    id: string
    val: string
    token: string


@struct(name="cls_otp_get_result_op", version=1, compat=1)
class GetResultOp(Struct):
    """Ask for the result of a check."""

    token: string


@struct(name="cls_otp_get_result_reply", version=1, compat=1)
class GetResultReply(Struct):
    """The result of a check."""

    result: OtpCheck


@struct(name="cls_otp_remove_otp_op", version=1, compat=1)
class RemoveOtpOp(Struct):
    """Forget seeds."""

    ids: Vec[string]


@struct(name="cls_otp_get_otp_op", version=1, compat=1)
class GetOtpOp(Struct):
    """Ask for seeds, some or all."""

    get_all: boolean
    ids: Vec[string]


@struct(name="cls_otp_get_otp_reply", version=1, compat=1)
class GetOtpReply(Struct):
    """Seeds."""

    found_entries: Vec[OtpInfo]


@struct(name="cls_otp_get_current_time_op", version=1, compat=1)
class GetCurrentTimeOp(Struct):
    """Ask for the OSD's clock."""


@struct(name="cls_otp_get_current_time_reply", version=1, compat=1)
class GetCurrentTimeReply(Struct):
    """The OSD's clock."""

    time: UTime
