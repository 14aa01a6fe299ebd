/* The verbs of the processes: server, runner, release. */
#include "server/verbs.h"

#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "base/version.h"
#include "deploy/release.h"
#include "runner/runner.h"
#include "server/enrol.h"
#include "server/server.h"
#include <limits.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <unistd.h>

static int program_path(const void *mem, const char **ret, Err *err) {
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

    if (n < 0)
        return err_errno(err, "read /proc/self/exe");
    *ret = mem_strndup(mem, path, (size_t)n);
    return 0;
}

static LogLevel level_of(const char *word) {
    return str_eq(word, "debug")   ? LOG_DEBUG
           : str_eq(word, "warn")  ? LOG_WARN
           : str_eq(word, "error") ? LOG_ERROR
                                   : LOG_INFO;
}

static int run_server(Cli *cli, void *options, Err *err) {
    _cleanup_buf_ Buf config = BUF_INIT;
    const char *program;
    Settings settings = {0};
    int r = settings_read(cli->argc, cli->argv, cli->mem, &settings, &config, err);

    if (r < 0)
        return r;
    if (settings.print_config) {
        fputs(buf_str(&config), stdout);
        return CLI_DONE;
    }
    log_set_level(level_of(settings.log_level));
    prctl(PR_SET_NAME, "pelton server");
    r = program_path(cli->mem, &program, err);
    if (r >= 0)
        r = server_run(&settings, program, PELTON_VERSION, err);
    return r < 0 ? r : CLI_DONE;
}

static const char *const server_examples[] = {
    "pelton server --state ./state",
    "everything on one machine, at http://127.0.0.1:8080",
    "pelton server --listen 0.0.0.0:80 --runners 0",
    "only the control plane; runners elsewhere",
    "pelton server --print-config",
    "what holds, and where it comes from",
    NULL,
};

const Command command_server = {
    .name = "server",
    .brief = "run the server: API, page, git, scheduler, deploys, and a runner of its own",
    .usage = "server [--state DIR] [--listen ADDR:PORT] [--ingress ADDR:PORT] …",
    .flags = server_settings,
    .flag_count = SERVER_SETTINGS,
    .examples = server_examples,
    .raw = true,
    .run = run_server,
};

/* ---- runner ---- */

typedef struct RunnerFlags {
    const char *server, *server_file, *token, *token_file, *dir, *name, *log_level;
    const char **labels, **executors;
    int64_t slots, cancel_grace, cleanup_time, uid_base, cpu, memory, disk;
    uint64_t min_free_space, log_spool;
    bool allow_shell;
} RunnerFlags;

#define AT(field) offsetof(RunnerFlags, field)

static const char *const levels[] = {"debug", "info", "warn", "error", NULL};

