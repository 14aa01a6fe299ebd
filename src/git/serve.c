/* git http-backend as CGI (RFC 3875; git-http-backend(1)) behind a request of ours. One thread, and no
 * deadlock: while the body goes in, what comes out is collected, and the answer begins when the body has
 * ended. A client of git reads no sooner. */
#include "git/git.h"

#include "base/log.h"
#include "base/proc.h"
#include "base/str.h"
#include "git/env.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#define PIECE ((size_t)64 * 1024)
#define HEAD_MAX ((size_t)16 * 1024)
#define EARLY_MAX ((size_t)1024 * 1024) /* output before the body has ended: progress, a kilobyte or two */
#define SAID_MAX ((size_t)4096)
#define TERM_GRACE_MS 5000
#define PUSH_OPTIONS "receive.advertisePushOptions"

typedef struct Service {
    const char *rest; /* behind the repository in the path */
    HttpMethod method;
    const char *query; /* exactly this, or NULL */
    bool writes; /* once it has the whole body it is let finish: the refs change and the hook must run */
} Service;

/* The dumb protocol (no query, or files) is not served: it would list what is in the folder. */
static const Service services[] = {
    {"info/refs", HTTP_GET, "service=git-upload-pack", false},
    {"info/refs", HTTP_GET, "service=git-receive-pack", false},
    {"git-upload-pack", HTTP_POST, NULL, false},
    {"git-receive-pack", HTTP_POST, NULL, true},
};

typedef struct Backend {
    HttpRequest *req;
    const Service *service;
    pid_t pid;               /* 0: not there, or reaped */
    int pidfd, in, out, err; /* -1: at its end */
    Buf early;               /* output that the client has not yet got */
    Buf said;                /* the end of its standard error */
    bool begun, fed;         /* the answer was begun; the whole body was passed on */
} Backend;

/* The group goes too: git's children, and the hook's. It gets time to remove what it has begun to write. */
static void backend_kill(Backend *b) {
    struct pollfd fd = {.fd = b->pidfd, .events = POLLIN};
    int n;

    kill(-b->pid, SIGTERM);
    do
        n = poll(&fd, 1, TERM_GRACE_MS);
    while (n < 0 && errno == EINTR);
    if (n == 0)
        kill(-b->pid, SIGKILL);
}

static void backend_done(Backend *b) {
    int status = 0;

    if (b->pid) {
        backend_kill(b);
        if (proc_wait(b->pid, &status, NULL) < 0)
            log_warn("git", "http-backend was not there to be reaped");
    }
    mem_close_p(&b->pidfd);
    mem_close_p(&b->in);
    mem_close_p(&b->out);
    mem_close_p(&b->err);
    buf_done(&b->early);
    buf_done(&b->said);
}

/* ---- start ---- */

static void add_header_variable(GitEnv *env, const char *name, const char *value) {
    if (value)
        git_env_add(env, "%s=%s", name, value);
}

/* No CONTENT_LENGTH: the body ends where the stream does, so that http-backend need not copy a pack. */
static const char *const *cgi_environment(HttpRequest *req, const char *repo, const char *rest,
                                          const char *user, const char *const *more) {
    GitEnv *env = git_env_new(http_mem(req));

    git_env_add(env, "REQUEST_METHOD=%s", http_method(req) == HTTP_POST ? "POST" : "GET");
    git_env_add(env, "QUERY_STRING=%s", http_query_string(req));
    git_env_add(env, "PATH_TRANSLATED=%s/%s", repo, rest);
    git_env_add(env, "REMOTE_ADDR=%s", http_peer(req));
    git_env_add(env, "GIT_HTTP_EXPORT_ALL=1");
    git_env_add(env, "GIT_HTTP_MAX_REQUEST_BUFFER=32m"); /* of what a fetch says it has */
    git_env_config(env, PUSH_OPTIONS, "true");           /* for repositories that are older than it is */
    add_header_variable(env, "REMOTE_USER", user);
    add_header_variable(env, "CONTENT_TYPE", http_header(req, "Content-Type"));
    add_header_variable(env, "HTTP_CONTENT_ENCODING", http_header(req, "Content-Encoding"));
    add_header_variable(env, "GIT_PROTOCOL", http_header(req, "Git-Protocol"));
    for (; more && *more; more++)
        git_env_add(env, "%s", *more);
    return git_env_vector(env);
}

