#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"
#include "store/rows.h"
#include "store/store.h"

#define SLUG_MAX 50
#define COLUMNS "id, uuid, name, source, path, url, builds_count, last_build_id, created_at, slug, deleted_at"

static void fill(DbStmt *st, const void *mem, void *row) {
    Project *p = row;

    p->id = db_int(st, 0);
    p->uuid = row_text(st, 1, mem);
    p->name = row_text(st, 2, mem);
    p->source = row_text(st, 3, mem);
    p->path = row_text(st, 4, mem);
    p->url = row_text(st, 5, mem);
    p->builds_count = db_int(st, 6);
    p->last_build_id = db_int(st, 7);
    p->created_at = db_int(st, 8);
    p->slug = row_text(st, 9, mem);
    p->deleted_at = db_int(st, 10);
}

static char *slug_of(const char *name, const void *mem) {
    _cleanup_buf_ Buf slug = BUF_INIT;

    for (const char *c = name; *c && slug.len < SLUG_MAX; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9');

        if (plain)
            buf_addc(&slug, *c);
        else if (*c >= 'A' && *c <= 'Z')
            buf_addc(&slug, (char)(*c - 'A' + 'a'));
        else if (slug.len && slug.data[slug.len - 1] != '-')
            buf_addc(&slug, '-');
    }
    while (slug.len && slug.data[slug.len - 1] == '-')
        slug.len--;
    return slug.len ? buf_dup(&slug, mem) : mem_strdup(mem, "app");
}

/* 1.7 million endings: the second try is as good as sure. */
static int free_slug(Db *db, const char *name, const void *mem, const char **ret, Err *err) {
    const char *wish = slug_of(name, mem), *slug = wish;
    char ending[5];

    for (;;) {
        int64_t taken;
        int r = db_query_int(db, &taken, err, "SELECT COUNT(*) FROM project WHERE slug = ?1", "s", slug);

        if (r < 0)
            return r;
        if (!taken)
            break;
        id_random(ending, 4);
        slug = mem_printf(mem, "%s-%s", wish, ending);
    }
    *ret = slug;
    return 0;
}

int store_project_insert(Db *db, Project *p, const void *mem, Err *err) {
    const char *slug;
    int64_t id;
    int r = free_slug(db, p->name, mem, &slug, err);

    if (r < 0)
        return r;
    r = db_query_int(db, &id, err,
                     "INSERT INTO project (uuid, org_id, name, source, path, url, created_at, slug)"
                     " VALUES (?1, 1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING id",
                     "sssssis", p->uuid, p->name, p->source, p->path, p->url, p->created_at, slug);

    if (r == -ERR_EXISTS)
        return err_set(err, ERR_EXISTS, "a repository called '%s' exists already", p->name);
    if (r < 0)
        return r;
    p->id = id;
    p->slug = slug;
    return 0;
}

int store_project_by_name(Db *db, const char *name, const void *mem, Project **ret, Err *err) {
    return rows_one(db, mem, sizeof(Project), fill, "repository", ret, err,
                    "SELECT " COLUMNS " FROM project WHERE org_id = 1 AND name = ?1", "s", name);
}

int store_project_by_id(Db *db, int64_t id, const void *mem, Project **ret, Err *err) {
    return rows_one(db, mem, sizeof(Project), fill, "repository", ret, err,
                    "SELECT " COLUMNS " FROM project WHERE id = ?1", "i", id);
}

int store_project_by_uuid(Db *db, const char *uuid, const void *mem, Project **ret, Err *err) {
    return rows_one(db, mem, sizeof(Project), fill, "repository", ret, err,
                    "SELECT " COLUMNS " FROM project WHERE uuid = ?1", "s", uuid);
}

int store_project_delete(Db *db, int64_t id, const char *name, int64_t now, Err *err) {
    static const char *const gone[] = {
        "DELETE FROM ref WHERE project_id = ?1",
        "DELETE FROM secret WHERE project_id = ?1",
        "DELETE FROM pull_request WHERE project_id = ?1",
        "DELETE FROM flake WHERE project_id = ?1",
        "DELETE FROM cache WHERE project_id = ?1",
        "DELETE FROM timer WHERE kind = 'schedule' AND subject_id IN"
        " (SELECT id FROM schedule WHERE project_id = ?1)",
        "DELETE FROM schedule WHERE project_id = ?1",
        "UPDATE deployment SET status = 'superseded', message = 'its repository was deleted'"
        " WHERE project_id = ?1 AND status = 'live'",
    };
    int r = rows_update(db, err, "the repository is deleted already",
                        "UPDATE project SET name = ?2, source = 'remote', path = '', deleted_at = ?3"
                        " WHERE id = ?1 AND deleted_at = 0",
                        "isi", id, name, now);

    for (size_t i = 0; r >= 0 && i < ELEMENTS(gone); i++)
        r = db_exec(db, NULL, err, gone[i], "i", id);
    return r;
}

