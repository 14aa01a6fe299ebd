/* The outbox: what is to be said or done when a build begins or ends. Rows wait beside their build, become
 * due in the transaction that begins or ends it, and are gone through until they are done. As in store.h. */
#pragma once

#include "store/store.h"

typedef struct Notice {
    int64_t id, build_id, attempts, due_at, done_at;
    const char *moment; /* "start", "success", "failure"; "end" both */
    const char *kind;   /* PlanNotice's, and "workspace": what jobs left for each other goes */
    const char *config; /* sealed */
    const char *state;  /* "waiting", "due", "sent", "failed", "dropped" (its moment did not come) */
    const char *error;  /* of the last attempt */
} Notice;
_must_check_ int store_notice_insert(Db *db, const Notice *n, Err *err);
/* Those of a build that repeats another one. */
_must_check_ int store_notices_copy(Db *db, int64_t from_build, int64_t to_build, Err *err);
/* The build has begun. *ret_count: how many are due now. */
_must_check_ int store_notices_begun(Db *db, int64_t build_id, int64_t now, int64_t *ret_count, Err *err);
/* The build has ended: those of the moment (NULL: neither) are due, the others dropped; "end" ones at end_at.
 */
_must_check_ int store_notices_ended(Db *db, int64_t build_id, const char *moment, int64_t now,
                                     int64_t end_at, int64_t *ret_count, Err *err);
_must_check_ int store_notices_of_build(Db *db, int64_t build_id, const void *mem, Notice **ret,
                                        size_t *ret_count, Err *err);
/* What is worked off one after the other; lanes do not wait for each other. */
typedef struct NoticeLane {
    int64_t project_id;
    const char *kind;
} NoticeLane;
/* Those in which something is due by `now`, by project and kind. */
_must_check_ int store_notice_lanes(Db *db, int64_t now, const void *mem, NoticeLane **ret, size_t *ret_count,
                                    Err *err);
/* What is due by `now` in a lane, the oldest first. */
_must_check_ int store_notices_due(Db *db, const NoticeLane *lane, int64_t now, int64_t limit,
                                   const void *mem, Notice **ret, size_t *ret_count, Err *err);
/* When the next becomes due after `now`; 0: none does. */
_must_check_ int store_notices_next(Db *db, int64_t now, int64_t *ret, Err *err);
/* The clock was set by so much. */
_must_check_ int store_notices_shift(Db *db, int64_t by, Err *err);
/* state "due": to be tried again at due_at. */
_must_check_ int store_notice_set(Db *db, int64_t id, const char *state, const char *error, int64_t due_at,
                                  int64_t now, Err *err);