/* Its input is a socket and not a pipe, for MSG_NOSIGNAL and MSG_DONTWAIT. */
static int backend_start(Backend *b, const char *const *envp, Err *err) {
    static const char *const argv[] = {"git", "http-backend", NULL};
    _cleanup_close_ int in = -1, out = -1, errors = -1;
    ProcOptions options = {.argv = argv, .envp = envp, .new_session = true, .die_with_parent = true};
    int fds[2], r;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        return err_errno(err, "make socket");
    b->in = fds[0];
    in = fds[1];
    options.in = in;
    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_errno(err, "make pipe");
    b->out = fds[0];
    out = fds[1];
    options.out = out;
    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_errno(err, "make pipe");
    b->err = fds[0];
    errors = fds[1];
    options.err = errors;
    r = proc_start(&options, &b->pid, &b->pidfd, err);
    if (r == -ERR_NOT_FOUND && err)
        err->code = ERR_INTERNAL; /* git is not there; that is not the client's 404 */
    return r < 0 ? err_wrap(err, "serve git") : 0;
}

/* ---- in ---- */

static int read_piece(int *fd, Buf *into, Err *err) {
    ssize_t n = read(*fd, buf_reserve(into, PIECE), PIECE);

    if (n < 0)
        return errno == EINTR ? 0 : err_errno(err, "read from git");
    into->len += (size_t)n;
    into->data[into->len] = '\0';
    if (n == 0)
        mem_close(TAKE_FD(*fd));
    return 0;
}

static int take_said(Backend *b, Err *err) {
    int r = read_piece(&b->err, &b->said, err);

    if (b->said.len > SAID_MAX)
        buf_drop(&b->said, b->said.len - SAID_MAX);
    return r;
}

/* Waits until git takes input (when there is some for it), and meanwhile takes what it says. */
static int backend_wait(Backend *b, bool feeding, Err *err) {
    struct pollfd fds[3] = {{.fd = feeding ? b->in : -1, .events = POLLOUT},
                            {.fd = b->out, .events = POLLIN},
                            {.fd = b->err, .events = POLLIN}};
    int r = 0;

    if (poll(fds, ELEMENTS(fds), -1) < 0)
        return errno == EINTR ? 0 : err_errno(err, "poll");
    if (fds[1].revents)
        r = read_piece(&b->out, &b->early, err);
    if (r >= 0 && fds[2].revents)
        r = take_said(b, err);
    return r;
}

/* When git reads no further (it has refused the push) the rest of the body is read and dropped, so that the
 * client gets to read why. */
static int feed_piece(Backend *b, const char *data, size_t len, Err *err) {
    int r = 0;

    while (b->in >= 0 && len > 0 && r >= 0) {
        ssize_t n = send(b->in, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n > 0) {
            data += n;
            len -= (size_t)n;
        } else if (errno == EPIPE || errno == ECONNRESET) {
            mem_close(TAKE_FD(b->in));
        } else if (errno == EAGAIN) {
            r = backend_wait(b, true, err);
            if (r >= 0 && b->early.len > EARLY_MAX)
                r = err_set(err, ERR_INTERNAL, "git http-backend: an answer before the end of the request");
        } else if (errno != EINTR) {
            r = err_errno(err, "write to git");
        }
    }
    return r;
}

static int feed(Backend *b, Err *err) {
    char *piece = b->service->method == HTTP_POST ? mem_array(http_mem(b->req), char, PIECE) : NULL;
    ssize_t n = 0;
    int r;

    while (piece && (n = http_body_read(b->req, piece, PIECE, err)) > 0) {
        r = feed_piece(b, piece, (size_t)n, err);
        if (r < 0)
            return r;
    }
    if (n < 0)
        return (int)n;
    if (b->in >= 0)
        mem_close(TAKE_FD(b->in));
    b->fed = true;
    return 0;
}

/* ---- out ---- */

/* One line of the head; false when it is none. */
static bool head_line(HttpRequest *req, char *line, int *status, const char **type) {
    char *value = strchr(line, ':');
    int64_t number;

    if (!value)
        return false;
    *value++ = '\0';
    value += strspn(value, " \t");
    if (strcasecmp(line, "Status") == 0) {
        value[strcspn(value, " ")] = '\0';
        if (!str_to_i64(value, 100, 599, &number))
            return false;
        *status = (int)number;
    } else if (strcasecmp(line, "Content-Type") == 0) {
        *type = value;
    } else if (strcasecmp(line, "Content-Length") != 0) { /* the answer is framed by the server */
        http_add_header(req, line, value);
    }
    return true;
}

