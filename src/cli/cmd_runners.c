#include "base/clock.h"
#include "base/str.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/table.h"

/* A list of words, or an object of labels, on one line. */
static const char *join(Cli *cli, json_t *value) {
    Buf text = BUF_INIT;
    const char *key, *result;
    json_t *item;
    size_t i;

    json_array_foreach (value, i, item) {
        if (json_is_string(item))
            buf_addf(&text, "%s%s", text.len ? "," : "", json_string_value(item));
    }
    json_object_foreach (value, key, item) {
        buf_addf(&text, "%s%s=%s", text.len ? "," : "", key, field_text(cli->mem, value, key));
    }
    result = buf_dup(&text, cli->mem);
    buf_done(&text);
    return result;
}

/* "4 cpus, 8.0 GiB, 50 GiB": what jobs may ask for together; nothing that it has not told. */
static const char *capacity(Cli *cli, const json_t *runner) {
    int64_t cpu = field_int(runner, "cpu", 0), memory = field_int(runner, "memory", 0);
    int64_t disk = field_int(runner, "disk", 0);
    const char *text = cpu ? mem_printf(cli->mem, "%.4g cpus", (double)cpu / 1000) : "";

    if (memory)
        text = mem_printf(cli->mem, "%s%s%s", text, *text ? ", " : "", size_human(cli->mem, memory));
    if (disk)
        text = mem_printf(cli->mem, "%s%s%s disk", text, *text ? ", " : "", size_human(cli->mem, disk));
    return text;
}

static void runner_row(Cli *cli, Table *table, const json_t *runner) {
    const char *status = field_text(cli->mem, runner, "status");
    const char *drained_by = field_text(cli->mem, runner, "drained_by");
    size_t busy = json_array_size(json_object_get(runner, "jobs"));

    table_cell(table, STYLE_BOLD, field_text(cli->mem, runner, "name"));
    table_cell(table, status_style(status),
               *drained_by ? mem_printf(cli->mem, "%s by %s", status, drained_by) : status);
    table_cell(table, STYLE_PLAIN,
               mem_printf(cli->mem, "%zu/%s", busy, field_text(cli->mem, runner, "slots")));
    table_cell(table, STYLE_PLAIN, field_text(cli->mem, runner, "arch"));
    table_cell(table, STYLE_PLAIN, capacity(cli, runner));
    table_cell(table, STYLE_PLAIN, join(cli, json_object_get(runner, "executors")));
    table_cell(table, STYLE_DIM, time_ago(cli->mem, field_time(runner, "last_seen"), clock_now()));
    table_cell(table, STYLE_DIM, field_text(cli->mem, runner, "version"));
    table_cell(table, STYLE_PLAIN, join(cli, json_object_get(runner, "labels")));
}

static int runners_run(Cli *cli, void *arg, Err *err) {
    static const char *const headers[] = {"RUNNER",    "STATUS", "BUSY",    "ARCH",   "HAS",
                                          "EXECUTORS", "SEEN",   "VERSION", "LABELS", NULL};
    Table *table = table_new(cli->mem, headers);
    _cleanup_json_ json_t *answer = NULL;
    _cleanup_buf_ Buf out = BUF_INIT;
    json_t *list = NULL, *runner;
    size_t i;
    int r = cli_request(cli, "GET", "/api/runners", NULL, &answer, err);

    if (r < 0)
        return r;
    if (cli->json)
        return cli_print_json(cli, answer, err);
    r = cli_answer_array(answer, "runners", &list, err);
    if (r < 0)
        return r;
    json_array_foreach (list, i, runner) {
        runner_row(cli, table, runner);
    }
    table_print(table, &cli->out, &out);
    if (json_array_size(list) == 0)
        cli_note(
            cli,
            "no runners: builds wait until one comes; start one: pelton runner --server URL --token TOKEN");
    return cli_print(&out, err);
}

/* ---- drain, resume, rm ---- */

/* what: behind the runner's path. */
static int change(Cli *cli, const char *method, const char *what, json_t **ret, Err *err) {
    const char *name = str_url_encode(cli->mem, cli->args[0], false);
    int r = cli_request(cli, method, mem_printf(cli->mem, "/api/runners/%s%s", name, what), NULL, ret, err);

    if (r == -ERR_NOT_FOUND)
        cli->hint = "pelton runners lists them";
    return r;
}

static int drain_run(Cli *cli, void *arg, Err *err) {
    _cleanup_json_ json_t *answer = NULL;
    int r = change(cli, "POST", "/drain", &answer, err);
    size_t jobs;

    if (r < 0)
        return r;
    if (cli->json)
        return cli_print_json(cli, answer, err);
    jobs = json_array_size(json_object_get(answer, "jobs"));
    cli_note(cli, "runner %s takes nothing new%s; to let it work again: pelton runner resume %s",
             cli->args[0],
             jobs ? mem_printf(cli->mem, " and ends after its %zu job%s", jobs, jobs == 1 ? "" : "s")
                  : " and ends",
             cli->args[0]);
    return CLI_DONE;
}

static int resume_run(Cli *cli, void *arg, Err *err) {
    _cleanup_json_ json_t *answer = NULL;
    int r = change(cli, "POST", "/resume", &answer, err);

    if (r < 0)
        return r;
    if (cli->json)
        return cli_print_json(cli, answer, err);
    cli_note(cli, "runner %s may work again; the server starts its own, another is started where it runs",
             cli->args[0]);
    return CLI_DONE;
}

static int rm_run(Cli *cli, void *arg, Err *err) {
    _cleanup_json_ json_t *answer = NULL;
    int r = change(cli, "DELETE", "", &answer, err);

    if (r < 0)
        return r;
    cli_note(cli, "runner %s is removed, and its token revoked", cli->args[0]);
    return cli->json ? cli_print_json(cli, answer, err) : CLI_DONE;
}

static const char *const drain_examples[] = {
    "pelton runner drain build-box",
    "before its machine is rebooted: it ends when its jobs have",
    NULL,
};
static const char *const resume_examples[] = {"pelton runner resume build-box", "it takes jobs again", NULL};

static const char *const rm_examples[] = {"pelton runner rm build-box", "its machine is not coming back",
                                          NULL};

const Command command_runner_drain = {
    .name = "runner drain",
    .brief = "let a runner take nothing new, and end when it is idle",
    .usage = "runner drain NAME",
    .about = "It stays drained, over its restarts and the server's, until it is resumed.",
    .examples = drain_examples,
    .min_args = 1,
    .max_args = 1,
    .run = drain_run,
};

const Command command_runner_resume = {
    .name = "runner resume",
    .brief = "let a drained runner work again",
    .usage = "runner resume NAME",
    .examples = resume_examples,
    .min_args = 1,
    .max_args = 1,
    .run = resume_run,
};

const Command command_runner_rm = {
    .name = "runner rm",
    .brief = "remove a runner that is gone for ever",
    .usage = "runner rm NAME",
    .about =
        "Its token is revoked and its name is free; what it has run stays. One that has jobs or still calls "
        "is not removed: drain it first. To bring a machine back, end its runner, remove the file token of "
        "its folder, and start it with a registration token.",
    .examples = rm_examples,
    .min_args = 1,
    .max_args = 1,
    .run = rm_run,
};

static const char *const runners_examples[] = {
    "pelton runners",
    "which runners there are, and how busy",
    "pelton runners --json | jq '.runners[].jobs'",
    "what they do",
    NULL,
};

const Command command_runners = {
    .name = "runners",
    .brief = "list the runners",
    .usage = "runners",
    .examples = runners_examples,
    .run = runners_run,
};
