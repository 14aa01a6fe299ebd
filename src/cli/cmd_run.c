/* pelton run: the pipeline of a working tree, by the same planner and the same executors, without a server to
 * be there. */
#include "base/str.h"
#include "base/yaml.h"
#include "cli/commands.h"
#include "cli/follow.h"
#include "cli/local.h"
#include "cli/planned.h"
#include "cli/secret_file.h"
#include "cli/start.h"
#include "cli/table.h"
#include "git/git.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>

typedef struct RunOptions {
    const char *folder, *state, *secret_file;
    const char **env, **inputs, **labels;
    int64_t slots;
} RunOptions;

static const Setting run_flags[] = {
    {.name = "folder",
     .type = SETTING_STRING,
     .offset = offsetof(RunOptions, folder),
     .fallback = ".",
     .arg = "DIR",
     .help = "the working tree, or a folder in it"},
    {.name = "env",
     .type = SETTING_WORDS,
     .offset = offsetof(RunOptions, env),
     .arg = "K=V",
     .help = "a variable for the jobs; may be repeated"},
    {.name = "input",
     .type = SETTING_WORDS,
     .offset = offsetof(RunOptions, inputs),
     .arg = "K=V",
     .help = "an input of the pipeline; may be repeated"},
    {.name = "secret-file",
     .type = SETTING_STRING,
     .offset = offsetof(RunOptions, secret_file),
     .arg = "FILE",
     .help = "secrets for the jobs that name them: lines NAME=VALUE"},
    {.name = "label",
     .type = SETTING_WORDS,
     .offset = offsetof(RunOptions, labels),
     .arg = "K=V",
     .help = "a label for the runner, for jobs that ask for it; may be repeated"},
    {.name = "slots",
     .type = SETTING_INT,
     .offset = offsetof(RunOptions, slots),
     .min = 1,
     .max = 256,
     .fallback = "2",
     .arg = "N",
     .help = "jobs at a time"},
    {.name = "state",
     .type = SETTING_STRING,
     .offset = offsetof(RunOptions, state),
     .arg = "DIR",
     .help = "keep artifacts, logs and caches here for the next time; without it they are gone afterwards"},
};