static const Setting runner_flags[] = {
    {.name = "server",
     .type = SETTING_STRING,
     .offset = AT(server),
     .arg = "URL",
     .help = "the server, as http://host:port"},
    {.name = "server-file",
     .type = SETTING_STRING,
     .offset = AT(server_file),
     .arg = "FILE",
     .help = "a server.json that tells where the server is now"},
    {.name = "token-file",
     .type = SETTING_STRING,
     .offset = AT(token_file),
     .arg = "FILE",
     .help = "holds a registration token, needed the first time only; or set PELTON_TOKEN"},
    {.name = "token",
     .type = SETTING_STRING,
     .offset = AT(token),
     .arg = "TOKEN",
     .help = "the same, where nobody else can look at this machine's processes"},
    {.name = "dir",
     .type = SETTING_STRING,
     .offset = AT(dir),
     .fallback = "./runner",
     .arg = "DIR",
     .help = "folder of workspaces, mirrors, spools, and the runner's own token"},
    {.name = "name",
     .type = SETTING_STRING,
     .offset = AT(name),
     .arg = "NAME",
     .help = "the name to register with; without it the host's"},
    {.name = "slots",
     .type = SETTING_INT,
     .offset = AT(slots),
     .min = 1,
     .max = 1024,
     .fallback = "2",
     .arg = "N",
     .help = "jobs at a time"},
    {.name = "label",
     .type = SETTING_WORDS,
     .offset = AT(labels),
     .arg = "K=V",
     .help = "labels that jobs may ask for"},
    {.name = "cpu",
     .type = SETTING_INT,
     .offset = AT(cpu),
     .min = 0,
     .max = 4096,
     .fallback = "0",
     .arg = "N",
     .help = "cpus that its jobs may ask for together; 0: those that are there"},
    {.name = "memory",
     .type = SETTING_SIZE,
     .offset = AT(memory),
     .max = INT64_MAX,
     .fallback = "0",
     .arg = "SIZE",
     .help = "memory, likewise: 8G; 0: what is there"},
    {.name = "disk",
     .type = SETTING_SIZE,
     .offset = AT(disk),
     .max = INT64_MAX,
     .fallback = "0",
     .arg = "SIZE",
     .help = "space on disk, likewise; 0: what is free when it starts"},
    {.name = "executors",
     .type = SETTING_WORDS,
     .offset = AT(executors),
     .arg = "NAMES",
     .help = "the executors to offer; without it all that work here"},
    {.name = "allow-shell",
     .type = SETTING_BOOL,
     .offset = AT(allow_shell),
     .fallback = "false",
     .help = "offer the shell executor: steps run as this user"},
    {.name = "min-free-space",
     .type = SETTING_SIZE,
     .offset = AT(min_free_space),
     .min = 0,
     .max = INT64_C(1) << 50,
     .fallback = "256M",
     .arg = "SIZE",
     .help = "with less free in that folder (at most a tenth of its disk counts) no job is taken; 0: as long "
             "as it goes"},
    {.name = "log-spool",
     .type = SETTING_SIZE,
     .offset = AT(log_spool),
     .min = 1 << 20,
     .max = INT64_C(1) << 50,
     .fallback = "1G",
     .arg = "SIZE",
     .help = "how much of a job's log waits there while the server is out of reach; then its step waits"},
    {.name = "cancel-grace",
     .type = SETTING_DURATION,
     .offset = AT(cancel_grace),
     .min = 0,
     .max = 600 * INT64_C(1000000),
     .fallback = "10s",
     .arg = "TIME",
     .help = "between SIGTERM and SIGKILL"},
    {.name = "cleanup-time",
     .type = SETTING_DURATION,
     .offset = AT(cleanup_time),
     .min = 1000000,
     .max = 86400 * INT64_C(1000000),
     .fallback = "1m",
     .arg = "TIME",
     .help = "what steps that run after a cancel or the job's timeout (if: always()) have together"},
    {.name = "job-uid-base",
     .type = SETTING_INT,
     .offset = AT(uid_base),
     .min = 0,
     .max = INT32_MAX,
     .fallback = "0",
     .arg = "UID",
     .help = "as root: sandboxes of slot n run as this and n; 0: the default"},
    {.name = "log-level",
     .type = SETTING_STRING,
     .offset = AT(log_level),
     .words = levels,
     .fallback = "info",
     .arg = "LEVEL",
     .help = "the lowest level that is logged"},
};

/* The token that was given, or NULL; from the file it is the first line. */
static int given_token(const RunnerFlags *f, const void *mem, const char **ret, Err *err) {
    _cleanup_buf_ Buf text = BUF_INIT;
    int r;

    *ret = f->token ? f->token : getenv("PELTON_TOKEN");
    if (!f->token_file)
        return 0;
    r = file_read(f->token_file, 4096, &text, err);
    if (r < 0)
        return err_wrap(err, "--token-file");
    *ret = mem_strndup(mem, buf_str(&text), strcspn(buf_str(&text), "\r\n"));
    return 0;
}

