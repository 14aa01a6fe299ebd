/* Inside the room: who changes a job's state keeps its lane. */
#pragma once

#include "store/store.h"

typedef struct LaneKey {
    int64_t fit_id, priority, project_id;
} LaneKey;

/* A job of the lane has been queued. */
_must_check_ int lane_enter(Db *db, LaneKey key, Err *err);
/* A job of the lane is queued no more; harmless when none was. */
_must_check_ int lane_leave(Db *db, LaneKey key, Err *err);
/* The project has had its turn: it is the last one now. */
_must_check_ int lane_served(Db *db, int64_t project_id, int64_t now, Err *err);
/* A RowFill of a LaneKey from the columns "fit_id, priority, project_id". */
void lane_fill_key(DbStmt *st, const void *mem, void *row);