/* The name of the working tree's folder as a repository's. */
static const char *name_of(Cli *cli, const char *folder) {
    const char *top = folder, *slash;
    char *name;
    Err none;

    if (git_top(folder, cli->mem, &top, &none) < 0)
        top = folder; /* in no repository: it is taken as it is */
    slash = strrchr(top, '/');
    name = mem_strdup(cli->mem, slash && slash[1] ? slash + 1 : "folder");

    for (char *c = name; *c; c++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", *c))
            *c = '-';
    name += strspn(name, "-"); /* of ".dotfiles" the dash that stands for the dot */
    return str_is_name(name, 100) ? name : "folder";
}

/* The bare repository, which a kept state may have already. */
static int open_repository(Cli *cli, const char *name, const char **ret, Err *err) {
    _cleanup_json_ json_t *made = NULL, *repo = NULL;
    _cleanup_buf_ Buf body = BUF_INIT;
    JsonWriter w = JSON_WRITER(&body);
    const char *path;
    int r;

    jw_object(&w, NULL);
    jw_str(&w, "name", name);
    jw_end_object(&w);
    r = cli_request(cli, "POST", "/api/repos", &body, &made, err);
    if (r == -ERR_CONFLICT || r == -ERR_EXISTS) {
        cli->hint = NULL;
        r = 0;
    }
    if (r >= 0)
        r = cli_request(cli, "GET", mem_printf(cli->mem, "/api/repos/%s", name), NULL, &repo, err);
    if (r >= 0)
        r = json_get_str(repo, "path", &path, err);
    if (r >= 0)
        *ret = mem_strdup(cli->mem, path);
    return r;
}

/* Before a server is asked, which would speak of a commit that nobody has made. */
static int find_pipeline(Cli *cli, const char *repo, const GitSnapshot *snap, Err *err) {
    GitCommit *commit;
    GitFile *files;
    int r = git_commit_read(repo, snap->commit, plan_files, YAML_MAX_BYTES, cli->mem, &commit, &files, err);

    if (r < 0)
        return r == -ERR_TOO_LARGE ? 0 : r; /* it is there, and the server says what is wrong */
    for (size_t i = 0; plan_files[i]; i++)
        if (files[i].content)
            return 0;
    return plan_nothing("at the root of the working tree", err);
}

static int start_build(Cli *cli, const RunOptions *options, const char *name, const GitSnapshot *snap,
                       int64_t *ret, Err *err) {
    StartBody start = {.ref = snap->commit,
                       .branch = snap->branch,
                       .env = options->env,
                       .inputs = options->inputs,
                       .jobs = cli->args};
    _cleanup_json_ json_t *answer = NULL;
    _cleanup_buf_ Buf body = BUF_INIT;
    int r = start_body(&start, &body, err);

    if (r >= 0)
        r = cli_request(cli, "POST", mem_printf(cli->mem, "/api/repos/%s/builds", name), &body, &answer, err);
    if (r < 0)
        return r;
    *ret = field_int(answer, "id", 0);
    if (str_eq(field_text(cli->mem, answer, "status"), "failed"))
        return err_set(err, ERR_INVALID, "%s", field_text(cli->mem, answer, "message"));
    return 0;
}

static int run_tree(Cli *cli, const RunOptions *options, const char *folder, Local *local, Err *err) {
    const char *name = name_of(cli, folder), *repo = NULL;
    GitSnapshot snap;
    int64_t build;
    int r = open_repository(cli, name, &repo, err);

    if (r >= 0 && options->secret_file)
        r = secret_file_send(cli, name, options->secret_file, err);
    if (r >= 0)
        r = git_snapshot(folder, local_scratch(local), repo, cli->mem, &snap, err);
    if (r >= 0)
        r = find_pipeline(cli, repo, &snap, err);
    if (r >= 0)
        r = start_build(cli, options, name, &snap, &build, err);
    if (r < 0)
        return r;
    local_build(local, build);
    cli_note(cli, "%s, %.8s of %s%s", name, snap.commit, snap.branch,
             snap.changed ? ", with what is not committed" : "");
    return follow_build(cli, build, NULL, err);
}

static int run_run(Cli *cli, void *arg, Err *err) {
    const RunOptions *options = arg;
    LocalOptions local_options = {
        .state = options->state, .slots = options->slots, .labels = options->labels};
    char folder[PATH_MAX];
    Local *local;
    int r;

    if (!realpath(options->folder, folder))
        return err_errno(err, "%s", options->folder);
    r = local_start(cli, &local_options, &local, err);
    if (r < 0)
        return r;
    r = run_tree(cli, options, folder, local, err);
    local_stop(local);
    return r;
}

static const char *const run_examples[] = {
    "pelton run",
    "all jobs, with the files as they are now",
    "pelton run test --env LEVEL=full",
    "the job test, and what it needs",
    "pelton run --label tier=high-memory",
    "this machine counts as one that a job asks for by runs-on",
    "pelton run --state ~/.cache/pelton",
    "keep what it makes: a later run finds its caches",
    NULL,
};

const Command command_run = {
    .name = "run",
    .brief = "run the pipeline of the working tree here, without a server",
    .usage = "run [--env K=V] [--input K=V] [--secret-file FILE] [--label K=V] [--folder DIR] [--slots N] "
             "[--state DIR] "
             "[JOB …]",
    .about =
        "Takes the files as they are, committed or not (but for ignored ones), and runs what a push of them "
        "would: the same planner, the same runner, the same executors. Nothing is deployed. Ctrl-C cancels.",
    FLAGS(run_flags),
    .options_size = sizeof(RunOptions),
    .shorts = "e=env,i=input",
    .examples = run_examples,
    .max_args = 1000,
    .run = run_run,
};
