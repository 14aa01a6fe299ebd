#include "base/clock.h"
#include "base/str.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/table.h"

#include <inttypes.h>

/* ---- queue ---- */

static const char *labels_text(Cli *cli, json_t *labels) {
    const char *key, *text = "";
    json_t *value;

    json_object_foreach (labels, key, value)
        text = mem_printf(cli->mem, "%s%s%s=%s", text, *text ? "," : "", key, json_string_value(value));
    return text;
}

/* "sandbox, x86_64, gpu=yes, 2 cpus, 4 GiB" */
static const char *asked(Cli *cli, const json_t *fit) {
    const char *text = field_text(cli->mem, fit, "executor"), *arch = field_text(cli->mem, fit, "arch");
    const char *labels = labels_text(cli, json_object_get(fit, "labels"));
    int64_t cpu = field_int(fit, "cpu", 0), memory = field_int(fit, "memory", 0);
    int64_t disk = field_int(fit, "disk", 0);

    if (*arch)
        text = mem_printf(cli->mem, "%s, %s", text, arch);
    if (*labels)
        text = mem_printf(cli->mem, "%s, %s", text, labels);
    if (cpu)
        text = mem_printf(cli->mem, "%s, %.4g cpus", text, (double)cpu / 1000);
    if (memory)
        text = mem_printf(cli->mem, "%s, %s of memory", text, size_human(cli->mem, memory));
    if (disk)
        text = mem_printf(cli->mem, "%s, %s of disk", text, size_human(cli->mem, disk));
    return text;
}

static void show_pause(Cli *cli, const json_t *pause, Buf *out) {
    const char *reason = field_text(cli->mem, pause, "reason");

    if (!json_is_object(pause))
        return;
    term_add(&cli->out, out, STYLE_YELLOW, "paused");
    buf_addf(out, " by %s, %s%s%s; to go on: pelton resume\n",
             text_clean(cli->mem, field_text(cli->mem, pause, "by")),
             time_ago(cli->mem, field_time(pause, "since"), clock_now()), *reason ? ": " : "",
             text_clean(cli->mem, reason));
}

static void show_counts(Cli *cli, const json_t *answer, Buf *out) {
    static const char *const by_fit[] = {"JOBS", "ASK FOR", NULL}, *const by_repo[] = {"JOBS", "OF", NULL};
    Table *fits = table_new(cli->mem, by_fit), *projects = table_new(cli->mem, by_repo);
    json_t *row;
    size_t i;

    json_array_foreach (json_object_get(answer, "fits"), i, row) {
        table_cell(fits, STYLE_BOLD, field_text(cli->mem, row, "queued"));
        table_cell(fits, STYLE_PLAIN, asked(cli, row));
    }
    json_array_foreach (json_object_get(answer, "projects"), i, row) {
        table_cell(projects, STYLE_BOLD, field_text(cli->mem, row, "queued"));
        table_cell(projects, STYLE_PLAIN, field_text(cli->mem, row, "name"));
    }
    if (field_int(answer, "queued", 0) == 0)
        return;
    buf_addc(out, '\n');
    table_print(fits, &cli->out, out);
    buf_addc(out, '\n');
    table_print(projects, &cli->out, out);
}

static int queue_run(Cli *cli, void *arg, Err *err) {
    _cleanup_json_ json_t *answer = NULL;
    _cleanup_buf_ Buf out = BUF_INIT;
    int r = cli_request(cli, "GET", "/api/queue", NULL, &answer, err);

    if (r < 0)
        return r;
    if (cli->json)
        return cli_print_json(cli, answer, err);
    show_pause(cli, json_object_get(answer, "paused"), &out);
    buf_addf(&out, "%" PRId64 " jobs wait for a runner, %" PRId64 " run\n", field_int(answer, "queued", 0),
             field_int(answer, "running", 0));
    show_counts(cli, answer, &out);
    return cli_print(&out, err);
}

/* ---- pause, resume ---- */

typedef struct PauseOptions {
    const char *reason;
} PauseOptions;

static const Setting pause_flags[] = {
    {.name = "reason",
     .type = SETTING_STRING,
     .offset = offsetof(PauseOptions, reason),
     .arg = "TEXT",
     .help = "told to everyone whose job waits for it"},
};

static int pause_run(Cli *cli, void *arg, Err *err) {
    const PauseOptions *options = arg;
    _cleanup_json_ json_t *answer = NULL;
    _cleanup_buf_ Buf body = BUF_INIT;
    JsonWriter w = JSON_WRITER(&body);
    int r;

    jw_object(&w, NULL);
    if (options->reason)
        jw_str(&w, "reason", options->reason);
    jw_end_object(&w);
    r = cli_request(cli, "POST", "/api/queue/pause", &body, &answer, err);
    if (r < 0)
        return r;
    if (cli->json)
        return cli_print_json(cli, answer, err);
    cli_note(cli, "the queue is paused: nothing new starts, what runs goes on; to go on: pelton resume");
    return CLI_DONE;
}

static int resume_run(Cli *cli, void *arg, Err *err) {
    _cleanup_json_ json_t *answer = NULL;
    int r = cli_request(cli, "POST", "/api/queue/resume", NULL, &answer, err);

    if (r < 0)
        return r;
    if (cli->json)
        return cli_print_json(cli, answer, err);
    cli_note(cli, "the queue goes on");
    return CLI_DONE;
}

static const char *const queue_examples[] = {
    "pelton queue",
    "how many jobs wait, for what, and of which repositories",
    "pelton queue --json | jq .queued",
    "the number alone",
    NULL,
};
static const char *const pause_examples[] = {
    "pelton pause --reason 'the disk is changed'",
    "nothing new starts until somebody resumes, deploys neither",
    NULL,
};
static const char *const resume_examples[] = {"pelton resume", "what waits starts again", NULL};

const Command command_queue = {
    .name = "queue",
    .brief = "show what waits for a runner",
    .usage = "queue",
    .examples = queue_examples,
    .run = queue_run,
};

const Command command_pause = {
    .name = "pause",
    .brief = "let nothing new start",
    .usage = "pause [--reason TEXT]",
    .about = "What runs goes on. Builds are still taken in, and wait.",
    FLAGS(pause_flags),
    .options_size = sizeof(PauseOptions),
    .examples = pause_examples,
    .run = pause_run,
};

const Command command_resume = {
    .name = "resume",
    .brief = "let the queue go on after a pause",
    .usage = "resume",
    .examples = resume_examples,
    .run = resume_run,
};
