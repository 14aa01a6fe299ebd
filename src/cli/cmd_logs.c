#include "base/str.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/follow.h"
#include "cli/table.h"

#include <inttypes.h>

#define JSON_LOG_MAX (512U << 20)

typedef struct LogsOptions {
    bool follow;
    const char *job;
    int64_t attempt;
} LogsOptions;

static const Setting logs_flags[] = {
    {.name = "follow",
     .type = SETTING_BOOL,
     .offset = offsetof(LogsOptions, follow),
     .help = "go on until the build ends; exit 1 when it failed"},
    {.name = "job",
     .type = SETTING_STRING,
     .offset = offsetof(LogsOptions, job),
     .arg = "NAME",
     .help = "only this job"},
    {.name = "attempt",
     .type = SETTING_INT,
     .offset = offsetof(LogsOptions, attempt),
     .min = 0,
     .max = 1000,
     .fallback = "0",
     .arg = "N",
     .help = "an earlier attempt of the job, from 1; 0: the last one"},
};

typedef struct LogSink {
    Cli *cli;
    const HttpCall *call;
    TermFilter filter;
    Buf json; /* the answer, when it is not plain text */
    Err err;
} LogSink;

static int print_text(LogSink *sink, const char *text, size_t len) {
    _cleanup_buf_ Buf out = BUF_INIT;

    if (sink->cli->out.tty)
        term_filter(&sink->filter, text, len, &out);
    else
        buf_add(&out, text, len);
    return cli_print(&out, &sink->err);
}

static int on_data(void *arg, const void *data, size_t len) {
    LogSink *sink = arg;
    const char *type = sink->call->answer_type;

    if (type && str_after(type, "text/plain"))
        return print_text(sink, data, len);
    if (sink->json.len + len > JSON_LOG_MAX) {
        sink->cli->hint = "one job at a time is printed as it comes: --job NAME";
        return err_set(&sink->err, ERR_TOO_LARGE, "the log is larger than %u bytes", JSON_LOG_MAX);
    }
    buf_add(&sink->json, data, len);
    return 0;
}

static int print_json_log(LogSink *sink, Err *err) {
    _cleanup_json_ json_t *answer = NULL;
    const char *text = "";
    int r = json_read_log(sink->json.data, sink->json.len, &answer, err);

    if (r < 0)
        return r;
    if (sink->cli->json)
        return cli_print_json(sink->cli, answer, err);
    r = json_get_str(answer, "logs", &text, err);
    if (r >= 0 && print_text(sink, text, strlen(text)) < 0) {
        *err = sink->err;
        r = -err->code;
    }
    return r;
}

/* What there is now: as plain text where the server gives it so, piece by piece. */
static int print_log(Cli *cli, int64_t build, const LogsOptions *options, Err *err) {
    const char *job = options->job ? str_url_encode(cli->mem, options->job, false) : "";
    const char *attempt = options->attempt ? mem_printf(cli->mem, "&attempt=%" PRId64, options->attempt) : "";
    const char *path =
        mem_printf(cli->mem, "/api/builds/%" PRId64 "/logs?%s%s%s", build, *job ? "job=" : "", job, attempt);
    const char *const headers[] = {
        cli->json ? "Accept: application/json" : "Accept: text/plain, application/json;q=0.5", NULL};
    LogSink sink = {.cli = cli};
    HttpCall call = {
        .method = "GET", .path = path, .headers = headers, .stream = true, .on_data = on_data, .arg = &sink};
    int r;

    sink.call = &call;
    r = cli_call(cli, &call, err);
    if (sink.err.code) {
        *err = sink.err;
        r = -err->code;
    }
    if (r >= 0 && sink.json.len > 0)
        r = print_json_log(&sink, err);
    buf_done(&call.answer);
    buf_done(&sink.json);
    term_filter_done(&sink.filter);
    return r;
}

static int logs_run(Cli *cli, void *arg, Err *err) {
    const LogsOptions *options = arg;
    int64_t build;
    int r = cli_build_id(cli, cli->args[0], &build, err);

    if (r < 0)
        return r;
    if (options->follow && options->attempt)
        return err_set(err, ERR_INVALID, "--follow and --attempt: an attempt is printed as it is now");
    return options->follow ? follow_build(cli, build, options->job, err)
                           : print_log(cli, build, options, err);
}

static const char *const logs_examples[] = {
    "pelton logs 12",
    "what build 12 has said so far",
    "pelton logs -f 12 && echo good",
    "watch it to its end",
    "pelton logs 12 --job test --attempt 1",
    "what the first attempt said, when the job was tried again",
    "pelton logs --job test 12 > test.log",
    "one job's log, byte for byte",
    NULL,
};

const Command command_logs = {
    .name = "logs",
    .brief = "show or follow a build's log",
    .usage = "logs [-f] [--job NAME [--attempt N]] BUILD",
    .about = "Following goes on through a restart of the server, prints each byte once, and ends with the "
             "build. The log goes to\n"
             "standard output; what Pelton itself says about jobs goes to standard error. With --json and -f "
             "each event is a line.",
    FLAGS(logs_flags),
    .options_size = sizeof(LogsOptions),
    .shorts = "f=follow,j=job",
    .examples = logs_examples,
    .min_args = 1,
    .max_args = 1,
    .operand = "build",
    .run = logs_run,
};
