#include "base/clock.h"
#include "base/str.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/table.h"

#include <unistd.h>

static int create_run(Cli *cli, void *arg, Err *err) {
    _cleanup_buf_ Buf body = BUF_INIT, out = BUF_INIT;
    _cleanup_json_ json_t *answer = NULL;
    JsonWriter w = JSON_WRITER(&body);
    const char *url;
    int r;

    jw_object(&w, NULL);
    jw_str(&w, "name", cli->args[0]);
    jw_end_object(&w);
    r = cli_request(cli, "POST", "/api/repos", &body, &answer, err);
    if (r < 0)
        return r;
    if (cli->json)
        return cli_print_json(cli, answer, err);
    url = field_text(cli->mem, answer, "clone_url");
    buf_addf(&out, "%s\n", text_clean(cli->mem, *url ? url : field_text(cli->mem, answer, "git_url")));
    r = cli_print(&out, err);
    if (cli->out.tty)
        cli_note(cli, "push to it: git push %s main", text_clean(cli->mem, url));
    return r;
}

/* The last build's cells: state and time. */
static void last_build_cells(Cli *cli, Table *table, const json_t *build) {
    const char *status = field_text(cli->mem, build, "status");
    int64_t at = MAX(field_time(build, "created_at"), field_time(build, "finished_at"));

    table_cell(table, status_style(status), *status ? status : "-");
    table_cell(table, STYLE_DIM, time_ago(cli->mem, at, clock_now()));
}

static int list_run(Cli *cli, void *arg, Err *err) {
    static const char *const headers[] = {"NAME", "BUILDS", "LAST", "WHEN", NULL};
    _cleanup_json_ json_t *answer = NULL;
    _cleanup_buf_ Buf out = BUF_INIT;
    Table *table = table_new(cli->mem, headers);
    json_t *repo;
    size_t i;
    int r = cli_request(cli, "GET", "/api/repos", NULL, &answer, err);

    if (r < 0)
        return r;
    if (cli->json)
        return cli_print_json(cli, answer, err);
    json_array_foreach (answer, i, repo) {
        table_cell(table, STYLE_BOLD, field_text(cli->mem, repo, "name"));
        table_cell(table, STYLE_PLAIN, field_text(cli->mem, repo, "builds_count"));
        last_build_cells(cli, table, json_object_get(repo, "last_build"));
    }
    if (json_array_size(answer) == 0)
        cli_note(cli, "no repositories yet; make one: pelton repo create NAME");
    table_print(table, &cli->out, &out);
    return cli_print(&out, err);
}

static void show_builds(Cli *cli, const json_t *repo, Buf *out) {
    static const char *const headers[] = {"BUILD", "STATUS", "WHEN", "TOOK", "BRANCH", "COMMIT", NULL};
    Table *table = table_new(cli->mem, headers);
    json_t *build;
    size_t i;

    json_array_foreach (json_object_get(repo, "recent_builds"), i, build) {
        table_cell(table, STYLE_BOLD, field_text(cli->mem, build, "id"));
        last_build_cells(cli, table, build);
        table_cell(table, STYLE_PLAIN, field_duration(cli->mem, build, clock_now()));
        table_cell(table, STYLE_PLAIN, field_text(cli->mem, build, "branch"));
        table_cell(table, STYLE_PLAIN, field_text(cli->mem, build, "commit_short"));
    }
    table_print(table, &cli->out, out);
}

static void show_schedules(Cli *cli, const json_t *repo, Buf *out) {
    static const char *const headers[] = {"SCHEDULE", "TIME", "ZONE", "NEXT", "LAST", "WHY", NULL};
    Table *table = table_new(cli->mem, headers);
    json_t *schedule;
    size_t i;

    if (json_array_size(json_object_get(repo, "schedules")) > 0)
        buf_addc(out, '\n');
    json_array_foreach (json_object_get(repo, "schedules"), i, schedule) {
        const char *build = field_text(cli->mem, schedule, "last_build");

        table_cell(table, STYLE_BOLD, field_text(cli->mem, schedule, "name"));
        table_cell(table, STYLE_PLAIN, field_text(cli->mem, schedule, "cron"));
        table_cell(table, STYLE_PLAIN, field_text(cli->mem, schedule, "timezone"));
        table_cell(table, STYLE_PLAIN, time_ago(cli->mem, field_time(schedule, "next_at"), clock_now()));
        table_cell(table, STYLE_DIM,
                   *build ? mem_printf(cli->mem, "build %s", build)
                          : time_ago(cli->mem, field_time(schedule, "last_at"), clock_now()));
        table_cell(table, STYLE_PLAIN, field_text(cli->mem, schedule, "message"));
    }
    table_print(table, &cli->out, out);
}

static void show_steps(Cli *cli, const json_t *repo, Buf *out) {
    const json_t *lines = json_object_get(json_object_get(repo, "setup_instructions"), "existing_repo");
    json_t *line;
    size_t i;

    if (field_int(repo, "builds_count", 0) > 0 || json_array_size(lines) == 0)
        return;
    buf_adds(out, "\nPush something to it:\n");
    json_array_foreach (lines, i, line) {
        buf_addf(out, "  %s\n", text_clean(cli->mem, json_string_value(line)));
    }
}

