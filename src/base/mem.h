/* Memory and descriptors: scope-bound cleanup, hand-over, and the attributes used everywhere.
 *
 * Three lifetimes (see HACKING.md): scope (_cleanup_*), request/job/plan (a talloc context), long-lived
 * (one owner). Small allocations abort when memory is out; sizes a peer chose are checked first. */
#pragma once

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <talloc.h>
#include <unistd.h>

#define _must_check_ __attribute__((warn_unused_result))
#define _printf_(fmt, args) __attribute__((format(printf, fmt, args)))
#define _cleanup_(fn) __attribute__((cleanup(fn)))
#define _unused_ __attribute__((unused))
#define _noreturn_ __attribute__((noreturn))

#define ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* Hand over: gives the value and leaves the variable empty, so that its cleanup does nothing. */
#define TAKE_PTR(p)                                                                                          \
    ({                                                                                                       \
        __typeof__(p) *_take = &(p);                                                                         \
        __typeof__(p) _value = *_take;                                                                       \
        *_take = NULL;                                                                                       \
        _value;                                                                                              \
    })
#define TAKE_FD(fd)                                                                                          \
    ({                                                                                                       \
        int *_take = &(fd);                                                                                  \
        int _value = *_take;                                                                                 \
        *_take = -1;                                                                                         \
        _value;                                                                                              \
    })

/* Defines mem_<fn>p, usable in _cleanup_: calls fn on the variable's value unless it is NULL. */
#define DEFINE_CLEANUP(type, fn)                                                                             \
    static inline void mem_##fn##_p(type *p) {                                                               \
        if (*p)                                                                                              \
            fn(*p);                                                                                          \
    }

static inline void mem_free_p(void *p) {
    free(*(void **)p);
}

static inline void mem_talloc_p(void *p) {
    talloc_free(*(void **)p);
}

/* Closes and keeps errno, so that an error can be read after the scope was left. */
void mem_close(int fd);

static inline void mem_close_p(int *fd) {
    if (*fd >= 0)
        mem_close(*fd);
}

DEFINE_CLEANUP(FILE *, fclose)

#define _cleanup_free_ _cleanup_(mem_free_p)
#define _cleanup_talloc_ _cleanup_(mem_talloc_p)
#define _cleanup_close_ _cleanup_(mem_close_p)
#define _cleanup_fclose_ _cleanup_(mem_fclose_p)

/* Allocation in a talloc context that cannot fail (aborts instead); zeroed. ctx may be NULL. */
void *mem_zalloc(const void *ctx, size_t size, const char *name);
#define mem_new(ctx, type) ((type *)mem_zalloc((ctx), sizeof(type), #type))
#define mem_array(ctx, type, count) ((type *)mem_array_(ctx, sizeof(type), (count), #type "[]"))
void *mem_array_(const void *ctx, size_t size, size_t count, const char *name);

/* Strings in a context; NULL stays NULL for mem_strdup. */
char *mem_strdup(const void *ctx, const char *s);
char *mem_strndup(const void *ctx, const char *s, size_t len);
char *mem_printf(const void *ctx, const char *fmt, ...) _printf_(2, 3);
/* Appends one element to a talloc array of `count` elements; grows by doubling. */
void *mem_grow(const void *ctx, void *array, size_t elem, size_t count, const char *name);
#define mem_append(ctx, array, count, value)                                                                 \
    do {                                                                                                     \
        (array) = mem_grow((ctx), (array), sizeof(*(array)), (count), #array);                               \
        (array)[(count)++] = (value);                                                                        \
    } while (0)
