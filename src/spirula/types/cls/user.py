"""The object class `user`: the buckets of an RGW user, with their sums, in an object's omap.

Layouts of its methods' arguments and results, and of the stored entries and header. Also the
account resources of releases from 19 on. Formats: upstream `src/cls/user/cls_user_types.h`,
`cls_user_ops.h`.
"""

from __future__ import annotations

from spirula.denc import (
    Struct,
    Vec,
    blob,
    boolean,
    removed,
    s32,
    since,
    string,
    struct,
    u32,
    u64,
    until,
    when,
)
from spirula.types.base import UTime


@struct(
    name="cls_user_bucket",
    version=7,
    compat=3,
    raised=("placement_id", 9, 8),
    legacy=(3, 3),
)
class UserBucket(Struct):
    """A bucket's name and where it is kept: by a placement rule, or by explicit pools.

    Encoded in the old way, with pools, while there is no placement rule, because that way RGWs
    read it that know no rules. `bucket_number` stood for `bucket_id` in the first releases, which
    had one pool for all. The last three fields are where struct version 8 kept the pools.
    """

    name: string
    data_pool: string = until(8)
    marker: string = since(2)
    bucket_number: u64 = until(4, since=2)
    bucket_id: string = since(4)
    index_pool: string = until(8, since=5)
    data_extra_pool: string = until(8, since=7)
    placement_id: string = since(8)
    explicit_data_pool: string = when("v == 8 and not placement_id")
    explicit_index_pool: string = when("v == 8 and not placement_id")
    explicit_data_extra_pool: string = when("v == 8 and not placement_id")


@struct(name="cls_user_bucket_entry", version=9, compat=5, legacy=(5, 5))
class UserBucketEntry(Struct):
    """A bucket of a user, with its size as last synchronized.

    `creation_time_s` is the whole seconds of `creation_time`, for releases before struct version 7.
    """

    old_name: string = removed()
    size: u64
    creation_time_s: u32
    count: u64 = since(2)
    bucket: UserBucket = since(3)
    size_rounded: u64 = since(4)
    user_stats_sync: boolean = since(6)
    creation_time: UTime = since(7)
    placement_rule: string = until(9, since=8)


@struct(name="cls_user_stats", version=1, compat=1)
class UserStats(Struct):
    """Sums over a user's buckets; rounded bytes are in whole 4 KiB."""

    total_entries: u64
    total_bytes: u64
    total_bytes_rounded: u64


@struct(name="cls_user_header", version=1, compat=1)
class UserHeader(Struct):
    """The sums, when all buckets were last synchronized, and when one last was."""

    stats: UserStats
    last_stats_sync: UTime
    last_stats_update: UTime


@struct(name="cls_user_set_buckets_op", version=1, compat=1)
class SetBucketsOp(Struct):
    """Set buckets' entries, or with `add` add to their sums."""

    entries: Vec[UserBucketEntry]
    add: boolean
    time: UTime


@struct(name="cls_user_remove_bucket_op", version=1, compat=1)
class RemoveBucketOp(Struct):
    """Remove a bucket's entry."""

    bucket: UserBucket


@struct(name="cls_user_list_buckets_op", version=2, compat=1)
class ListBucketsOp(Struct):
    """Ask for the entries between two markers."""

    marker: string
    max_entries: s32
    end_marker: string = since(2)


@struct(name="cls_user_list_buckets_ret", version=1, compat=1)
class ListBucketsRet(Struct):
    """Entries, and the marker to go on from where there are more."""

    entries: Vec[UserBucketEntry]
    marker: string
    truncated: boolean


@struct(name="cls_user_get_header_op", version=1, compat=1)
class GetHeaderOp(Struct):
    """Ask for the header."""


@struct(name="cls_user_get_header_ret", version=1, compat=1)
class GetHeaderRet(Struct):
    """The header."""

    header: UserHeader


@struct(name="cls_user_reset_stats_op", version=1, compat=1)
class ResetStatsOp(Struct):
    """Compute the sums anew, in one go."""

    time: UTime


@struct(name="cls_user_reset_stats2_op", version=1, compat=1)
class ResetStats2Op(Struct):
    """Compute the sums anew, going on from `marker` with what was summed so far."""

    time: UTime
    marker: string
    acc_stats: UserStats


@struct(name="cls_user_reset_stats2_ret", version=1, compat=1)
class ResetStats2Ret(Struct):
    """What was summed so far, and where to go on."""

    marker: string
    acc_stats: UserStats
    truncated: boolean


@struct(name="cls_user_complete_stats_sync_op", version=1, compat=1)
class CompleteStatsSyncOp(Struct):
    """Note that all buckets have been synchronized."""

    time: UTime


@struct(name="cls_user_account_header", version=1, compat=1)
class AccountHeader(Struct):
    """How many resources of a kind (users, groups, roles, ...) an account has."""

    count: u32


@struct(name="cls_user_account_resource", version=1, compat=1)
class AccountResource(Struct):
    """A resource of an account, stored by its name; `metadata` is RGW's."""

    name: string
    path: string
    metadata: blob


@struct(name="cls_user_account_resource_add_op", version=1, compat=1)
class AccountResourceAddOp(Struct):
    """Add a resource; `exclusive` refuses a name that exists, `limit` a further resource."""

    entry: AccountResource
    exclusive: boolean
    limit: u32


@struct(name="cls_user_account_resource_get_op", version=1, compat=1)
class AccountResourceGetOp(Struct):
    """Ask for a resource by its name."""

    name: string


@struct(name="cls_user_account_resource_get_ret", version=1, compat=1)
class AccountResourceGetRet(Struct):
    """The resource."""

    entry: AccountResource


@struct(name="cls_user_account_resource_rm_op", version=1, compat=1)
class AccountResourceRmOp(Struct):
    """Remove a resource by its name."""

    name: string


@struct(name="cls_user_account_resource_list_op", version=1, compat=1)
class AccountResourceListOp(Struct):
    """Ask for the resources after `marker` whose path begins so."""

    marker: string
    path_prefix: string
    max_entries: u32


@struct(name="cls_user_account_resource_list_ret", version=1, compat=1)
class AccountResourceListRet(Struct):
    """Resources, and the marker to go on from where there are more."""

    entries: Vec[AccountResource]
    truncated: boolean
    marker: string
