/* A blob store in a folder of its own, for every test. */
#pragma once

#include "blob/blob.h"

#include "base/file.h"
#include "base/str.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>

#include <cmocka.h>

typedef struct Fixture {
    char dir[64];
    Bus *bus;
    Blob *blob;
    Err err;
} Fixture;

#define OK(f, call)                                                                                          \
    do {                                                                                                     \
        if ((call) < 0)                                                                                      \
            fail_msg("%s", (f)->err.msg);                                                                    \
    } while (0)

static inline char *path_of(Fixture *f, const char *name) {
    return mem_printf(f, "%s/%s", f->dir, name);
}

static inline int setup(void **state) {
    Fixture *f = mem_new(NULL, Fixture);

    snprintf(f->dir, sizeof(f->dir), "/tmp/pelton-blob-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->bus = bus_new(f);
    OK(f, blob_open(f, path_of(f, "root"), f->bus, &f->blob, &f->err));
    *state = f;
    return 0;
}

static inline int teardown(void **state) {
    Fixture *f = *state;

    blob_close(f->blob);
    bus_free(f->bus);
    OK(f, file_remove_tree(f->dir, &f->err));
    talloc_free(f);
    return 0;
}

static inline void reopen(Fixture *f) {
    blob_close(f->blob);
    OK(f, blob_open(f, path_of(f, "root"), f->bus, &f->blob, &f->err));
}

/* Appends at the end, wherever that is. */
static inline void append(Fixture *f, int64_t job, const void *data, size_t len) {
    uint64_t size, next;

    OK(f, blob_log_size(f->blob, job, 1, &size, &f->err));
    OK(f, blob_log_append(f->blob, job, 1, size, data, len, &next, &f->err));
    assert_int_equal(next, size + len);
}
