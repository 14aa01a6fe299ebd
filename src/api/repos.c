/* /api/repos (contracts/git-ci.md; document 3): hosted repositories. */
#include "api/finished.h"
#include "api/render.h"

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/str.h"
#include "build/remove.h"
#include "git/git.h"
#include <inttypes.h>
#include <unistd.h>

#define MAX_NAME 100
#define RECENT 10

static const char *host_name(HttpRequest *req) {
    char *name = mem_array(http_mem(req), char, 256);

    return gethostname(name, 255) < 0 ? "localhost" : name;
}

static const char *clone_url(HttpRequest *req, const Project *p) {
    return mem_printf(http_mem(req), "%s/git/%s.git", api_of(req)->url, p->name);
}

static void render_urls(HttpRequest *req, JsonWriter *w, const Project *p) {
    const char *git_url = mem_printf(http_mem(req), "git@%s:%s", host_name(req), p->path);

    jw_str(w, "name", p->name);
    jw_str(w, "path", p->path);
    jw_str(w, "git_url", git_url);
    jw_str(w, "ssh_url", git_url);
    jw_str(w, "clone_url", clone_url(req, p));
}

static int render_last(HttpRequest *req, JsonWriter *w, const Project *p, Err *err) {
    Build *last;
    int r;

    if (!p->last_build_id) {
        jw_null(w, "last_build");
        return 0;
    }
    r = store_build_load(api_of(req)->builds->db, p->last_build_id, http_mem(req), &last, err);
    if (r >= 0)
        render_build(w, "last_build", last);
    return r;
}