/* The length of the head with its empty line, 0 when it is not whole yet. */
static size_t head_length(const Buf *out) {
    const char *crlf, *lf;

    if (!out->data)
        return 0;
    crlf = memmem(out->data, out->len, "\r\n\r\n", 4);
    lf = memmem(out->data, out->len, "\n\n", 2);
    if (crlf && (!lf || crlf < lf))
        return (size_t)(crlf - out->data) + 4;
    return lf ? (size_t)(lf - out->data) + 2 : 0;
}

static int begin(Backend *b, size_t head_len, Err *err) {
    char *head = mem_strndup(http_mem(b->req), b->early.data, head_len), *next;
    const char *type = NULL;
    int status = 200;

    for (char *line = head; *line; line = next) {
        size_t len = strcspn(line, "\n");

        next = line + len + (line[len] != '\0');
        line[len] = '\0';
        if (len > 0 && line[len - 1] == '\r')
            line[len - 1] = '\0';
        if (*line && !head_line(b->req, line, &status, &type))
            return err_set(err, ERR_INTERNAL, "git http-backend: a bad answer");
    }
    buf_drop(&b->early, head_len);
    b->begun = true;
    type = type ? type : "text/plain";
    if (b->out >= 0)
        return http_body_begin(b->req, status, type, err);
    http_reply_buf(b->req, status, type, &b->early); /* it is all here: the connection can be used again */
    return 0;
}

/* Passes on what there is. */
static int pass_on(Backend *b, Err *err) {
    size_t head_len;
    int r = 0;

    if (!b->begun) {
        head_len = head_length(&b->early);
        if (head_len == 0 && (b->early.len > HEAD_MAX || (b->out < 0 && b->err < 0)))
            return err_set(err, ERR_INTERNAL, "git http-backend: no answer: %.200s", buf_str(&b->said));
        if (head_len == 0)
            return 0;
        r = begin(b, head_len, err);
    }
    if (r >= 0 && b->early.len > 0)
        r = http_body_write(b->req, b->early.data, b->early.len, err);
    buf_clear(&b->early);
    return r;
}

/* Reads to the end, passing on as long as the client is there. A push whose client has gone is finished all
 * the same. */
static int answer(Backend *b, Err *err) {
    bool gone = false;
    int r = 0;

    while (b->out >= 0 || b->err >= 0 || b->early.len > 0) {
        if (b->out >= 0 || b->err >= 0) {
            int waited = backend_wait(b, false, gone ? NULL : err);

            if (waited < 0)
                return gone ? r : waited;
        }
        if (gone)
            buf_clear(&b->early);
        else if (b->out < 0 || b->early.len > (b->service->query ? EARLY_MAX : 0))
            r = pass_on(b, err);
        gone = gone || r < 0;
        if (gone && !b->service->writes)
            return r;
    }
    return r;
}

static void say(const Backend *b, int status) {
    if (status != 0 || b->said.len > 0)
        log_warn("git", "%s: status %d: %.*s", b->service->rest, status, (int)MIN(b->said.len, (size_t)400),
                 buf_str(&b->said));
}

static int serve(Backend *b, Err *err) {
    int r = feed(b, err), status = 0, reaped;

    if (r >= 0)
        r = answer(b, err);
    if (r < 0 && !(b->service->writes && b->fed))
        return r; /* backend_done ends it */
    reaped = proc_wait(b->pid, &status, r < 0 ? NULL : err);
    b->pid = 0;
    say(b, status);
    return r < 0 ? r : reaped;
}

static const Service *find_service(HttpRequest *req, const char *rest) {
    for (size_t i = 0; i < ELEMENTS(services); i++) {
        const Service *s = &services[i];

        if (str_eq(s->rest, rest) && s->method == http_method(req) &&
            (!s->query || str_eq(s->query, http_query_string(req))))
            return s;
    }
    return NULL;
}

int git_serve_http(HttpRequest *req, const char *repo, const char *rest, const char *user,
                   const char *const *env, Err *err) {
    _cleanup_(backend_done) Backend b = {.req = req, .pidfd = -1, .in = -1, .out = -1, .err = -1};
    int r;

    b.service = find_service(req, rest);
    if (!b.service)
        return err_set(err, ERR_NOT_FOUND, "not a git client's request (git 1.6.6 or later is needed)");
    if (access(repo, F_OK) < 0)
        return err_set(err, ERR_NOT_FOUND, "there is no such repository");
    r = backend_start(&b, cgi_environment(req, repo, rest, user, env), err);
    return r < 0 ? r : serve(&b, err);
}
