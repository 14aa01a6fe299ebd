/* What is known of a release from outside its supervisor: state.json and the lock. */
#include "deploy/release.h"

#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "deploy/release_file.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/pidfd.h>

static const char *const phase_words[] = {"starting", "running", "backoff", "failed", "stopped"};

const char *release_phase_word(ReleasePhase phase) {
    return phase_words[phase];
}

int release_state_write(const char *dir, const ReleaseState *state, Err *err) {
    _cleanup_talloc_ char *path = mem_printf(NULL, "%s/state.json", dir);
    _cleanup_buf_ Buf text = BUF_INIT;
    JsonWriter w = JSON_WRITER(&text);

    jw_object(&w, NULL);
    jw_str(&w, "state", phase_words[state->phase]);
    jw_int(&w, "pid", state->pid);
    jw_int(&w, "port", state->port);
    jw_int(&w, "restarts", state->restarts);
    jw_int(&w, "exit_status", state->exit_status);
    jw_str(&w, "message", state->message);
    jw_end_object(&w);
    return file_write_atomic(path, text.data, text.len, 0600, err);
}

int release_state_read(const char *dir, ReleaseState *ret, Err *err) {
    _cleanup_talloc_ char *path = mem_printf(NULL, "%s/state.json", dir);
    const char *word = "", *message = "";
    int64_t pid = 0, port = 0, status = -1;
    _cleanup_json_ json_t *root = NULL;
    _cleanup_buf_ Buf text = BUF_INIT;
    ReleaseState state = {0};

    if (file_read(path, 64 * 1024, &text, err) < 0)
        return -(int)err->code;
    if (json_read(text.data, text.len, &root, err) < 0 || json_get_str(root, "state", &word, err) < 0 ||
        json_opt_i64(root, "pid", &pid, err) < 0 || json_opt_i64(root, "port", &port, err) < 0 ||
        json_opt_i64(root, "restarts", &state.restarts, err) < 0 ||
        json_opt_i64(root, "exit_status", &status, err) < 0 ||
        json_opt_str(root, "message", &message, err) < 0)
        return err_wrap(err, "%s", path);
    state.pid = (pid_t)pid;
    state.port = (int)port;
    state.exit_status = (int)status;
    snprintf(state.message, sizeof(state.message), "%s", message);
    for (size_t i = 0; i < ELEMENTS(phase_words); i++)
        if (str_eq(word, phase_words[i]))
            state.phase = (ReleasePhase)i;
    *ret = state;
    return 0;
}

static pid_t lock_holder(int fd) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    return fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK ? lock.l_pid : 0;
}

/* The kernel tells who holds the lock; asked again after the pidfd is there, so that it is of that process.
 */
int release_supervisor(const char *dir, pid_t *ret_pid, int *ret_pidfd, Err *err) {
    _cleanup_talloc_ char *path = mem_printf(NULL, "%s/lock", dir);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC), pidfd = -1;
    pid_t pid;

    if (fd < 0)
        return err_errno(err, "%s", path);
    pid = lock_holder(fd);
    if (pid > 0)
        pidfd = pidfd_open(pid, 0);
    if (pid <= 0 || pidfd < 0 || lock_holder(fd) != pid)
        return err_set(err, ERR_NOT_FOUND, "the release's supervisor does not run");
    *ret_pid = pid;
    if (ret_pidfd)
        *ret_pidfd = TAKE_FD(pidfd);
    return 0;
}
