#include "cli/local.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define READY_US (30 * US_PER_S)
#define END_US (120 * US_PER_S) /* for a cancelled build: its grace and its cleaning steps */
#define WHERE_MAX 65536

struct Local {
    const char *folder, *state; /* state: folder/state, or one that is kept */
    bool keep;
    int line; /* to the keeper: the build's number; its end is ours */
    pid_t keeper;
    const char *url, *token;
};

static int interrupt_line = -1;
static pid_t interrupt_keeper;

/* ---- the keeper ---- */

/* Of the server, in l. */
static const char **server_argv(const Local *l, const LocalOptions *options, const char *self) {
    const char *argv[] = {self,
                          "server",
                          "--state",
                          l->state,
                          "--listen",
                          "127.0.0.1:0",
                          "--ingress",
                          "off",
                          "--allow-executor",
                          "shell",
                          "--runners",
                          "1",
                          "--slots",
                          mem_printf(l, "%" PRId64, options->slots),
                          "--json",
                          NULL};
    const char **copy = NULL;
    size_t count = 0;

    for (size_t i = 0; argv[i]; i++)
        mem_append(l, copy, count, argv[i]);
    for (size_t i = 0; options->labels && options->labels[i]; i++) {
        mem_append(l, copy, count, "--runner-label");
        mem_append(l, copy, count, options->labels[i]);
    }
    mem_append(l, copy, count, NULL);
    return copy;
}