static int list(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    Project *projects;
    size_t count;
    int r = store_projects(api_of(req)->builds->db, http_mem(req), &projects, &count, err);

    jw_array(&w, NULL);
    for (size_t i = 0; r >= 0 && i < count; i++) {
        if (str_empty(projects[i].path))
            continue;
        jw_object(&w, NULL);
        jw_str(&w, "name", projects[i].name);
        jw_str(&w, "path", projects[i].path);
        jw_str(&w, "clone_url", clone_url(req, &projects[i]));
        jw_int(&w, "builds_count", projects[i].builds_count);
        r = render_last(req, &w, &projects[i], err);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    if (r < 0)
        return r;
    http_reply_json(req, 200, &out);
    return 0;
}

/* Of a path, a URL and a host name: so no other letters, and nothing that is taken for an option. */
static bool name_ok(const char *name) {
    size_t len = strlen(name);

    for (const char *p = name; *p; p++)
        if (!(*p == '-' || *p == '_' || (*p >= '0' && *p <= '9') || (*p >= 'A' && *p <= 'Z') ||
              (*p >= 'a' && *p <= 'z')))
            return false;
    return len > 0 && len <= MAX_NAME && *name != '-';
}

/* The folder first, the row second: nobody else who writes has to wait for its files. A folder that is there
 * already (a crash between the two, two calls at once, or a repository brought along) is kept as it is and
 * gets our hook; the row decides whose the name is. */
static int make(Api *api, const Project *p, Err *err) {
    int r = git_repo_create(p->path, api->program, api->state, api->repo_group, err);

    return r == -ERR_EXISTS ? git_hook_install(p->path, api->program, api->state, err) : r;
}

static int insert(Api *api, Project *p, const void *mem, Err *err) {
    Db *db = api->builds->db;
    Project *known;
    int r = store_project_by_name(db, p->name, mem, &known, err);

    if (r >= 0)
        return err_set(err, ERR_EXISTS, "a repository called '%s' exists already", p->name);
    if (r == -ERR_NOT_FOUND)
        r = make(api, p, err);
    if (r >= 0)
        r = db_begin(db, err);
    if (r < 0)
        return r;
    r = store_project_insert(db, p, mem, err);
    if (r >= 0)
        r = db_commit(db, err);
    db_rollback(db);
    return r;
}

static int create(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    Api *api = api_of(req);
    char uuid[ID_UUID_SIZE];
    Project p = {.uuid = uuid, .source = "hosted", .url = "", .created_at = clock_now()};
    json_t *body;
    int r = http_body_json(req, false, &body, err);

    if (r < 0)
        return r;
    r = json_get_str(body, "name", &p.name, err);
    if (r < 0)
        return reply_unprocessable(req, err);
    if (!name_ok(p.name))
        return err_set(err, ERR_INVALID,
                       "Invalid repo name. Use only alphanumeric, dash, and underscore: a to z, A to Z, 0 to "
                       "9, - and _, no dash first, at most %d",
                       MAX_NAME);
    id_uuid(uuid);
    p.path = mem_printf(http_mem(req), "%s/%s.git", api->repos, p.name);
    r = insert(api, &p, http_mem(req), err);
    if (r < 0)
        return err_wrap(err, "create repository");
    log_info("api", "repository %s created", p.name);
    jw_object(&w, NULL);
    render_urls(req, &w, &p);
    jw_end_object(&w);
    http_reply_json(req, 201, &out);
    return 0;
}

#define REMOVE_WAIT (60 * US_PER_S) /* a cancelled job has its grace, and a lost one its lease */

static int remove_repo(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    Api *api = api_of(req);
    RepoRemoval removal = {.by = ((Principal *)http_principal(req))->name, .wait_us = REMOVE_WAIT};
    const char *history;
    Project *project;
    int r = http_query_bool(req, "force", &removal.force, err);

    if (r >= 0)
        r = load_repository(req, http_param(req, "name"), &project, err);
    if (r < 0)
        return r;
    removal.project = project;
    r = build_repo_remove(api->builds, &removal, http_mem(req), &history, err);
    if (r < 0)
        return r;
    finished_clear(api->finished);
    jw_object(&w, NULL);
    jw_str(&w, "name", project->name);
    jw_str(&w, "builds", history);
    jw_int(&w, "builds_count", project->builds_count);
    jw_end_object(&w);
    http_reply_json(req, 200, &out);
    return 0;
}

static void render_setup(HttpRequest *req, JsonWriter *w, const Project *p) {
    const void *mem = http_mem(req);
    const char *url = clone_url(req, p);

    jw_object(w, "setup_instructions");
    jw_array(w, "new_repo");
    jw_str(w, NULL, mem_printf(mem, "git clone %s", url));
    jw_str(w, NULL, mem_printf(mem, "cd %s", p->name));
    jw_str(w, NULL, "git switch -c main");
    jw_str(w, NULL, "git push -u origin main");
    jw_end_array(w);
    jw_array(w, "existing_repo");
    jw_str(w, NULL, mem_printf(mem, "git remote add pelton %s", url));
    jw_str(w, NULL, "git push -u pelton main");
    jw_end_array(w);
    jw_end_object(w);
}

/* ---- what a flake offers ---- */

static void render_names(JsonWriter *w, const json_t *flake, const char *key) {
    const json_t *name;
    size_t i;

    jw_array(w, key);
    json_array_foreach (json_object_get(flake, key), i, name)
        if (json_is_string(name))
            jw_str(w, NULL, json_string_value(name));
    jw_end_array(w);
}

/* Only what it should hold: a job could have written it itself. */
static void render_flake(JsonWriter *w, const json_t *flake) {
    static const char *const lists[] = {"packages", "checks", "apps", "dev_shells", "nixos_modules"};

    jw_object(w, "flake_metadata");
    jw_str(w, "description", json_string_value(json_object_get(flake, "description")));
    for (size_t i = 0; i < ELEMENTS(lists); i++)
        render_names(w, flake, lists[i]);
    jw_end_object(w);
}

static int render_flake_of(HttpRequest *req, JsonWriter *w, const Project *p, Err *err) {
    _cleanup_json_ json_t *flake = NULL;
    const char *offers;
    int r = store_flake_get(api_of(req)->builds->db, p->id, http_mem(req), &offers, err);

    if (r >= 0 && offers)
        r = json_read(offers, strlen(offers), &flake, err);
    if (r < 0)
        return r;
    if (flake)
        render_flake(w, flake);
    else
        jw_null(w, "flake_metadata");
    return 0;
}

/* ---- one repository ---- */

static void render_schedules(JsonWriter *w, const Schedule *schedules, size_t count) {
    jw_array(w, "schedules");
    for (size_t i = 0; i < count; i++) {
        const Schedule *s = &schedules[i];

        jw_object(w, NULL);
        jw_str(w, "name", s->name);
        jw_str(w, "cron", s->cron);
        jw_str(w, "timezone", s->timezone);
        jw_time(w, "next_at", s->next_at);
        jw_time(w, "last_at", s->last_at);
        if (s->last_build_id)
            jw_int(w, "last_build", s->last_build_id);
        else
            jw_null(w, "last_build");
        jw_str(w, "message", s->message);
        jw_end_object(w);
    }
    jw_end_array(w);
}

static int show(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    Db *db = api_of(req)->builds->db;
    Schedule *schedules;
    Build *builds;
    Project *p;
    size_t count, schedule_count;
    int r = load_repository(req, http_param(req, "name"), &p, err);

    if (r >= 0)
        r = store_builds(db, p->id, 0, RECENT, http_mem(req), &builds, &count, err);
    if (r >= 0)
        r = store_schedules(db, p->id, http_mem(req), &schedules, &schedule_count, err);
    if (r < 0)
        return r;
    jw_object(&w, NULL);
    render_urls(req, &w, p);
    jw_int(&w, "builds_count", p->builds_count);
    jw_array(&w, "recent_builds");
    for (size_t i = 0; i < count; i++)
        render_build(&w, NULL, &builds[i]);
    jw_end_array(&w);
    render_schedules(&w, schedules, schedule_count);
    render_setup(req, &w, p);
    r = render_flake_of(req, &w, p, err);
    if (r < 0)
        return r;
    jw_end_object(&w);
    http_reply_json(req, 200, &out);
    return 0;
}

/* ---- git over HTTP ---- */

/* 1: answered. Git shows its user a line of plain text, and nothing else. */
static int refuse_without_room(HttpRequest *req, Err *err) {
    int r = disk_check(&api_of(req)->builds->disk, err);

    if (r == 0)
        return 0;
    http_reply_text(req, http_status_of(err->code), mem_printf(http_mem(req), "%s\n", err->msg));
    return 1;
}

/* A pack larger than the room that there is is refused by git, before it is kept (git-config(1),
 * receive.maxInputSize). */
static const char *input_limit(HttpRequest *req) {
    uint64_t room = MIN(disk_room(&api_of(req)->builds->disk), (uint64_t)INT64_MAX);

    return mem_printf(http_mem(req), "GIT_CONFIG_PARAMETERS='receive.maxinputsize=%" PRIu64 "'",
                      MAX(room, UINT64_C(1)));
}

static int serve(HttpRequest *req, unsigned needed, Err *err) {
    const Principal *who = http_principal(req);
    const char *folder = http_param(req, "repo");
    char *name = mem_strdup(http_mem(req), folder);
    const char *env[] = {mem_printf(http_mem(req), "PELTON_PUSHER=%s", who->name), input_limit(req), NULL};
    const char *rest = http_param(req, "rest");
    Builds *b = api_of(req)->builds;
    uint64_t heard;
    Project *p;
    int r;

    if (str_ends(name, ".git"))
        name[strlen(name) - 4] = '\0';
    r = load_repository(req, name, &p, err);
    if (r < 0)
        return r;
    if (!(who->roles & needed))
        return err_set(err, ERR_FORBIDDEN, "the token '%s' (role %s) may not push", who->name, who->role);
    r = needed & ROLE_WRITE ? refuse_without_room(req, err) : 0;
    if (r != 0)
        return MIN(r, 0);
    heard = build_pushes_heard(b, p->id);
    r = git_serve_http(req, p->path, rest, who->name, env, err);
    if (str_eq(rest, "git-receive-pack") && build_pushes_heard(b, p->id) == heard)
        build_compare_ask(b, p->id);
    return r;
}

static bool is_push(const HttpRequest *req) {
    const char *service = http_query(req, "service");

    return str_eq(http_param(req, "rest"), "git-receive-pack") || str_eq(service, "git-receive-pack");
}

static int git(HttpRequest *req, Err *err) {
    return serve(req, is_push(req) ? ROLE_WRITE : ROLE_READ | ROLE_RUNNER, err);
}

#define GIT_ROLES (ROLE_READ | ROLE_WRITE | ROLE_RUNNER)

const HttpRoute api_repos[] = {
    {.method = HTTP_GET,
     .path = "/api/repos",
     .family = &family_git_ci,
     .roles = ROLE_READ,
     .handle = list,
     .tag = "repositories",
     .summary = "The hosted repositories",
     .answer = "[RepositoryListed]"},
    {.method = HTTP_POST,
     .path = "/api/repos",
     .family = &family_git_ci,
     .roles = ROLE_WRITE,
     .grows = true,
     .mode = HTTP_THREADED,
     .handle = create,
     .accept = JSON,
     .tag = "repositories",
     .summary = "Create a hosted repository",
     .status = 201,
     .request = "{\"type\":\"object\",\"required\":[\"name\"],\"properties\":{\"name\":{\"type\":\"string\","
                "\"pattern\":"
                "\"^[A-Za-z0-9_][A-Za-z0-9_-]*$\",\"maxLength\":100}}}",
     .answer = "Repository"},
    {.method = HTTP_GET,
     .path = "/api/repos/{name}",
     .family = &family_git_ci,
     .roles = ROLE_READ,
     .handle = show,
     .tag = "repositories",
     .summary = "A repository, its newest builds, its schedules, how to push to it",
     .answer = "RepositoryWhole"},
    {.method = HTTP_DELETE,
     .path = "/api/repos/{name}",
     .family = &family_git_ci,
     .roles = ROLE_ADMIN,
     .mode = HTTP_THREADED,
     .handle = remove_repo,
     .tag = "repositories",
     .summary = "Delete a repository, its secrets, caches and schedules; its builds stay, under the name in "
                "\"builds\"",
     .query = "force: cancel what has not ended, and take off what is live",
     .answer = "(name:text builds:text builds_count:int)"},
    {.method = HTTP_GET,
     .path = "/git/{repo}/{rest*}",
     .roles = GIT_ROLES,
     .mode = HTTP_THREADED,
     .handle = git,
     .tag = "git",
     .summary = "Git's smart HTTP protocol; the token is the password"},
    {.method = HTTP_POST,
     .path = "/git/{repo}/{rest*}",
     .roles = GIT_ROLES,
     .mode = HTTP_THREADED,
     .handle = git,
     .tag = "git",
     .max_body = UINT64_MAX,
     .summary = "Git's smart HTTP protocol; the token is the password"},
    {0},
};
