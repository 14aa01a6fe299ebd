/* What the tests of this room share. */
#pragma once

/* cmocka needs these four before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* The call fails with this code, and says something that holds the text. */
#define assert_fails(call, err, wanted, text)                                                                \
    do {                                                                                                     \
        memset((err), 0, sizeof(*(err)));                                                                    \
        assert_int_equal((call), -(int)(wanted));                                                            \
        assert_int_equal((err)->code, (wanted));                                                             \
        if (!strstr((err)->msg, (text)))                                                                     \
            fail_msg("\"%s\" is not in \"%s\"", (text), (err)->msg);                                         \
    } while (0)

#define assert_done(call, err)                                                                               \
    do {                                                                                                     \
        if ((call) < 0)                                                                                      \
            fail_msg("%s: %s", #call, (err)->msg);                                                           \
    } while (0)

/* A folder of its own for every test: *state is its path. */
static inline int folder_new(void **state) {
    const char *tmp = getenv("TMPDIR");

    *state = mem_printf(NULL, "%s/pelton-base-XXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(*state) ? 0 : -1;
}