int store_project_free_slug(Db *db, int64_t id, Err *err) {
    return db_exec(db, NULL, err, "UPDATE project SET slug = uuid WHERE id = ?1 AND deleted_at > 0", "i", id);
}

int store_projects_leaving(Db *db, const void *mem, Project **ret, size_t *ret_count, Err *err) {
    return rows_all(db, mem, sizeof(Project), fill, ret, ret_count, err,
                    "SELECT " COLUMNS " FROM project WHERE deleted_at > 0 AND slug <> uuid ORDER BY id", "");
}

int store_projects(Db *db, const void *mem, Project **ret, size_t *ret_count, Err *err) {
    return rows_all(db, mem, sizeof(Project), fill, ret, ret_count, err,
                    "SELECT " COLUMNS " FROM project ORDER BY name", "");
}

int store_builds_total(Db *db, int64_t project_id, int64_t *ret, Err *err) {
    return db_query_int(db, ret, err,
                        "SELECT COALESCE(SUM(builds_count), 0) FROM project WHERE id = ?1 OR ?1 = 0", "i",
                        project_id);
}

/* ---- refs and triggers ---- */

static void fill_ref(DbStmt *st, const void *mem, void *row) {
    RefRow *ref = row;

    ref->name = row_text(st, 0, mem);
    ref->commit = row_text(st, 1, mem);
}

int store_ref_get(Db *db, int64_t project_id, const char *name, const void *mem, const char **ret_commit,
                  Err *err) {
    RefRow *row;
    int r = rows_one(db, mem, sizeof(RefRow), fill_ref, "ref", &row, err,
                     "SELECT name, commit_hash FROM ref WHERE project_id = ?1 AND name = ?2", "is",
                     project_id, name);

    if (r < 0 && r != -ERR_NOT_FOUND)
        return r;
    *ret_commit = r < 0 ? NULL : row->commit;
    return 0;
}

int store_ref_set(Db *db, int64_t project_id, const char *name, const char *commit, Err *err) {
    return db_exec(db, NULL, err,
                   "INSERT INTO ref (project_id, name, commit_hash, updated_at) VALUES (?1, ?2, ?3, ?4)"
                   " ON CONFLICT (project_id, name) DO UPDATE SET commit_hash = excluded.commit_hash,"
                   " updated_at = excluded.updated_at",
                   "issi", project_id, name, commit, clock_now());
}

int store_ref_delete(Db *db, int64_t project_id, const char *name, Err *err) {
    return db_exec(db, NULL, err, "DELETE FROM ref WHERE project_id = ?1 AND name = ?2", "is", project_id,
                   name);
}

int store_refs(Db *db, int64_t project_id, const void *mem, RefRow **ret, size_t *ret_count, Err *err) {
    return rows_all(db, mem, sizeof(RefRow), fill_ref, ret, ret_count, err,
                    "SELECT name, commit_hash FROM ref WHERE project_id = ?1 ORDER BY name", "i", project_id);
}

static void fill_facts(DbStmt *st, const void *mem, void *row) {
    *(const char **)row = row_text(st, 0, mem);
}

/* What rows_one has found of it, or not. */
static int facts_or_none(int r, const char *const *facts, const char **ret) {
    if (r < 0 && r != -ERR_NOT_FOUND)
        return r;
    *ret = r < 0 ? NULL : *facts;
    return 0;
}

int store_pull_get(Db *db, int64_t project_id, int64_t number, const void *mem, const char **ret_facts,
                   Err *err) {
    const char **facts = NULL;
    int r = rows_one(db, mem, sizeof(*facts), fill_facts, "pull request", &facts, err,
                     "SELECT facts FROM pull_request WHERE project_id = ?1 AND number = ?2", "ii", project_id,
                     number);

    return facts_or_none(r, facts, ret_facts);
}

int store_pull_put(Db *db, int64_t project_id, int64_t number, const char *facts, Err *err) {
    return db_exec(db, NULL, err,
                   "INSERT INTO pull_request (project_id, number, facts) VALUES (?1, ?2, ?3)"
                   " ON CONFLICT (project_id, number) DO UPDATE SET facts = excluded.facts",
                   "iis", project_id, number, facts);
}