static int show_run(Cli *cli, void *arg, Err *err) {
    static const char *const fields[] = {"clone_url", "ssh_url", "path", "builds_count"};
    static const char *const titles[] = {"clone", "ssh", "path", "builds"};
    const char *path = mem_printf(cli->mem, "/api/repos/%s", str_url_encode(cli->mem, cli->args[0], false));
    _cleanup_json_ json_t *repo = NULL;
    _cleanup_buf_ Buf out = BUF_INIT;
    int r = cli_request(cli, "GET", path, NULL, &repo, err);

    if (r == -ERR_NOT_FOUND)
        cli->hint = cli->hint ? cli->hint : "pelton repo list shows what there is";
    if (r < 0)
        return r;
    if (cli->json)
        return cli_print_json(cli, repo, err);
    term_add(&cli->out, &out, STYLE_BOLD, text_clean(cli->mem, field_text(cli->mem, repo, "name")));
    buf_addc(&out, '\n');
    for (size_t i = 0; i < ELEMENTS(fields); i++) {
        const char *value = text_clean(cli->mem, field_text(cli->mem, repo, fields[i]));

        if (*value)
            buf_addf(&out, "  %-7s %s\n", titles[i], value);
    }
    if (json_array_size(json_object_get(repo, "recent_builds")) > 0)
        buf_addc(&out, '\n');
    show_builds(cli, repo, &out);
    show_schedules(cli, repo, &out);
    show_steps(cli, repo, &out);
    return cli_print(&out, err);
}

/* ---- delete ---- */

#define DELETE_TIMEOUT (90 * US_PER_S) /* the server waits for a minute at most */

typedef struct DeleteOptions {
    bool yes, force;
} DeleteOptions;

static const Setting delete_flags[] = {
    {.name = "yes", .type = SETTING_BOOL, .offset = offsetof(DeleteOptions, yes), .help = "do not ask"},
    {.name = "force",
     .type = SETTING_BOOL,
     .offset = offsetof(DeleteOptions, force),
     .help = "cancel builds that have not ended, and take off what is live"},
};

/* Whoever means it can type its name. */
static int confirm(Cli *cli, const char *name, Err *err) {
    char line[256] = "";

    if (!isatty(STDIN_FILENO))
        return err_set(err, ERR_INVALID, "repo delete: nobody is there to be asked; say --yes");
    fprintf(stderr,
            "This deletes the repository %s with its secrets, caches and schedules; its builds stay.\n"
            "Type its name to go on: ",
            text_clean(cli->mem, name));
    if (!fgets(line, sizeof(line), stdin))
        line[0] = '\0';
    line[strcspn(line, "\n")] = '\0';
    return str_eq(line, name) ? 0 : err_set(err, ERR_CANCELLED, "nothing was deleted");
}

static int delete_run(Cli *cli, void *arg, Err *err) {
    const DeleteOptions *options = arg;
    const char *name = cli->args[0];
    const char *path = mem_printf(cli->mem, "/api/repos/%s%s", str_url_encode(cli->mem, name, false),
                                  options->force ? "?force=1" : "");
    _cleanup_json_ json_t *answer = NULL;
    int r = options->yes ? 0 : confirm(cli, name, err);

    if (r >= 0)
        r = cli_request_within(cli, "DELETE", path, DELETE_TIMEOUT, &answer, err);
    if (r == -ERR_NOT_FOUND)
        cli->hint = cli->hint ? cli->hint : "pelton repo list shows what there is";
    if (r < 0)
        return r;
    if (cli->json)
        return cli_print_json(cli, answer, err);
    cli_note(cli, "repository %s is deleted", text_clean(cli->mem, name));
    if (field_int(answer, "builds_count", 0) > 0)
        cli_note(cli, "its builds stay: pelton builds --repo '%s'",
                 text_clean(cli->mem, field_text(cli->mem, answer, "builds")));
    return CLI_DONE;
}

static const char *const create_examples[] = {
    "pelton repo create hello",
    "make the repository hello, and print the address to push to",
    "git remote add pelton \"$(pelton repo create hello)\"",
    "and make it a remote of the one here",
    NULL,
};
static const char *const list_examples[] = {
    "pelton repo list",
    "every repository, with its last build",
    "pelton repo list --json | jq -r '.[].name'",
    "only their names",
    NULL,
};
static const char *const show_examples[] = {
    "pelton repo show hello",
    "where to clone it from, its last builds, and when the clock starts the next one", NULL};

const Command command_repo_create = {
    .name = "repo create",
    .brief = "make a repository",
    .usage = "repo create NAME",
    .about = "Prints the address to clone from and push to.",
    .examples = create_examples,
    .min_args = 1,
    .max_args = 1,
    .run = create_run,
};

static const char *const delete_examples[] = {
    "pelton repo delete hello",
    "delete it, when nothing of it runs or is live; asks first",
    "pelton repo delete hello --yes --force",
    "whatever runs, and whatever is live, and without a question",
    NULL,
};

const Command command_repo_delete = {
    .name = "repo delete",
    .brief = "delete a repository",
    .usage = "repo delete NAME [--yes] [--force]",
    .about =
        "The repository goes, with its secrets, caches and schedules; its name and its host name are free. "
        "Its builds stay, with their logs and artifacts, under a name that says that it was deleted.",
    FLAGS(delete_flags),
    .options_size = sizeof(DeleteOptions),
    .examples = delete_examples,
    .min_args = 1,
    .max_args = 1,
    .operand = "repo",
    .run = delete_run,
};

const Command command_repo_list = {
    .name = "repo list",
    .brief = "list the repositories",
    .usage = "repo list",
    .examples = list_examples,
    .run = list_run,
};

const Command command_repo_show = {
    .name = "repo show",
    .brief = "show a repository",
    .usage = "repo show NAME",
    .examples = show_examples,
    .min_args = 1,
    .max_args = 1,
    .operand = "repo",
    .run = show_run,
};
