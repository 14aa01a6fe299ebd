#include "ingress/haproxy.h"

#include "base/file.h"
#include "base/log.h"
#include "base/proc.h"
#include "base/str.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>

/* Ended, though perhaps nobody has reaped it. */
static bool pidfd_ended(int pidfd) {
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};

    return poll(&ended, 1, 0) > 0;
}

/* Field 22 of /proc/PID/stat (proc(5)), 0 when it does not run. */
static uint64_t process_started(pid_t pid) {
    _cleanup_buf_ Buf text = BUF_INIT;
    char path[64], *rest, *word = NULL;
    uint64_t started = 0;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (file_read(path, 4096, &text, &(Err){0}) < 0 || !(rest = strrchr(text.data, ')')) || strlen(rest) < 2)
        return 0;
    rest += 2;
    for (int field = 3; field <= 22; field++) {
        word = ha_word(&rest, ' ');
        if (field == 3 && (!word || *word == 'Z'))
            return 0;
    }
    return word && str_to_u64(word, UINT64_MAX, &started) ? started : 0;
}

void haprocess_forget(HaProcess *p) {
    if (p->pidfd >= 0)
        close(p->pidfd);
    p->pidfd = -1;
    p->pid = 0;
}

bool haprocess_gone(HaProcess *p) {
    if (p->pid == 0)
        return true;
    if (!pidfd_ended(p->pidfd))
        return false;
    haprocess_forget(p);
    return true;
}

static void socket_of(HaProcess *p, int64_t generation) {
    p->socket.dirfd = p->dirfd;
    snprintf(p->socket.name, sizeof(p->socket.name), "admin.%lld.sock", (long long)generation);
}

/* Its pid from its own mouth, twice: the pidfd is then the process that answers. */
static int attach(HaProcess *p, Err *err) {
    _cleanup_close_ int pidfd = -1;
    pid_t pid = 0, again = 0;

    if (hasocket_pid(&p->socket, &pid, err) < 0)
        return -(int)err->code;
    pidfd = pidfd_open(pid, 0);
    if (pidfd < 0)
        return err_errno(err, "HAProxy's process %d", (int)pid);
    if (hasocket_pid(&p->socket, &again, err) < 0)
        return -(int)err->code;
    if (again != pid)
        return err_set(err, ERR_CONFLICT, "HAProxy was replaced meanwhile");
    p->pid = pid;
    p->pidfd = TAKE_FD(pidfd);
    return 0;
}

/* The generation was kept before that process was started: it may never have come up. */
bool haprocess_attach(HaProcess *p, const Routes *r) {
    for (int64_t generation = r->generation; generation > 0 && generation >= r->generation - 1;
         generation--) {
        Err err;

        socket_of(p, generation);
        if (attach(p, &err) == 0)
            return true;
    }
    return false;
}

static int write_file(const HaProcess *p, const char *name, const Buf *text, Err *err) {
    _cleanup_free_ char *path = NULL;

    if (asprintf(&path, "%s/%s", p->dir, name) < 0)
        abort();
    return file_write_atomic(path, buf_str(text), text->len, 0600, err);
}

static int write_files(const HaProcess *p, const HaConfig *c, const Routes *r, Err *err) {
    _cleanup_buf_ Buf text = BUF_INIT;

    haconfig_render(c, r, &text);
    if (write_file(p, "haproxy.cfg", &text, err) < 0)
        return -(int)err->code;
    buf_clear(&text);
    haconfig_render_map(c, r, &text);
    if (write_file(p, "hosts.map", &text, err) < 0)
        return -(int)err->code;
    for (const HaPage *page = haconfig_pages; page->file; page++) {
        buf_clear(&text);
        haconfig_render_page(page, &text);
        if (write_file(p, page->file, &text, err) < 0)
            return -(int)err->code;
    }
    if (mkdirat(p->dirfd, "empty", 0755) < 0 && errno != EEXIST)
        return err_errno(err, "%s/empty", p->dir);
    return 0;
}

/* What it complained of, on one line. */
static void read_complaint(int fd, char *out, size_t size) {
    char text[4096], *rest = text, *line;
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    size_t len = 0;

    text[MAX(n, 0)] = '\0';
    out[0] = '\0';
    while ((line = ha_line(&rest)) && len < size)
        if (!str_after(line, "[NOTICE]"))
            len += (size_t)snprintf(out + len, size - len, "%s%s", len ? " " : "", line);
}

