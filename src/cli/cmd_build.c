#include "base/clock.h"
#include "base/str.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/follow.h"
#include "cli/start.h"
#include "cli/table.h"

#include <inttypes.h>

/* ---- build start ---- */

typedef struct StartOptions {
    const char *ref;
    const char **env, **inputs, **jobs;
    bool follow;
} StartOptions;

static const Setting start_flags[] = {
    {.name = "ref",
     .type = SETTING_STRING,
     .offset = offsetof(StartOptions, ref),
     .arg = "REF",
     .help = "branch, tag or commit (default: the repository's own branch)"},
    {.name = "env",
     .type = SETTING_WORDS,
     .offset = offsetof(StartOptions, env),
     .arg = "K=V",
     .help = "a variable for the jobs; may be repeated"},
    {.name = "input",
     .type = SETTING_WORDS,
     .offset = offsetof(StartOptions, inputs),
     .arg = "K=V",
     .help = "an input of the pipeline; may be repeated"},
    {.name = "job",
     .type = SETTING_WORDS,
     .offset = offsetof(StartOptions, jobs),
     .arg = "NAME",
     .help = "only this job, all of its matrix, and what it needs; may be repeated"},
    {.name = "follow",
     .type = SETTING_BOOL,
     .offset = offsetof(StartOptions, follow),
     .help = "show the log until the build ends; exit 1 when it fails"},
};

static int start_run(Cli *cli, void *arg, Err *err) {
    const StartOptions *options = arg;
    StartBody start = {
        .ref = options->ref, .env = options->env, .inputs = options->inputs, .jobs = options->jobs};
    const char *path =
        mem_printf(cli->mem, "/api/repos/%s/builds", str_url_encode(cli->mem, cli->args[0], false));
    _cleanup_json_ json_t *answer = NULL;
    _cleanup_buf_ Buf body = BUF_INIT;
    int r = start_body(&start, &body, err);

    if (r >= 0)
        r = cli_request_once(cli, path, &body, &answer, err);
    return r < 0 ? r : follow_started(cli, answer, options->follow, err);
}

/* ---- builds ---- */

typedef struct BuildsOptions {
    const char *repo;
    int64_t limit;
} BuildsOptions;

static const Setting builds_flags[] = {
    {.name = "repo",
     .type = SETTING_STRING,
     .offset = offsetof(BuildsOptions, repo),
     .arg = "NAME",
     .help = "only those of the repository"},
    {.name = "limit",
     .type = SETTING_INT,
     .offset = offsetof(BuildsOptions, limit),
     .min = 1,
     .max = 100, /* what the server gives at a time */
     .fallback = "20",
     .arg = "N",
     .help = "how many"},
};

static bool any_waits(json_t *builds) {
    json_t *build;
    size_t i;

    json_array_foreach (builds, i, build)
        if (*field_text(NULL, build, "waiting"))
            return true;
    return false;
}

static void build_row(Cli *cli, Table *table, const json_t *build, bool waits, int64_t now) {
    const char *status = field_status(cli->mem, build);

    table_cell(table, STYLE_BOLD, field_text(cli->mem, build, "id"));
    table_cell(table, STYLE_PLAIN, field_text(cli->mem, build, "repo"));
    table_cell(table, status_style(status), status);
    table_cell(table, STYLE_DIM, time_ago(cli->mem, field_time(build, "created_at"), now));
    table_cell(table, STYLE_PLAIN, field_duration(cli->mem, build, now));
    table_cell(table, STYLE_PLAIN, field_text(cli->mem, build, "commit_short"));
    table_cell(table, STYLE_PLAIN, field_text(cli->mem, build, "branch"));
    if (waits)
        table_cell(table, STYLE_DIM, field_text(cli->mem, build, "waiting"));
}

