/* Where jobs are queued: a row for each (fit, priority, project) exactly while a job of it is, so that a
 * claim looks at lanes and not at jobs. */
#include "store/lane.h"

#include "store/rows.h"

void lane_fill_key(DbStmt *st, const void *mem, void *row) {
    (void)mem;
    *(LaneKey *)row =
        (LaneKey){.fit_id = db_int(st, 0), .priority = db_int(st, 1), .project_id = db_int(st, 2)};
}

int lane_enter(Db *db, LaneKey key, Err *err) {
    return db_exec(db, NULL, err,
                   "INSERT INTO lane (fit_id, priority, project_id, served_at)"
                   " SELECT ?1, ?2, id, served_at FROM project WHERE id = ?3 ON CONFLICT DO NOTHING",
                   "iii", key.fit_id, key.priority, key.project_id);
}

int lane_leave(Db *db, LaneKey key, Err *err) {
    return db_exec(db, NULL, err,
                   "DELETE FROM lane WHERE fit_id = ?1 AND priority = ?2 AND project_id = ?3 AND NOT EXISTS"
                   " (SELECT 1 FROM job WHERE state = 'queued' AND fit_id = ?1 AND priority = ?2"
                   " AND project_id = ?3)",
                   "iii", key.fit_id, key.priority, key.project_id);
}

/* Later than every other's, also when the clock was set back or has not moved: else one project could be the
 * next for as long as that lasts. */
int lane_served(Db *db, int64_t project_id, int64_t now, Err *err) {
    int64_t newest;
    int r = db_query_int(db, &newest, err, "SELECT COALESCE(MAX(served_at), 0) FROM project", "");

    if (r < 0)
        return r;
    now = MAX(now, newest + 1);
    r = db_exec(db, NULL, err, "UPDATE project SET served_at = ?2 WHERE id = ?1", "ii", project_id, now);
    if (r < 0)
        return r;
    return db_exec(db, NULL, err, "UPDATE lane SET served_at = ?2 WHERE project_id = ?1", "ii", project_id,
                   now);
}

int store_lane_next_fit(Db *db, int64_t after, int64_t *ret, Err *err) {
    return db_query_int(db, ret, err, "SELECT COALESCE(MIN(fit_id), 0) FROM lane WHERE fit_id > ?1", "i",
                        after);
}

static void fill_head(DbStmt *st, const void *mem, void *row) {
    (void)mem;
    *(LaneHead *)row = (LaneHead){.fit_id = db_int(st, 0),
                                  .priority = db_int(st, 1),
                                  .project_id = db_int(st, 2),
                                  .served_at = db_int(st, 3),
                                  .job_id = db_int(st, 4)};
}

int store_lane_head(Db *db, int64_t fit_id, LaneHead *ret, Err *err) {
    _cleanup_talloc_ LaneHead *row = NULL;
    int r = rows_one(db, NULL, sizeof(LaneHead), fill_head, "lane", &row, err,
                     "SELECT l.fit_id, l.priority, l.project_id, l.served_at,"
                     " (SELECT MIN(j.id) FROM job j WHERE j.state = 'queued' AND j.fit_id = l.fit_id"
                     " AND j.priority = l.priority AND j.project_id = l.project_id)"
                     " FROM lane l WHERE l.fit_id = ?1"
                     " ORDER BY l.priority DESC, l.served_at, l.project_id LIMIT 1",
                     "i", fit_id);

    if (r < 0)
        return r;
    *ret = *row;
    return 0;
}

/* ---- how many come before a job ---- */

typedef struct Ahead {
    LaneKey lane;
    int64_t served_at; /* the lane's */
    int64_t count, limit;
} Ahead;

static void fill_place(DbStmt *st, const void *mem, void *row) {
    Ahead *a = row;

    lane_fill_key(st, mem, &a->lane);
    a->served_at = db_int(st, 3);
}

/* At most as many as are left until the limit, and as `most`. */
static int count_lane(Db *db, const Ahead *a, LaneKey lane, int64_t before_id, int64_t most, int64_t *ret,
                      Err *err) {
    return db_query_int(db, ret, err,
                        "SELECT COUNT(*) FROM (SELECT 1 FROM job WHERE state = 'queued' AND fit_id = ?1"
                        " AND priority = ?2 AND project_id = ?3 AND id < ?4 LIMIT ?5) AS q",
                        "iiiii", lane.fit_id, lane.priority, lane.project_id, before_id,
                        MIN(most, a->limit - a->count));
}

static int count_more_urgent(Db *db, Ahead *a, Err *err) {
    int64_t count;
    int r = db_query_int(db, &count, err,
                         "SELECT COUNT(*) FROM (SELECT 1 FROM job WHERE state = 'queued' AND fit_id = ?1"
                         " AND priority > ?2 LIMIT ?3) AS q",
                         "iii", a->lane.fit_id, a->lane.priority, a->limit - a->count);

    if (r < 0)
        return r;
    a->count += count;
    return 0;
}

/* As lane_order has it. */
static bool is_before(const Ahead *other, const Ahead *own) {
    return other->served_at != own->served_at ? other->served_at < own->served_at
                                              : other->lane.project_id < own->lane.project_id;
}

/* Until the job's turn every other project has as many turns as the job's own has before it, and those that
 * were served longer ago one more. */
static int count_others(Db *db, Ahead *a, int64_t turns, Err *err) {
    _cleanup_talloc_ TALLOC_CTX *mem = talloc_new(NULL);
    Ahead *others;
    size_t count;
    int r = rows_all(db, mem, sizeof(Ahead), fill_place, &others, &count, err,
                     "SELECT fit_id, priority, project_id, served_at FROM lane WHERE fit_id = ?1"
                     " AND priority = ?2 AND project_id <> ?3 ORDER BY served_at, project_id LIMIT ?4",
                     "iiii", a->lane.fit_id, a->lane.priority, a->lane.project_id, a->limit);

    for (size_t i = 0; r >= 0 && i < count; i++) {
        int64_t more = 0, most = turns + is_before(&others[i], a);

        r = count_lane(db, a, others[i].lane, INT64_MAX, most, &more, err);
        a->count += more;
    }
    return r;
}

int store_lane_ahead(Db *db, int64_t job_id, int64_t limit, int64_t *ret, Err *err) {
    _cleanup_talloc_ Ahead *a = NULL;
    int64_t own = 0;
    int r = rows_one(db, NULL, sizeof(Ahead), fill_place, "queued job", &a, err,
                     "SELECT l.fit_id, l.priority, l.project_id, l.served_at FROM job j JOIN lane l"
                     " ON l.fit_id = j.fit_id AND l.priority = j.priority AND l.project_id = j.project_id"
                     " WHERE j.id = ?1",
                     "i", job_id);

    if (r < 0)
        return r;
    a->limit = limit;
    r = count_lane(db, a, a->lane, job_id, limit, &own, err);
    a->count = own;
    if (r >= 0)
        r = count_more_urgent(db, a, err);
    if (r >= 0)
        r = count_others(db, a, own, err);
    if (r < 0)
        return r;
    *ret = a->count;
    return 0;
}
