#include "base/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

static void *check(void *p, size_t size) {
    if (p)
        return p;
    fprintf(stderr, "out of memory: %zu bytes\n", size);
    abort();
}

void mem_close(int fd) {
    int saved = errno;

    close(fd);
    errno = saved;
}

void *mem_zalloc(const void *ctx, size_t size, const char *name) {
    void *p = check(talloc_named_const(ctx, size, name), size);

    return memset(p, 0, size);
}

void *mem_array_(const void *ctx, size_t size, size_t count, const char *name) {
    if (count && size > SIZE_MAX / 2 / count)
        check(NULL, SIZE_MAX);
    return mem_zalloc(ctx, size * count, name);
}

char *mem_strdup(const void *ctx, const char *s) {
    return s ? check(talloc_strdup(ctx, s), strlen(s) + 1) : NULL;
}

char *mem_strndup(const void *ctx, const char *s, size_t len) {
    return check(talloc_strndup(ctx, s, len), len + 1);
}

char *mem_printf(const void *ctx, const char *fmt, ...) {
    va_list ap;
    char *s;

    va_start(ap, fmt);
    s = talloc_vasprintf(ctx, fmt, ap);
    va_end(ap);
    return check(s, strlen(fmt));
}

void *mem_grow(const void *ctx, void *array, size_t elem, size_t count, const char *name) {
    size_t capacity = array ? talloc_get_size(array) / elem : 0;
    void *bigger;

    if (count < capacity)
        return array;
    capacity = capacity ? capacity * 2 : 8;
    bigger = check(talloc_realloc_size(ctx, array, capacity * elem), capacity * elem);
    if (!array)
        talloc_set_name_const(bigger, name);
    return bigger;
}