static int builds_run(Cli *cli, void *arg, Err *err) {
    static const char *const headers[] = {"BUILD", "REPO",   "STATUS", "STARTED",
                                          "TOOK",  "COMMIT", "BRANCH", NULL};
    static const char *const with_why[] = {"BUILD",  "REPO",   "STATUS", "STARTED", "TOOK",
                                           "COMMIT", "BRANCH", "WAITS",  NULL};
    const BuildsOptions *options = arg;
    const char *path = mem_printf(cli->mem, "/api/builds?waiting=1&limit=%" PRId64 "%s%s", options->limit,
                                  options->repo ? "&repo=" : "",
                                  options->repo ? str_url_encode(cli->mem, options->repo, false) : "");
    _cleanup_json_ json_t *answer = NULL;
    _cleanup_buf_ Buf out = BUF_INIT;
    json_t *builds = NULL, *build;
    Table *table;
    bool waits;
    size_t i;
    int r = cli_request(cli, "GET", path, NULL, &answer, err);

    if (r < 0)
        return r;
    if (cli->json)
        return cli_print_json(cli, answer, err);
    r = cli_answer_array(answer, "builds", &builds, err);
    if (r < 0)
        return r;
    waits = any_waits(builds);
    table = table_new(cli->mem, waits ? with_why : headers);
    json_array_foreach (builds, i, build) {
        build_row(cli, table, build, waits, clock_now());
    }
    table_print(table, &cli->out, &out);
    if (json_array_size(builds) == 0)
        cli_note(cli, "no builds yet; start one: pelton build start REPO");
    return cli_print(&out, err);
}

/* ---- build show ---- */

static void show_line(Cli *cli, Buf *out, const char *title, const char *text) {
    if (!*text)
        return;
    buf_addf(out, "  %-9s%s\n", title, text_clean_lines(cli->mem, text, "           "));
}

/* "7 into main: Faster start, by ann" */
static void show_pull(Cli *cli, const json_t *build, Buf *out) {
    const json_t *pull = json_object_get(build, "pull_request");
    const char *title = field_text(cli->mem, pull, "title"), *author = field_text(cli->mem, pull, "author");

    if (!json_is_object(pull))
        return;
    show_line(cli, out, "pull",
              mem_printf(cli->mem, "%s into %s%s%s%s%s", field_text(cli->mem, pull, "number"),
                         field_text(cli->mem, pull, "target"), *title ? ": " : "", title,
                         *author ? ", by " : "", author));
    if (json_is_true(json_object_get(build, "untrusted")))
        show_line(cli, out, "trust", "none: it is from a fork, and nobody has approved it");
    if (*field_text(cli->mem, build, "approved_by"))
        show_line(cli, out, "trust",
                  mem_printf(cli->mem, "approved by %s", field_text(cli->mem, build, "approved_by")));
}

/* Of the pushed commit, in words; "" where there is none, or nobody has looked. The letters are git's
 * (git-log(1), %G?). */
static const char *signature_text(Cli *cli, const json_t *build) {
    static const struct {
        const char *status, *words;
    } all[] = {
        {"G", "good"},
        {"U", "good, by a key that nobody here trusts"},
        {"X", "good, and has expired"},
        {"Y", "good, by a key that has expired"},
        {"R", "good, by a key that was revoked"},
        {"B", "BAD: the commit is not what was signed"},
        {"E", "not checked: the key is not known here"},
    };
    const char *status = field_text(cli->mem, build, "gpg_status");
    const char *key = field_text(cli->mem, build, "gpg_key");
    const char *by = field_text(cli->mem, build, "gpg_signer");

    for (size_t i = 0; i < ELEMENTS(all); i++)
        if (str_eq(all[i].status, status))
            return mem_printf(cli->mem, "%s%s%s%s%s", all[i].words, *by ? ", " : "", by, *key ? ", key " : "",
                              key);
    return "";
}

static void show_head(Cli *cli, const json_t *build, Buf *out) {
    const char *status = field_status(cli->mem, build), *url = field_text(cli->mem, build, "url");
    const char *ref = field_text(cli->mem, build, "ref"), *message = field_text(cli->mem, build, "message");
    const char *title = mem_printf(cli->mem, "Build %s of %s  ", field_text(cli->mem, build, "id"),
                                   text_clean(cli->mem, field_text(cli->mem, build, "repo")));

    term_add(&cli->out, out, STYLE_BOLD, title);
    term_add(&cli->out, out, status_style(status), text_clean(cli->mem, status));
    buf_addc(out, '\n');
    show_line(cli, out, "why", *message ? message : field_text(cli->mem, build, "reason"));
    show_line(cli, out, "commit",
              mem_printf(cli->mem, "%s %s", field_text(cli->mem, build, "commit_short"),
                         field_text(cli->mem, build, "commit_message")));
    show_line(cli, out, "author", field_text(cli->mem, build, "commit_author"));
    show_line(cli, out, "signed", signature_text(cli, build));
    show_line(cli, out, "ref", *ref ? ref : field_text(cli->mem, build, "branch"));
    show_line(cli, out, "event", field_text(cli->mem, build, "event"));
    show_line(cli, out, "schedule", field_text(cli->mem, build, "schedule"));
    show_pull(cli, build, out);
    show_line(cli, out, "group", field_text(cli->mem, build, "concurrency_group"));
    if (field_int(build, "rerun_of", 0))
        show_line(cli, out, "again",
                  mem_printf(cli->mem, "what build %s was", field_text(cli->mem, build, "rerun_of")));
    show_line(cli, out, "started", time_ago(cli->mem, field_time(build, "created_at"), clock_now()));
    show_line(cli, out, "took", field_duration(cli->mem, build, clock_now()));
    if (field_int(build, "artifacts_count", 0) > 0)
        buf_addf(out, "  artifacts %" PRId64 " (pelton artifacts %s)\n",
                 field_int(build, "artifacts_count", 0), field_text(cli->mem, build, "id"));
    show_line(cli, out, "page", *url ? url : "");
    buf_addc(out, '\n');
}