int store_pull_delete(Db *db, int64_t project_id, int64_t number, Err *err) {
    return db_exec(db, NULL, err, "DELETE FROM pull_request WHERE project_id = ?1 AND number = ?2", "ii",
                   project_id, number);
}

int store_flake_get(Db *db, int64_t project_id, const void *mem, const char **ret_offers, Err *err) {
    const char **offers = NULL;
    int r = rows_one(db, mem, sizeof(*offers), fill_facts, "flake", &offers, err,
                     "SELECT offers FROM flake WHERE project_id = ?1", "i", project_id);

    return facts_or_none(r, offers, ret_offers);
}

int store_flake_put(Db *db, int64_t project_id, int64_t build_id, const char *offers, Err *err) {
    return db_exec(db, NULL, err,
                   "INSERT INTO flake (project_id, build_id, offers) VALUES (?1, ?2, ?3)"
                   " ON CONFLICT (project_id) DO UPDATE SET build_id = excluded.build_id,"
                   " offers = excluded.offers WHERE excluded.build_id >= flake.build_id",
                   "iis", project_id, build_id, offers);
}

int store_trigger_insert(Db *db, const Trigger *t, int64_t *ret_id, Err *err) {
    return db_query_int(
        db, ret_id, err,
        "INSERT INTO trigger_event (project_id, delivery, kind, ref, old_rev, new_rev, pusher, build_id,"
        " outcome, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) RETURNING id",
        "issssssisi", t->project_id, t->delivery, t->kind, t->ref, t->old_rev, t->new_rev, t->pusher,
        t->build_id, t->outcome, clock_now());
}

static void fill_trigger(DbStmt *st, const void *mem, void *row) {
    Trigger *t = row;

    t->build_id = db_int(st, 0);
    t->kind = row_text(st, 1, mem);
    t->old_rev = row_text(st, 2, mem);
    t->outcome = row_text(st, 3, mem);
}

int store_trigger_by_delivery(Db *db, int64_t project_id, const char *delivery, const void *mem,
                              Trigger **ret, Err *err) {
    return rows_one(db, mem, sizeof(Trigger), fill_trigger, "trigger", ret, err,
                    "SELECT build_id, kind, old_rev, outcome FROM trigger_event WHERE project_id = ?1"
                    " AND delivery = ?2",
                    "is", project_id, delivery);
}

int store_trigger_last(Db *db, int64_t project_id, const char *ref, const char *old_rev, const char *new_rev,
                       const void *mem, Trigger **ret, Err *err) {
    return rows_one(
        db, mem, sizeof(Trigger), fill_trigger, "trigger", ret, err,
        "SELECT build_id, kind, old_rev, outcome FROM trigger_event WHERE project_id = ?1 AND ref = ?2"
        " AND (?3 IS NULL OR old_rev = ?3) AND new_rev = ?4 AND old_rev <> ''"
        " AND kind IN ('push', 'tag', 'pull_request', 'found') ORDER BY id DESC LIMIT 1",
        "isss", project_id, ref, old_rev, new_rev);
}

static void fill_way(DbStmt *st, const void *mem, void *row) {
    TriggerWay *way = row;

    way->times = db_int(st, 0);
    way->reached = db_int(st, 1) + db_int(st, 3);
    way->left = db_int(st, 2);
}

#define MOVES                                                                                                \
    " FROM trigger_event WHERE project_id = ?1 AND ref = ?2 AND old_rev <> ''"                               \
    " AND kind IN ('push', 'tag', 'pull_request', 'found', 'delete')"

int store_trigger_way(Db *db, int64_t project_id, const char *ref, const char *old_rev, const char *new_rev,
                      const void *mem, TriggerWay *ret, Err *err) {
    TriggerWay *way;
    int r = rows_one(
        db, mem, sizeof(TriggerWay), fill_way, "trigger", &way, err,
        "SELECT (SELECT COUNT(*)" MOVES " AND old_rev = ?3 AND new_rev = ?4),"
        " (SELECT COUNT(*)" MOVES " AND new_rev = ?3), (SELECT COUNT(*)" MOVES " AND old_rev = ?3),"
        " COALESCE((SELECT CASE WHEN old_rev = ?3 THEN 1 ELSE 0 END" MOVES " ORDER BY id LIMIT 1), 0)",
        "isss", project_id, ref, old_rev, new_rev);

    if (r >= 0)
        *ret = *way;
    return r;
}
