/* A container engine of the test's own: a dockerd with folders, socket and images of its own, and no bridge.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/str.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#define ENGINE_IMAGE "busybox:test"
#define ENGINE_WAIT_S 60

typedef struct Engine {
    char dir[64];
    pid_t pid, registry;
} Engine;

static Engine engine;

/* Runs a script with the engine's own client at hand; gives what it printed, until the next call. */
static inline const char *engine_sh(const char *script, int *ret_status) {
    static Buf out;
    const char *argv[] = {"sh", "-c", script, NULL};
    ProcOptions options = {.argv = argv};
    int status = 0;
    Err err;

    buf_clear(&out);
    if (proc_run(&options, NULL, 0, 1 << 20, &out, NULL, NULL, 120 * US_PER_S, &status, &err) < 0)
        fail_msg("%s", err.msg);
    if (ret_status)
        *ret_status = status;
    return buf_str(&out);
}

static inline const char *engine_do(const char *script) {
    int status;
    const char *out = engine_sh(script, &status);

    if (status != 0)
        fail_msg("%s: status %d: %s", script, status, out);
    return out;
}

/* docker.io's client, whatever else PATH has of that name. */
#define DOCKER "/usr/bin/docker "

static inline bool engine_answers(void) {
    int status;

    engine_sh(DOCKER "version >/dev/null 2>&1", &status);
    return status == 0;
}

static inline void engine_start_daemon(void) {
    char data[96], exec[96], pidfile[96], host[96];
    const char *argv[] = {"dockerd",
                          "--data-root",
                          data,
                          "--exec-root",
                          exec,
                          "--pidfile",
                          pidfile,
                          "-H",
                          host,
                          "--iptables=false",
                          "--bridge=none",
                          "--userland-proxy=false",
                          "--log-level=error",
                          NULL};
    ProcOptions options = {.argv = argv, .new_session = true, .out = -1, .err = -1};
    int64_t until = clock_mono() + ENGINE_WAIT_S * US_PER_S;
    Err err;

    snprintf(data, sizeof(data), "%s/data", engine.dir);
    snprintf(exec, sizeof(exec), "%s/exec", engine.dir);
    snprintf(pidfile, sizeof(pidfile), "%s/pid", engine.dir);
    snprintf(host, sizeof(host), "unix://%s/docker.sock", engine.dir);
    setenv("DOCKER_HOST", host, 1);
    if (proc_start(&options, &engine.pid, NULL, &err) < 0)
        fail_msg("%s", err.msg);
    while (!engine_answers()) {
        if (clock_mono() >= until || waitpid(engine.pid, NULL, WNOHANG) == engine.pid)
            fail_msg("dockerd does not start");
        poll(NULL, 0, 20);
    }
}

/* An image of nothing but busybox. */
static inline void engine_import(void) {
    char script[512];

    snprintf(script, sizeof(script),
             "set -e; cd %s; mkdir -p root/bin root/tmp root/etc; cp /bin/busybox root/bin/; "
             "for a in $(/bin/busybox --list); do [ $a = busybox ] || ln -s busybox root/bin/$a; done; "
             "echo 'root:x:0:0::/root:/bin/sh\nmaker:x:700:701::/:/bin/sh' > root/etc/passwd; "
             "tar -C root -c . | " DOCKER "import -c 'ENV FROM_IMAGE=yes' - " ENGINE_IMAGE " >/dev/null",
             engine.dir);
    engine_do(script);
}

/* Where it cannot be (no root, no docker.io) the tests are skipped. */
static inline int engine_setup(void **state) {
    snprintf(engine.dir, sizeof(engine.dir), "/tmp/pelton-engine-XXXXXX");
    assert_non_null(mkdtemp(engine.dir));
    if (geteuid() != 0 || access("/usr/sbin/dockerd", X_OK) < 0 || access("/bin/busybox", X_OK) < 0)
        return 0;
    engine_start_daemon();
    engine_import();
    return 0;
}

static inline void engine_end(pid_t pid) {
    int status;

    if (pid <= 0)
        return;
    kill(pid, SIGTERM);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
}

static inline int engine_teardown(void **state) {
    Err err;

    engine_end(engine.registry);
    engine_end(engine.pid);
    if (file_remove_tree(engine.dir, &err) < 0)
        print_error("%s\n", err.msg);
    return 0;
}

/* A registry that lets in user "tester" with the password "secret"; gives its port. */
static inline int engine_registry(void) {
    char config[96], script[1024];
    const char *argv[] = {"docker-registry", "serve", config, NULL}, *port = "";
    ProcOptions options = {.argv = argv, .out = -1};
    int64_t until = clock_mono() + ENGINE_WAIT_S * US_PER_S;
    _cleanup_close_ int log = -1;
    Err err;

    if (access("/usr/bin/docker-registry", X_OK) < 0)
        return 0;
    snprintf(config, sizeof(config), "%s/registry.yml", engine.dir);
    snprintf(script, sizeof(script),
             "cd %s; echo 'tester:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a' > users; "
             "printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: %s/registry}}\nhttp: {addr: "
             "127.0.0.1:0}\nauth: {htpasswd: {realm: test, path: %s/users}}\n' > registry.yml",
             engine.dir, engine.dir, engine.dir);
    engine_do(script);
    snprintf(script, sizeof(script), "%s/registry.log", engine.dir);
    log = open(script, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(log >= 0);
    options.err = log;
    if (proc_start(&options, &engine.registry, NULL, &err) < 0)
        fail_msg("%s", err.msg);
    snprintf(script, sizeof(script),
             "sed -n 's/.*listening on 127.0.0.1:\\([0-9]*\\).*/\\1/p' %s/registry.log", engine.dir);
    while (!*port && clock_mono() < until) {
        poll(NULL, 0, 20);
        port = engine_do(script);
    }
    return atoi(port);
}

#define engine_need()                                                                                        \
    do                                                                                                       \
        if (engine.pid <= 0)                                                                                 \
            skip();                                                                                          \
    while (0)

/* Waits for something that tells nobody. */
#define engine_until(condition)                                                                              \
    do {                                                                                                     \
        int64_t until_ = clock_mono() + ENGINE_WAIT_S * US_PER_S;                                            \
        while (!(condition) && clock_mono() < until_)                                                        \
            poll(NULL, 0, 10);                                                                               \
        if (!(condition))                                                                                    \
            fail_msg("waited in vain for: %s", #condition);                                                  \
    } while (0)
