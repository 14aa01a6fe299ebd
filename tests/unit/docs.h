/* Tables of docs/ that are made from the program's own: each between two comments, `<!-- NAME: begin -->` and
 * `end`. PELTON_UPDATE_DOCS=1 renews them. */
#pragma once

#include "base/file.h"
#include "base/str.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* A page of docs/, beside a folder above this program (build/ lies in the source tree) or above the working
 * directory. */
static inline bool docs_find(const char *page, char *path, size_t size) {
    char at[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", at, sizeof(at) - 1);

    for (int i = 0; i < 2; i++) {
        if (i == 1)
            len = getcwd(at, sizeof(at) - 1) ? (ssize_t)strlen(at) : -1;
        for (; len > 0; len--) {
            at[len] = '\0';
            snprintf(path, size, "%s/docs/%s", at, page);
            if (access(path, R_OK) == 0)
                return true;
            while (len > 0 && at[len - 1] != '/')
                len--;
        }
    }
    return false;
}

static inline void docs_hold(const char *page, const char *name, const Buf *expected) {
    _cleanup_talloc_ char *begin = mem_printf(NULL, "<!-- %s: begin -->\n", name);
    _cleanup_talloc_ char *end = mem_printf(NULL, "<!-- %s: end -->\n", name);
    _cleanup_buf_ Buf docs = BUF_INIT, changed = BUF_INIT;
    char path[PATH_MAX + 32], *from, *to;
    Err err = {0};

    if (!docs_find(page, path, sizeof(path)))
        fail_msg("no docs/%s above the program", page);
    if (file_read(path, 1024 * 1024, &docs, &err) < 0)
        fail_msg("%s", err.msg);
    from = strstr(docs.data, begin);
    to = strstr(docs.data, end);
    assert_true(from && to && to > from);
    from += strlen(begin);
    if (getenv("PELTON_UPDATE_DOCS")) {
        buf_add(&changed, docs.data, (size_t)(from - docs.data));
        buf_add(&changed, expected->data, expected->len);
        buf_adds(&changed, to);
        if (file_write_atomic(path, changed.data, changed.len, 0644, &err) < 0)
            fail_msg("%s", err.msg);
        return;
    }
    *to = '\0';
    assert_string_equal(from, buf_str(expected));
}
