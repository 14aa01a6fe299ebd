/* What job processes that died have left with the engine: found by the labels that everything of ours has. */
#include "base/log.h"
#include "base/str.h"
#include "executor/docker.h"

typedef struct Kind {
    const char *list, *id, *remove, *after; /* the paths around an id, and its key in the list */
} Kind;

/* Containers first: they hold the rest. Their own volumes go with them. */
static const Kind kinds[] = {
    {"/containers/json?all=1&filters=", "Id", "/containers/", "?force=1&v=1"},
    {"/networks?filters=", "Id", "/networks/", ""},
};

typedef struct Sweep {
    HttpClient *client;
    const void *mem;
    bool (*keep)(void *arg, int slot);
    void *arg;
} Sweep;

static bool is_kept(const Sweep *s, const json_t *item) {
    const char *text = json_string_value(json_object_get(json_object_get(item, "Labels"), "pelton.slot"));
    int64_t slot;

    return !text || !str_to_i64(text, 0, INT_MAX, &slot) || s->keep(s->arg, (int)slot);
}

static void remove_one(const Sweep *s, const Kind *kind, const char *id) {
    EngineCall call = {.method = "DELETE",
                       .path = mem_printf(s->mem, "%s%s%s", kind->remove, id, kind->after),
                       .timeout_us = ENGINE_SHORT_US};
    Err err;
    int r = engine_call(s->client, &call, NULL, &err);

    if (r < 0 && r != -ERR_NOT_FOUND)
        log_err("executor", "remove what a job left in the container engine", &err);
}

static int sweep_kind(const Sweep *s, const Kind *kind, const char *filter, Err *err) {
    _cleanup_json_ json_t *list = NULL;
    EngineCall call = {.method = "GET",
                       .path = mem_printf(s->mem, "%s%s", kind->list, filter),
                       .timeout_us = ENGINE_SHORT_US};
    json_t *item;
    size_t i;
    int r = engine_call(s->client, &call, &list, err);

    if (r < 0)
        return r;
    json_array_foreach (list, i, item) {
        const char *id = json_string_value(json_object_get(item, kind->id));

        if (id && !is_kept(s, item))
            remove_one(s, kind, id);
    }
    return 0;
}

void docker_sweep(const char *runner, bool (*keep)(void *arg, int slot), void *arg) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    Sweep s = {.mem = mem, .keep = keep, .arg = arg};
    const char *labels[] = {mem_printf(mem, "pelton.runner=%s", runner), NULL};
    const char *filter = engine_label_filter(mem, labels);
    Err err;
    int r = engine_open(mem, &s.client, &err);

    for (size_t i = 0; r == 0 && i < ELEMENTS(kinds); i++)
        r = sweep_kind(&s, &kinds[i], filter, &err);
    /* where there is no engine there is nothing of ours */
    if (r < 0 && r != -ERR_UNSUPPORTED && r != -ERR_UNAVAILABLE)
        log_err("executor", "look for what jobs left in the container engine", &err);
}

static bool is_other(void *arg, int slot) {
    return slot != *(const int *)arg;
}

void docker_sweep_slot(const ExecutorJob *job) {
    int slot = job->cgroup.slot;

    docker_sweep(job->cgroup.host->name, is_other, &slot);
}