/* HAProxy leaves the foreground when it listens, or fails with a message. What it prints goes to a file: the
 * daemon might keep a pipe open. */
static int launch(HaProcess *p, const char *old_socket, Err *err) {
    char old_pid[16], complaint[400];
    const char *argv[] = {p->program, "-f", "haproxy.cfg", "-x", old_socket, "-sf", old_pid, NULL};
    static const char *const env[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                      NULL};
    _cleanup_close_ int out = openat(p->dirfd, "haproxy.log", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ProcOptions options = {
        .argv = argv, .envp = env, .cwd = p->dir, .out = out, .err = out, .new_session = true};
    int status = 0;
    pid_t pid;

    if (out < 0)
        return err_errno(err, "%s/haproxy.log", p->dir);
    if (p->pid == 0)
        argv[3] = NULL;
    snprintf(old_pid, sizeof(old_pid), "%d", (int)p->pid);
    if (proc_start(&options, &pid, NULL, err) < 0)
        return err_wrap(err, "start HAProxy");
    if (proc_wait(pid, &status, err) < 0)
        return -(int)err->code;
    if (status == 0)
        return 0;
    read_complaint(out, complaint, sizeof(complaint));
    return err_set(err, ERR_IO, "HAProxy does not start (exit status %d): %s", status, complaint);
}

static void remember_old(Routes *r, pid_t pid, int64_t generation) {
    RouteOld old = {.pid = pid, .started = process_started(pid), .generation = generation};

    if (old.started)
        mem_append(r, r->old, r->old_count, old);
}

int haprocess_start(HaProcess *p, const HaConfig *c, Routes *r, const char *routes_path, Err *err) {
    HaSocket before = p->socket;
    pid_t old_pid = haprocess_gone(p) ? 0 : p->pid;
    int64_t old_generation = r->generation;
    _cleanup_talloc_ char *digest = haconfig_digest(c, r, NULL);
    int ret;

    r->generation++;
    if (routes_save(r, routes_path, err) < 0 || write_files(p, c, r, err) < 0 ||
        launch(p, before.name, err) < 0)
        return -(int)err->code;
    haprocess_forget(p);
    socket_of(p, r->generation);
    ret = attach(p, err);
    if (ret < 0)
        return err_wrap(err, "after the start");
    if (old_pid) {
        remember_old(r, old_pid, old_generation);
        unlinkat(p->dirfd, before.name, 0);
    }
    talloc_free(r->bound);
    r->bound = mem_strdup(r, r->address);
    talloc_free(r->config);
    r->config = talloc_steal(r, TAKE_PTR(digest));
    log_info("ingress", "HAProxy %d listens on %s%s", (int)p->pid, r->address,
             old_pid ? " (taken over)" : "");
    return routes_save(r, routes_path, err);
}

/* Kills what is not gone a second after being asked. */
static void end_process(pid_t pid, int pidfd) {
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};

    pidfd_send_signal(pidfd, SIGTERM, NULL, 0);
    if (poll(&ended, 1, 1000) > 0)
        return;
    log_warn("ingress", "HAProxy %d does not end, killed", (int)pid);
    pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
    poll(&ended, 1, 1000);
}

void haprocess_stop(HaProcess *p, Routes *r) {
    if (!haprocess_gone(p))
        end_process(p->pid, p->pidfd);
    haprocess_forget(p);
    for (size_t i = 0; i < r->old_count; i++) {
        _cleanup_close_ int pidfd = pidfd_open(r->old[i].pid, 0);

        if (pidfd >= 0 && process_started(r->old[i].pid) == r->old[i].started)
            end_process(r->old[i].pid, pidfd);
    }
    r->old_count = 0;
}

bool haprocess_old_serves(Routes *r, int64_t generation) {
    bool serves = false;

    for (size_t i = 0; i < r->old_count;) {
        if (process_started(r->old[i].pid) != r->old[i].started) {
            r->old[i] = r->old[--r->old_count];
            continue;
        }
        serves = serves || generation <= r->old[i].generation;
        i++;
    }
    return serves;
}
