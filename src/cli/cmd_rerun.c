#include "base/str.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/follow.h"

#include <inttypes.h>

typedef struct RerunOptions {
    bool failed, follow;
    const char **jobs;
} RerunOptions;

static const Setting rerun_flags[] = {
    {.name = "failed",
     .type = SETTING_BOOL,
     .offset = offsetof(RerunOptions, failed),
     .help = "only the jobs that did not succeed, and what depends on them"},
    {.name = "job",
     .type = SETTING_WORDS,
     .offset = offsetof(RerunOptions, jobs),
     .arg = "NAME",
     .help = "only this job, all of its matrix, and what depends on it; may be repeated"},
    {.name = "follow",
     .type = SETTING_BOOL,
     .offset = offsetof(RerunOptions, follow),
     .help = "show the log until the build ends; exit 1 when it fails"},
};

static void write_body(const RerunOptions *options, Buf *body) {
    JsonWriter w = JSON_WRITER(body);

    jw_object(&w, NULL);
    if (options->jobs && options->jobs[0]) {
        jw_array(&w, "jobs");
        for (const char **name = options->jobs; *name; name++)
            jw_str(&w, NULL, *name);
        jw_end_array(&w);
    } else {
        jw_str(&w, "jobs", options->failed ? "failed" : "all");
    }
    jw_end_object(&w);
}

static int rerun_run(Cli *cli, void *arg, Err *err) {
    const RerunOptions *options = arg;
    _cleanup_json_ json_t *answer = NULL;
    _cleanup_buf_ Buf body = BUF_INIT;
    int64_t id;
    int r = cli_build_id(cli, cli->args[0], &id, err);

    if (r < 0)
        return r;
    if (options->failed && options->jobs && options->jobs[0])
        return err_set(err, ERR_INVALID, "--failed and --job: choose one of them");
    write_body(options, &body);
    r = cli_request_once(cli, mem_printf(cli->mem, "/api/builds/%" PRId64 "/rerun", id), &body, &answer, err);
    return r < 0 ? r : follow_started(cli, answer, options->follow, err);
}

static const char *const rerun_examples[] = {
    "pelton rerun 12",
    "all of build 12 once more, as a new build",
    "pelton rerun 12 --failed --follow",
    "only what failed, and watch it",
    "pelton rerun 12 --job test",
    "test, and what depends on it",
    NULL,
};

const Command command_rerun = {
    .name = "rerun",
    .brief = "run a finished build once more, or some of its jobs",
    .usage = "rerun BUILD [--failed | --job NAME...] [--follow]",
    .about = "Makes a new build of the same commit; the old one stays as it was. Jobs that do not run again "
             "are taken\n"
             "over with their results, logs and artifacts. A commit that its branch has left is not deployed "
             "again.",
    FLAGS(rerun_flags),
    .options_size = sizeof(RerunOptions),
    .shorts = "f=follow,j=job",
    .examples = rerun_examples,
    .min_args = 1,
    .max_args = 1,
    .operand = "build",
    .run = rerun_run,
};
