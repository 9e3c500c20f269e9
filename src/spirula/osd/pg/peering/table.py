"""The states of a PG, and what each does with each event (the pictures are in the package, in
`active` and in `replica_slots`).

An event that the innermost state does not list goes to the one around it; one that none lists is
ignored. Given to each PG by `create`; walked by `machine`. Upstream: `PeeringState.h`.
"""

from __future__ import annotations

from spirula.osd.pg import unfound
from spirula.osd.pg.peering import activate, active, primary, replica, replica_slots
from spirula.osd.pg.peering.machine import Rules
from spirula.osd.pg.peering.state import State

RULES = Rules(
    table={
        (State.RESET, "map"): replica.start,
        # --- not the primary ---
        (State.STRAY, "map"): replica.send_notify,
        (State.STRAY, "query"): replica.queried,
        (State.STRAY, "info"): replica.info_in_stray,
        (State.STRAY, "log"): replica.log_in_stray,
        (State.REPLICA_ACTIVE, "map"): replica.send_notify,
        (State.REPLICA_ACTIVE, "query"): replica.queried,
        (State.REPLICA_ACTIVE, "info"): replica.info_in_replica,
        (State.REPLICA_ACTIVE, "log"): replica.log_in_replica,
        (State.REPLICA_ACTIVE, "activate_committed"): activate.on_replica_committed,
        (State.REP_NOT_RECOVERING, "request_recovery"): replica_slots.request_recovery,
        (State.REP_NOT_RECOVERING, "request_backfill_slot"): replica_slots.request_backfill,
        (
            State.REP_WAIT_RECOVERY_RESERVED,
            "rep_recovery_reserved",
        ): replica_slots.recovery_reserved,
        (State.REP_WAIT_RECOVERY_RESERVED, "recovery_done"): replica_slots.released,
        (State.REP_WAIT_RECOVERY_RESERVED, "backfill_released"): replica_slots.released,
        (
            State.REP_WAIT_BACKFILL_RESERVED,
            "rep_backfill_reserved",
        ): replica_slots.backfill_reserved,
        (State.REP_WAIT_BACKFILL_RESERVED, "backfill_released"): replica_slots.released,
        (State.REP_RECOVERING, "recovery_done"): replica_slots.released,
        (State.REP_RECOVERING, "backfill_released"): replica_slots.released,
        (State.REP_RECOVERING, "rep_recovery_preempted"): replica_slots.recovery_preempted,
        (State.REP_RECOVERING, "rep_backfill_preempted"): replica_slots.backfill_preempted,
        (State.REP_RECOVERING, "backfill_too_full"): replica_slots.backfill_too_full,
        # --- the primary, before it serves ---
        (State.PEERING, "map"): primary.map_in_peering,
        (State.PEERING, "notify"): primary.notify_later,
        (State.GET_INFO, "notify"): primary.info_in_get_info,
        (State.GET_LOG, "map"): primary.map_in_get_log,
        (State.GET_LOG, "log"): primary.log_in_get_log,
        (State.GET_MISSING, "log"): primary.log_in_get_missing,
        (State.WAIT_UP_THRU, "map"): primary.map_in_wait_up_thru,
        (State.DOWN, "notify"): primary.notify_in_down,
        (State.INCOMPLETE, "map"): primary.map_in_incomplete,
        (State.INCOMPLETE, "notify"): primary.notify_in_incomplete,
        (State.WAIT_ACTING_CHANGE, "map"): primary.map_in_wait_acting_change,
        # --- the primary, serving ---
        (State.ACTIVE, "notify"): activate.notify_in_active,
        (State.ACTIVE, "info"): activate.on_replica_started,
        (State.ACTIVE, "log"): unfound.on_log,
        (State.ACTIVE, "map"): activate.map_in_active,
        (State.ACTIVE, "activate_committed"): activate.on_primary_committed,
        (State.ACTIVE, "all_replicas_activated"): activate.all_replicas_activated,
        (State.ACTIVATING, "do_recovery"): active.to(State.WAIT_LOCAL_RECOVERY_RESERVED),
        (State.ACTIVATING, "request_backfill"): active.to(State.WAIT_LOCAL_BACKFILL_RESERVED),
        (State.ACTIVATING, "all_replicas_recovered"): active.to(State.RECOVERED),
        (
            State.WAIT_LOCAL_RECOVERY_RESERVED,
            "local_recovery_reserved",
        ): active.local_recovery_reserved,
        (
            State.WAIT_REMOTE_RECOVERY_RESERVED,
            "remote_recovery_reserved",
        ): active.remote_recovery_reserved,
        (State.RECOVERING, "all_replicas_recovered"): active.all_replicas_recovered,
        (State.RECOVERING, "request_backfill"): active.request_backfill_in_recovering,
        (State.RECOVERING, "defer_recovery"): active.defer_recovery,
        (State.RECOVERING, "unfound_recovery"): active.unfound_recovery,
        (State.NOT_RECOVERING, "do_recovery"): active.to(State.WAIT_LOCAL_RECOVERY_RESERVED),
        (
            State.WAIT_LOCAL_BACKFILL_RESERVED,
            "local_backfill_reserved",
        ): active.local_backfill_reserved,
        (
            State.WAIT_REMOTE_BACKFILL_RESERVED,
            "remote_backfill_reserved",
        ): active.remote_backfill_reserved,
        (
            State.WAIT_REMOTE_BACKFILL_RESERVED,
            "backfill_rejected_too_full",
        ): active.backfill_rejected_too_full,
        (State.WAIT_REMOTE_BACKFILL_RESERVED, "backfill_revoked"): active.backfill_slot_revoked,
        (State.BACKFILLING, "backfilled"): active.backfilled,
        (State.BACKFILLING, "defer_backfill"): active.defer_backfill,
        (State.BACKFILLING, "unfound_backfill"): active.unfound_backfill,
        (State.BACKFILLING, "backfill_rejected_too_full"): active.backfill_revoked_too_full,
        (State.BACKFILLING, "backfill_revoked_too_full"): active.backfill_revoked_too_full,
        (State.BACKFILLING, "backfill_revoked"): active.backfill_revoked,
        (State.NOT_BACKFILLING, "request_backfill"): active.to(State.WAIT_LOCAL_BACKFILL_RESERVED),
        (State.RECOVERED, "go_clean"): active.to(State.CLEAN),
        (State.RECOVERED, "do_recovery"): active.to(State.WAIT_LOCAL_RECOVERY_RESERVED),
        (State.CLEAN, "do_recovery"): active.to(State.WAIT_LOCAL_RECOVERY_RESERVED),
    },
    on_enter={
        State.PEERING: primary.peering,
        State.GET_INFO: primary.get_info,
        State.GET_LOG: primary.get_log,
        State.GET_MISSING: primary.get_missing,
        State.WAIT_UP_THRU: primary.wait_up_thru,
        State.DOWN: primary.down,
        State.INCOMPLETE: primary.incomplete,
        State.ACTIVE: activate.activate_primary,
        State.WAIT_LOCAL_RECOVERY_RESERVED: active.wait_local_recovery,
        State.WAIT_REMOTE_RECOVERY_RESERVED: active.wait_remote_recovery,
        State.RECOVERING: active.recovering,
        State.NOT_RECOVERING: active.pausing,
        State.WAIT_LOCAL_BACKFILL_RESERVED: active.wait_local_backfill,
        State.WAIT_REMOTE_BACKFILL_RESERVED: active.wait_remote_backfill,
        State.BACKFILLING: active.backfilling,
        State.NOT_BACKFILLING: active.pausing,
        State.RECOVERED: active.recovered,
        State.CLEAN: active.clean,
    },
    on_exit={
        State.PEERING: primary.exit_peering,
        State.DOWN: primary.exit_down,
        State.INCOMPLETE: primary.exit_incomplete,
        State.REPLICA_ACTIVE: replica_slots.give_back,
        State.ACTIVE: active.exit_active,
        State.RECOVERING: active.exit_recovering,
        State.NOT_RECOVERING: active.exit_not_recovering,
        State.BACKFILLING: active.exit_backfilling,
        State.NOT_BACKFILLING: active.exit_not_backfilling,
        State.CLEAN: active.exit_clean,
    },
)