static pid_t start_server(const Local *l, const LocalOptions *options, int out, Err *err) {
    char self[PATH_MAX] = "";
    _cleanup_close_ int log =
        open(mem_printf(l, "%s/server.log", l->folder), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ProcOptions proc = {.out = out, .err = log, .new_session = true, .die_with_parent = true};
    pid_t pid;
    int r;

    if (log < 0)
        return err_errno(err, "create a log in %s", l->folder);
    if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
        return err_errno(err, "find this program");
    proc.argv = server_argv(l, options, self);
    r = proc_start(&proc, &pid, NULL, err);
    return r < 0 ? r : pid;
}

static int ignore(void *arg, const void *data, size_t len) {
    return 0;
}

/* Asks the build to stop, and waits for its log's end, which is its own. */
static void cancel(const Local *l, int64_t build, const char *url, const char *token) {
    const char *path = mem_printf(l, "/api/builds/%" PRId64, build);
    HttpCall stop = {.method = "POST", .path = mem_printf(l, "%s/cancel", path), .timeout_us = END_US};
    HttpCall log = {.method = "GET",
                    .path = mem_printf(l, "%s/logs?follow=1", path),
                    .stream = true,
                    .timeout_us = END_US,
                    .headers = (const char *const[]){"Accept: text/event-stream", NULL},
                    .on_data = ignore};
    HttpClient *client;
    Err err;

    if (http_client_new(l, url, token, &client, &err) < 0)
        return;
    if (http_client_call(client, &stop, &err) >= 0 && stop.status < 300 &&
        http_client_call(client, &log, &err) >= 0)
        buf_done(&log.answer);
    buf_done(&stop.answer);
}

/* The last line that came before the end: "BUILD URL TOKEN". */
static void wait_for_end(const Local *l, int line) {
    char text[8192] = "", number[24] = "", url[256] = "", token[256] = "";
    size_t len = 0;
    int64_t build = 0;
    ssize_t n;

    while ((n = read(line, text + len, sizeof(text) - 1 - len)) != 0)
        if (n > 0)
            len += (size_t)n;
        else if (errno != EINTR)
            break;
    text[len] = 0;
    if (sscanf(text, "%23s %255s %255s", number, url, token) == 3 && str_to_i64(number, 1, INT64_MAX, &build))
        cancel(l, build, url, token);
}

static void end_server(pid_t pid) {
    int status;
    Err err;

    kill(pid, SIGTERM);
    if (proc_wait(pid, &status, &err) < 0)
        return;
}

static _Noreturn void keep(const Local *l, const LocalOptions *options, int line, int out) {
    Err err;
    pid_t pid;

    setsid();
    signal(SIGPIPE, SIG_IGN);
    pid = start_server(l, options, out, &err);
    mem_close(out);
    if (pid < 0) {
        dprintf(STDERR_FILENO, "pelton: %s\n", err.msg);
    } else {
        wait_for_end(l, line);
        end_server(pid);
    }
    if (file_remove_tree(l->folder, &err) < 0)
        dprintf(STDERR_FILENO, "pelton: %s\n", err.msg);
    _exit(0);
}

/* ---- our side ---- */

/* Ctrl-C: the keeper cleans up, and we stay until it has. */
static void interrupted(int sig) {
    static const char text[] = "\npelton: stopping …\n";
    int status;

    if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
        _exit(128 + sig);
    close(interrupt_line);
    while (waitpid(interrupt_keeper, &status, 0) < 0 && errno == EINTR)
        ;
    _exit(128 + sig);
}

static void catch_interrupts(const Local *l) {
    struct sigaction action = {.sa_handler = interrupted};

    interrupt_line = l->line;
    interrupt_keeper = l->keeper;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

static int make_folders(Local *l, const char *state, Err *err) {
    const char *base = getenv("TMPDIR");
    char *folder = mem_printf(l, "%s/pelton-run-XXXXXX", str_empty(base) ? "/tmp" : base);

    if (!mkdtemp(folder))
        return err_errno(err, "create a folder in %s", str_empty(base) ? "/tmp" : base);
    /* jobs are other users, and pass through to their workspaces */
    if (chmod(folder, 0711) < 0)
        return err_errno(err, "chmod %s", folder);
    l->folder = folder;
    l->state = state ? state : mem_printf(l, "%s/state", folder);
    return file_mkdirs(local_scratch(l), 0700, err);
}

static int start_keeper(Local *l, const LocalOptions *options, int *ret_out, Err *err) {
    int line[2], out[2];

    if (pipe2(line, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
        return err_errno(err, "make a pipe");
    l->keeper = fork();
    if (l->keeper < 0)
        return err_errno(err, "fork");
    if (l->keeper == 0) {
        mem_close(line[1]);
        mem_close(out[0]);
        keep(l, options, line[0], out[1]);
    }
    mem_close(line[0]);
    mem_close(out[1]);
    l->line = line[1];
    *ret_out = out[0];
    return 0;
}

/* The last words of a server that did not come up. */
static int not_started(const Local *l, Err *err) {
    _cleanup_buf_ Buf log = BUF_INIT;
    Err none;

    if (file_read(mem_printf(l, "%s/server.log", l->folder), WHERE_MAX, &log, &none) < 0)
        return err_set(err, ERR_UNAVAILABLE, "the build's own server does not start");
    return err_set(err, ERR_UNAVAILABLE, "the build's own server does not start: %s", buf_str(&log));
}

/* It says where it is when it can be reached. */
static int wait_until_ready(const Local *l, int out, json_t **ret, Err *err) {
    int64_t until = clock_mono() + READY_US;
    _cleanup_buf_ Buf text = BUF_INIT;
    struct pollfd fd = {.fd = out, .events = POLLIN};

    while (!memchr(buf_str(&text), '\n', text.len)) {
        char piece[4096];
        int64_t left = until - clock_mono();
        ssize_t n;

        if (left <= 0 || poll(&fd, 1, (int)(left / US_PER_MS) + 1) == 0)
            return not_started(l, err);
        n = read(out, piece, sizeof(piece));
        if (n <= 0)
            return not_started(l, err);
        buf_add(&text, piece, (size_t)n);
    }
    return json_read(text.data, text.len, ret, err);
}

static int connect_cli(Cli *cli, Local *l, const json_t *where, Err *err) {
    _cleanup_buf_ Buf token = BUF_INIT;
    const char *url, *file;
    int r = json_get_str(where, "url", &url, err);

    if (r >= 0)
        r = json_get_str(where, "token_file", &file, err);
    if (r >= 0)
        r = file_read(file, 4096, &token, err);
    if (r < 0)
        return r;
    l->url = cli->url = mem_strdup(cli->mem, url);
    l->token = cli->token = mem_strndup(cli->mem, buf_str(&token), strcspn(buf_str(&token), "\r\n"));
    return http_client_new(cli->mem, cli->url, cli->token, &cli->client, err);
}

int local_start(Cli *cli, const LocalOptions *options, Local **ret, Err *err) {
    Local *l = mem_new(cli->mem, Local);
    _cleanup_json_ json_t *where = NULL;
    _cleanup_close_ int out = -1;
    int r = make_folders(l, options->state, err);

    if (r < 0)
        return r;
    r = start_keeper(l, options, &out, err);
    if (r < 0)
        return r;
    catch_interrupts(l);
    r = wait_until_ready(l, out, &where, err);
    if (r >= 0)
        r = connect_cli(cli, l, where, err);
    if (r < 0) {
        local_stop(l);
        return r;
    }
    *ret = l;
    return 0;
}

const char *local_scratch(const Local *l) {
    return mem_printf(l, "%s/scratch", l->folder);
}

void local_build(Local *l, int64_t build) {
    /* a keeper that is gone ends nothing, and its server is gone with it: the follower finds that out */
    if (dprintf(l->line, "%" PRId64 " %s %s\n", build, l->url, l->token) < 0)
        return;
}

void local_stop(Local *l) {
    int status;
    Err err;

    mem_close(l->line);
    if (proc_wait(l->keeper, &status, &err) < 0)
        return;
    talloc_free(l);
}