static const char *job_why(Cli *cli, const json_t *job) {
    const char *message = field_text(cli->mem, job, "message"), *reason = field_text(cli->mem, job, "reason");

    return *message ? message : *reason ? reason : field_text(cli->mem, job, "waiting");
}

/* One line: the first of several. */
static const char *output_text(Cli *cli, const json_t *value) {
    const char *text = json_string_value(value) ? json_string_value(value) : "";
    size_t len = strcspn(text, "\n");

    return text[len] ? mem_printf(cli->mem, "%.*s …", (int)len, text) : text;
}

static void job_rows(Cli *cli, Table *table, const json_t *job, int64_t now) {
    const char *status = field_status(cli->mem, job);
    int64_t attempt = field_int(job, "attempt", 1);
    json_t *step, *value;
    const char *name;
    size_t i;

    table_cell(table, STYLE_BOLD,
               attempt > 1 ? mem_printf(cli->mem, "%s (attempt %" PRId64 ")",
                                        field_text(cli->mem, job, "name"), attempt)
                           : field_text(cli->mem, job, "name"));
    table_cell(table, status_style(status), status);
    table_cell(table, STYLE_PLAIN, field_duration(cli->mem, job, now));
    table_cell(table, STYLE_DIM, field_text(cli->mem, job, "runner"));
    table_cell(table, STYLE_PLAIN, job_why(cli, job));
    json_array_foreach (json_object_get(job, "steps"), i, step) {
        const char *state = field_text(cli->mem, step, "status");
        int64_t code = field_int(step, "exit_code", 0);

        table_cell(table, STYLE_PLAIN, mem_printf(cli->mem, "  %s", field_text(cli->mem, step, "name")));
        table_cell(table, status_style(state), state);
        table_cell(table, STYLE_PLAIN, field_duration(cli->mem, step, now));
        table_cell(table, STYLE_PLAIN, "");
        table_cell(table, STYLE_PLAIN, code ? mem_printf(cli->mem, "exit status %" PRId64, code) : "");
    }
    json_object_foreach (json_object_get(job, "outputs"), name, value) {
        table_cell(table, STYLE_DIM, mem_printf(cli->mem, "  %s", name));
        table_cell(table, STYLE_DIM, "output");
        table_cell(table, STYLE_PLAIN, "");
        table_cell(table, STYLE_PLAIN, "");
        table_cell(table, STYLE_PLAIN, output_text(cli, value));
    }
}

static int show_run(Cli *cli, void *arg, Err *err) {
    static const char *const headers[] = {"JOB", "STATUS", "TOOK", "RUNNER", "WHY", NULL};
    Table *table = table_new(cli->mem, headers);
    _cleanup_json_ json_t *build = NULL;
    _cleanup_buf_ Buf out = BUF_INIT;
    json_t *job;
    int64_t id;
    size_t i;
    int r = cli_build_id(cli, cli->args[0], &id, err);

    if (r >= 0)
        r = cli_request(cli, "GET", mem_printf(cli->mem, "/api/builds/%" PRId64, id), NULL, &build, err);
    if (r < 0)
        return r;
    if (cli->json)
        return cli_print_json(cli, build, err);
    show_head(cli, build, &out);
    json_array_foreach (json_object_get(build, "jobs"), i, job) {
        job_rows(cli, table, job, clock_now());
    }
    table_print(table, &cli->out, &out);
    return cli_print(&out, err);
}

/* ---- cancel ---- */