static int enrol(Cli *cli, const RunnerFlags *f, const char **ret_file, Err *err) {
    static const char *const sandbox[] = {"sandbox", NULL}, *const both[] = {"sandbox", "shell", NULL};
    Enrolment e = {.server = f->server,
                   .dir = f->dir,
                   .name = f->name,
                   .executors = f->allow_shell ? both : sandbox,
                   .version = PELTON_VERSION,
                   .slots = f->slots};
    int r = given_token(f, cli->mem, &e.token, err);

    return r < 0 ? r : runner_enrol(&e, cli->mem, ret_file, err);
}

static int run_runner(Cli *cli, void *flags, Err *err) {
    RunnerFlags *f = flags;
    RunnerOptions options = {.server = f->server,
                             .server_file = f->server_file,
                             .dir = f->dir,
                             .name = f->name,
                             .version = PELTON_VERSION,
                             .slots = (int)f->slots,
                             .labels = f->labels,
                             .cpu = f->cpu * 1000,
                             .memory = f->memory,
                             .disk = f->disk,
                             .executors = f->executors && f->executors[0] ? f->executors : NULL,
                             .allow_shell = f->allow_shell,
                             .keep_free_bytes = f->min_free_space,
                             .spool_bytes = f->log_spool,
                             .cancel_grace_us = f->cancel_grace,
                             .cleanup_us = f->cleanup_time,
                             .job_uid_base = (uid_t)f->uid_base};

    if (!f->server && !f->server_file)
        return err_set(err, ERR_INVALID, "which server? give --server http://host:port");
    log_set_level(level_of(f->log_level));
    if (enrol(cli, f, &options.token_file, err) < 0)
        return -(int)err->code;
    return runner_main(&options, err);
}

static const char *const runner_examples[] = {
    "pelton runner --server http://ci.example.com --token-file t --dir /var/lib/runner",
    "the first time: registers, then runs jobs for that server",
    "pelton runner --server http://ci.example.com --dir /var/lib/runner --slots 4",
    "from then on: its own token is in that folder",
    "pelton runner --server http://ci.example.com --label gpu=yes --label zone=eu --memory 16G",
    "jobs may ask for these labels, and for so much memory together",
    NULL,
};

const Command command_runner = {
    .name = "runner",
    .brief = "run jobs for a server, here or elsewhere",
    .usage = "runner --server URL [--token-file FILE] [--dir DIR] [--slots N] …",
    .flags = runner_flags,
    .flag_count = ELEMENTS(runner_flags),
    .options_size = sizeof(RunnerFlags),
    .examples = runner_examples,
    .run = run_runner,
};

/* ---- release ---- */

typedef struct ReleaseFlags {
    const char *dir;
    bool unpack;
} ReleaseFlags;

static const Setting release_flags[] = {
    {.name = "dir",
     .type = SETTING_STRING,
     .offset = offsetof(ReleaseFlags, dir),
     .arg = "DIR",
     .help = "the release"},
    {.name = "unpack",
     .type = SETTING_BOOL,
     .offset = offsetof(ReleaseFlags, unpack),
     .fallback = "false",
     .help = "unpack its archive from standard input"},
};

static int run_release(Cli *cli, void *flags, Err *err) {
    ReleaseFlags *f = flags;

    if (!f->dir)
        return err_set(err, ERR_INVALID, "--dir is needed");
    prctl(PR_SET_NAME, "pelton release");
    return f->unpack ? release_unpack_main(f->dir) : release_main(f->dir);
}

static const char *const release_examples[] = {"pelton release --dir state/releases/UUID",
                                               "what the server does", NULL};

const Command command_release = {
    .name = "release",
    .brief = "supervise a release (the server starts this)",
    .usage = "release --dir DIR [--unpack]",
    .flags = release_flags,
    .flag_count = ELEMENTS(release_flags),
    .options_size = sizeof(ReleaseFlags),
    .examples = release_examples,
    .hidden = true,
    .run = run_release,
};
