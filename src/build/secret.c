#include "build/secret.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "build/state.h"
#include "secret/needles.h"
#include "secret/ring.h"
#include "store/pipeline.h"
#include <inttypes.h>

#define NAME_MAX_LEN 100

/* What a sealed value is bound to: it opens nowhere else. */
static const char *place_of(int64_t project_id, const char *name, const void *mem) {
    return mem_printf(mem, "secret %" PRId64 "/%" PRId64 "/%s", STORE_DEFAULT_ORG, project_id, name);
}

/* ---- setting ---- */

static bool is_variable(const char *name) {
    size_t len = strlen(name);

    return len > 0 && len <= NAME_MAX_LEN && !(name[0] >= '0' && name[0] <= '9') &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") == len;
}

static int check_name(const char *name, Err *err) {
    static const char *const ours[] = {"CI", "PATH", "HOME", "LANG", "LD_PRELOAD", "LD_LIBRARY_PATH", NULL};

    if (!is_variable(name))
        return err_set(err, ERR_INVALID,
                       "\"%.100s\" is not the name of a secret: letters, digits and '_', no digit first, at "
                       "most %d (it becomes an environment variable)",
                       name, NAME_MAX_LEN);
    for (const char *const *our = ours; *our; our++)
        if (str_eq(name, *our) || str_after(name, "PELTON"))
            return err_set(err, ERR_INVALID, "%s is a variable of Pelton's own: take another name", name);
    return 0;
}

static int check_value(const char *name, const char *value, Err *err) {
    size_t len = strlen(value);

    if (len > SECRET_VALUE_MAX)
        return err_set(err, ERR_TOO_LARGE, "the value of %s has %zu bytes; at most %zu", name, len,
                       SECRET_VALUE_MAX);
    if (len < NEEDLE_MIN)
        return err_set(err, ERR_INVALID,
                       "the value of %s is too short to be hidden in logs: at least %d bytes", name,
                       NEEDLE_MIN);
    return 0;
}

static const char *warning_of(const char *value) {
    size_t len = strlen(value);

    if (needles_skip_lines(value, len))
        return "lines of it are short words, or shorter: logs show those where they stand by themselves";
    if (len < SECRET_SHORT)
        return "it is short: whatever else has these few characters is hidden in logs as well";
    return "";
}

static int count_free(Builds *b, const Secret *s, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    Secret *all;
    size_t count;
    int r = store_secrets(b->db, s->org_id, s->project_id, mem, &all, &count, err);

    if (r < 0 || count < SECRET_COUNT_MAX)
        return r;
    for (size_t i = 0; i < count; i++)
        if (str_eq(all[i].name, s->name))
            return 0;
    return err_set(err, ERR_TOO_LARGE, "there are %d secrets already; remove one first: pelton secret rm",
                   SECRET_COUNT_MAX);
}

typedef struct Change {
    Secret secret;
    const char *value; /* NULL: it is removed */
    const void *mem;
} Change;

/* Sealed within the transaction: a change of keys is before it or behind it. */
static int change_now(Builds *b, Change *c, Err *err) {
    Secret *s = &c->secret;
    int r;

    if (!c->value)
        return store_secret_delete(b->db, s->org_id, s->project_id, s->name, err);
    r = count_free(b, s, err);
    if (r < 0)
        return r;
    s->sealed = secret_seal(b->ring, c->mem, place_of(s->project_id, s->name, c->mem), c->value);
    return store_secret_put(b->db, s, err);
}

static int change(Builds *b, const Project *project, Change *c, Err *err) {
    int r = db_begin(b->db, err);

    if (r < 0)
        return r;
    c->secret.org_id = STORE_DEFAULT_ORG;
    c->secret.project_id = project ? project->id : 0;
    r = change_now(b, c, err);
    if (r >= 0)
        r = db_commit(b->db, err);
    db_rollback(b->db);
    return r;
}

int build_secret_set(Builds *b, const Project *project, const char *name, const char *value, const char *by,
                     const char **ret_warning, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    Change c = {
        .secret = {.name = name, .updated_by = by, .updated_at = clock_now()}, .value = value, .mem = mem};
    int r = check_name(name, err);

    if (r == 0)
        r = check_value(name, value, err);
    if (r == 0)
        r = change(b, project, &c, err);
    if (r < 0)
        return r;
    *ret_warning = warning_of(value);
    return 0;
}

int build_secret_remove(Builds *b, const Project *project, const char *name, Err *err) {
    Change c = {.secret = {.name = name}};

    return change(b, project, &c, err);
}

/* ---- other keys ---- */

static int reseal(Builds *b, const Secret *s, const void *mem, Err *err) {
    const char *place = place_of(s->project_id, s->name, mem);
    char *value = NULL;
    int r = secret_unseal(b->ring, mem, place, s->sealed, &value, err);

    return r < 0 ? r : store_secret_reseal(b->db, s->id, secret_seal(b->ring, mem, place, value), err);
}

static int reseal_all(Builds *b, size_t *ret_count, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    Secret *all;
    size_t count;
    int r = db_begin(b->db, err);

    if (r < 0)
        return r;
    r = store_secrets_all(b->db, mem, &all, &count, err);
    for (size_t i = 0; r >= 0 && i < count; i++)
        r = reseal(b, &all[i], mem, err);
    if (r >= 0)
        r = db_commit(b->db, err);
    db_rollback(b->db);
    if (r >= 0)
        *ret_count = count;
    return r;
}

