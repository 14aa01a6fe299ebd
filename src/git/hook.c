/* The post-receive hook: plain sh, as short as it can be; the work is the program's. */
#include "base/file.h"
#include "git/git.h"
#include "git/internal.h"
#include <string.h>
#include <sys/stat.h>

/* A post-receive hook cannot refuse: the refs have changed already. So whatever fails here costs no more than
 * time: the server compares the refs when it starts, and the pusher is told. Standard input is read to its
 * end when nobody else does. */
static const char script[] =
    "\n"
    "not_told() {\n"
    "    cat >/dev/null\n"
    "    {\n"
    "        echo\n"
    "        echo '*** Your push was accepted and nothing of it is lost, but NO BUILD'\n"
    "        printf '*** could be started for it now: %s.\\n' \"$1\"\n"
    "        echo '*** It will be built when the server is up again.'\n"
    "        echo\n"
    "    } >&2\n"
    "    exit 1\n"
    "}\n"
    "\n"
    "[ -f \"$pelton\" ] || not_told \"the program is not at $pelton\"\n"
    "[ -x \"$pelton\" ] || not_told \"$pelton may not be run\"\n"
    "\"$pelton\" hook post-receive --state \"$state\"\n"
    "status=$?\n"
    "case $status in\n"
    "0) exit 0 ;;\n"
    "5) exit 1 ;; # it has told the pusher\n"
    "esac\n"
    "not_told \"pelton hook ended with status $status\"\n";

/* One word of sh whatever is in it (POSIX.1 XCU 2.2.2): 'it'\''s' */
static void quote(Buf *out, const char *word) {
    buf_addc(out, '\'');
    for (const char *c = word; *c; c++) {
        if (*c == '\'')
            buf_adds(out, "'\\''");
        else
            buf_addc(out, *c);
    }
    buf_addc(out, '\'');
}

void git_hook_text(const char *pelton, const char *state_dir, Buf *out) {
    buf_adds(out, "#!/bin/sh\n# Written by pelton; changes made here are lost.\npelton=");
    quote(out, pelton);
    buf_adds(out, "\nstate=");
    quote(out, state_dir);
    buf_addc(out, '\n');
    buf_adds(out, script);
}

int git_hook_install(const char *repo, const char *pelton, const char *state_dir, Err *err) {
    _cleanup_talloc_ char *path = mem_printf(NULL, "%s/hooks/post-receive", repo);
    _cleanup_buf_ Buf now = BUF_INIT, text = BUF_INIT;
    struct stat st;
    int r;

    if (pelton[0] != '/' || state_dir[0] != '/')
        return err_set(err, ERR_INVALID, "hook: the paths of program and state must be absolute");
    git_hook_text(pelton, state_dir, &text);
    if (stat(path, &st) == 0 && (st.st_mode & 07777) == 0755 && (size_t)st.st_size == text.len &&
        file_read(path, text.len, &now, NULL) >= 0 && now.len == text.len &&
        memcmp(now.data, text.data, text.len) == 0)
        return 0;
    r = file_write_atomic(path, text.data, text.len, 0755, err);
    return r < 0 ? err_wrap(err, "install hook") : 0;
}