static int cancel_run(Cli *cli, void *arg, Err *err) {
    _cleanup_json_ json_t *answer = NULL;
    int64_t id;
    int r = cli_build_id(cli, cli->args[0], &id, err);

    if (r >= 0)
        r = cli_request(cli, "POST", mem_printf(cli->mem, "/api/builds/%" PRId64 "/cancel", id), NULL,
                        &answer, err);
    if (r < 0)
        return r;
    if (cli->json)
        return cli_print_json(cli, answer, err);
    cli_note(cli, "build %" PRId64 " is %s", id,
             str_eq(field_text(cli->mem, answer, "status"), "cancelled") ? "cancelled" : "being stopped");
    return CLI_DONE;
}

/* ---- build approve ---- */

static bool is_over(const char *status) {
    return !str_eq(status, "queued") && !str_eq(status, "running");
}

static int approve_run(Cli *cli, void *arg, Err *err) {
    _cleanup_json_ json_t *answer = NULL;
    int64_t id;
    int r = cli_build_id(cli, cli->args[0], &id, err);

    if (r >= 0)
        r = cli_request(cli, "POST", mem_printf(cli->mem, "/api/builds/%" PRId64 "/approve", id), NULL,
                        &answer, err);
    if (r < 0)
        return r;
    if (cli->json)
        return cli_print_json(cli, answer, err);
    if (is_over(field_text(cli->mem, answer, "status")))
        cli_note(cli,
                 "build %" PRId64 " is approved; it has finished: pelton rerun %" PRId64 " runs it again", id,
                 id);
    else
        cli_note(cli, "build %" PRId64 " is approved: what waited for that goes on", id);
    return CLI_DONE;
}

/* ---- the table ---- */

static const char *const start_examples[] = {
    "pelton build start hello",
    "build the repository's own branch",
    "pelton build start hello --ref v1.2 --env TARGET=arm64 --follow",
    "build a tag with a variable, and watch it",
    "pelton build start hello --input level=full",
    "give the pipeline one of its inputs",
    NULL,
};
static const char *const builds_examples[] = {
    "pelton builds",
    "the newest builds",
    "pelton builds --repo hello --limit 1 --json | jq '.builds[0].status'",
    "how the last one of hello went",
    NULL,
};
static const char *const show_examples[] = {"pelton build show 12",
                                            "its jobs and steps, and why one waits or failed", NULL};
static const char *const approve_examples[] = {
    "pelton build approve 12", "let the jobs of a fork's pull request go on that have secrets", NULL};
static const char *const cancel_examples[] = {"pelton cancel 12", "stop what runs and take back what waits",
                                              NULL};

const Command command_build_start = {
    .name = "build start",
    .brief = "start a build by hand",
    .usage = "build start REPO [--ref REF] [--env K=V]... [--input K=V]... [--job NAME]... [--follow]",
    FLAGS(start_flags),
    .options_size = sizeof(StartOptions),
    .shorts = "f=follow,e=env,i=input,r=ref",
    .examples = start_examples,
    .min_args = 1,
    .max_args = 1,
    .operand = "repo",
    .run = start_run,
};

const Command command_build_show = {
    .name = "build show",
    .brief = "show a build with its jobs and steps",
    .usage = "build show BUILD",
    .examples = show_examples,
    .min_args = 1,
    .max_args = 1,
    .operand = "build",
    .run = show_run,
};

const Command command_build_approve = {
    .name = "build approve",
    .brief = "trust a build of a pull request from a fork",
    .usage = "build approve BUILD",
    .about =
        "A fork's jobs that name secrets, build images or run outside the sandbox wait for this. Look first "
        "at\n"
        "what the commit changes, its pipeline file too. It holds for this build and what repeats it: one "
        "that\n"
        "has finished without is approved, and run again (pelton rerun BUILD).",
    .examples = approve_examples,
    .min_args = 1,
    .max_args = 1,
    .operand = "build",
    .run = approve_run,
};

const Command command_builds = {
    .name = "builds",
    .brief = "list builds, newest first",
    .usage = "builds [--repo NAME] [--limit N]",
    FLAGS(builds_flags),
    .options_size = sizeof(BuildsOptions),
    .shorts = "n=limit",
    .examples = builds_examples,
    .run = builds_run,
};

const Command command_cancel = {
    .name = "cancel",
    .brief = "cancel a build",
    .usage = "cancel BUILD",
    .examples = cancel_examples,
    .min_args = 1,
    .max_args = 1,
    .operand = "build",
    .run = cancel_run,
};
