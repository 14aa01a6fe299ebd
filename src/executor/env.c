#include "executor/env.h"

#include "base/mem.h"
#include <string.h>

static size_t find(const Env *e, const char *name, size_t len) {
    size_t i = 0;

    while (i < e->count && !(strncmp(e->items[i], name, len) == 0 && e->items[i][len] == '='))
        i++;
    return i;
}

static void put(Env *e, const char *item, size_t name_len) {
    size_t at = find(e, item, name_len);

    if (at < e->count)
        e->items[at] = item;
    else
        mem_append(e->mem, e->items, e->count, item);
}

void env_set(Env *e, const char *name, const char *value) {
    if (*name && !strchr(name, '='))
        put(e, mem_printf(e->mem, "%s=%s", name, value), strlen(name));
}

void env_unset(Env *e, const char *name) {
    size_t at = find(e, name, strlen(name));

    if (at < e->count)
        memmove(&e->items[at], &e->items[at + 1], (--e->count - at) * sizeof(*e->items));
}

const char *env_get(const Env *e, const char *name) {
    size_t len = strlen(name), at = find(e, name, len);

    return at < e->count ? e->items[at] + len + 1 : NULL;
}

void env_set_all(Env *e, const Env *from) {
    for (size_t i = 0; i < from->count; i++)
        put(e, from->items[i], strcspn(from->items[i], "="));
}

const char *const *env_list(Env *e) {
    e->items = mem_grow(e->mem, e->items, sizeof(*e->items), e->count, "Env");
    e->items[e->count] = NULL;
    return e->items;
}