/* The new key is in its file before it is used; the old ones stay there until nothing needs them. What is set
 * meanwhile is sealed with the new one. */
int build_secrets_rotate(Builds *b, size_t *ret_count, Err *err) {
    int r = secret_ring_add(b->ring, err);

    if (r == 0)
        r = reseal_all(b, ret_count, err);
    return r < 0 ? r : secret_ring_drop(b->ring, err);
}

/* ---- giving them to a job ---- */

/* The names in the specification, borrowed from *ret_spec; NULL: there are none. Most jobs have none, and
 * their specification is not read. */
static int names_of(const Job *job, json_t **ret_spec, json_t **ret, Err *err) {
    json_t *names = NULL;
    int r;

    if (!strstr(job->spec, "\"secrets\""))
        return 0;
    r = json_read(job->spec, strlen(job->spec), ret_spec, err);
    if (r == 0)
        r = json_opt_array(*ret_spec, "secrets", &names, err);
    if (r < 0)
        return err_wrap(err, "specification of job %s", job->name);
    *ret = json_array_size(names) ? names : NULL;
    return 0;
}

/* Whose secrets a build's jobs may name, the first one that has it: a stored pipeline's own, the project's,
 * the organisation's (0). */
typedef struct Owners {
    int64_t projects[3];
    size_t count;
} Owners;

static int owners_of(Builds *b, const Build *build, const void *mem, Owners *ret, Err *err) {
    Owners owners = {.count = 0};
    Execution *execution;
    Pipeline *pipeline;
    int r = store_execution_of_build(b->db, build->id, mem, &execution, err);

    if (r >= 0)
        r = store_pipeline_by_id(b->db, execution->pipeline_id, mem, &pipeline, err);
    if (r < 0 && r != -ERR_NOT_FOUND)
        return r;
    if (r >= 0)
        owners.projects[owners.count++] = pipeline->project_id;
    owners.projects[owners.count++] = build->project_id;
    owners.projects[owners.count++] = 0;
    *ret = owners;
    return 0;
}

static int find(Builds *b, const Owners *owners, const char *name, const void *mem, Secret **ret, Err *err) {
    int r = -ERR_NOT_FOUND;

    for (size_t i = 0; r == -ERR_NOT_FOUND && i < owners->count; i++)
        r = store_secret_load(b->db, STORE_DEFAULT_ORG, owners->projects[i], name, mem, ret, err);
    return r;
}

static int add(Builds *b, const Build *build, const Owners *owners, const char *name, const void *mem,
               JobSecret *ret, const char **ret_problem, Err *err) {
    Secret *found;
    char *value = NULL;
    int r = find(b, owners, name, mem, &found, err);

    if (r == -ERR_NOT_FOUND) {
        *ret_problem = mem_printf(
            mem,
            "there is no secret %s; set it: pelton secret set %s --repo %s (for pelton run: --secret-file)",
            name, name, build->project);
        return 0;
    }
    if (r >= 0)
        r = secret_unseal(b->ring, mem, place_of(found->project_id, name, mem), found->sealed, &value, err);
    if (r == -ERR_NOT_FOUND || r == -ERR_INVALID) {
        *ret_problem = mem_strdup(mem, err->msg);
        return 0;
    }
    *ret = (JobSecret){mem_strdup(mem, name), value};
    return r;
}

static int add_all(Builds *b, const json_t *names, const Build *build, const void *mem, JobSecret **ret,
                   size_t *ret_count, const char **ret_problem, Err *err) {
    JobSecret *secrets = NULL, one = {"", ""};
    size_t i, count = 0, total = 0;
    Owners owners;
    json_t *name;
    int r = owners_of(b, build, mem, &owners, err);

    if (r < 0)
        return r;
    json_array_foreach (names, i, name) {
        if (!json_is_string(name)) {
            *ret_problem = "its secrets are not a list of names";
            return 0;
        }
        r = add(b, build, &owners, json_string_value(name), mem, &one, ret_problem, err);
        if (r < 0 || *ret_problem)
            return r;
        total += strlen(one.value);
        if (total > SECRET_JOB_MAX) {
            *ret_problem = mem_printf(mem, "its secrets have more than %zu bytes together", SECRET_JOB_MAX);
            return 0;
        }
        mem_append(mem, secrets, count, one);
    }
    *ret = secrets;
    *ret_count = count;
    return 0;
}

int secrets_of_job(Builds *b, const Job *job, const Build *build, const void *mem, JobSecret **ret,
                   size_t *ret_count, const char **ret_problem, Err *err) {
    _cleanup_json_ json_t *spec = NULL;
    json_t *names = NULL;
    int r = names_of(job, &spec, &names, err);

    *ret_problem = NULL;
    if (r == -ERR_INVALID) { /* one job that cannot be read does not keep the others from being given */
        *ret_problem = mem_strdup(mem, err->msg);
        return 0;
    }
    if (r < 0 || !names)
        return r;
    return add_all(b, names, build, mem, ret, ret_count, ret_problem, err);
}
