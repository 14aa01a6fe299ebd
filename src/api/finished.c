#include "api/finished.h"

#include <pthread.h>

#define SLOTS 64
#define MAX_JSON 16384 /* so at most 1 MiB in all */

typedef struct Slot {
    int64_t id, finished_at;
    Buf json;
} Slot;

struct Finished {
    pthread_mutex_t lock;
    Slot slots[SLOTS];
};

static int finished_destroy(Finished *f) {
    for (size_t i = 0; i < SLOTS; i++)
        buf_done(&f->slots[i].json);
    pthread_mutex_destroy(&f->lock);
    return 0;
}

Finished *finished_new(const void *mem) {
    Finished *f = mem_new(mem, Finished);

    pthread_mutex_init(&f->lock, NULL);
    talloc_set_destructor(f, finished_destroy);
    return f;
}

bool finished_get(Finished *f, int64_t id, int64_t finished_at, Buf *out) {
    const Slot *slot = &f->slots[(uint64_t)id % SLOTS];
    bool found;

    pthread_mutex_lock(&f->lock);
    found = slot->id == id && slot->finished_at == finished_at;
    if (found)
        buf_add(out, slot->json.data, slot->json.len);
    pthread_mutex_unlock(&f->lock);
    return found;
}

void finished_clear(Finished *f) {
    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < SLOTS; i++)
        f->slots[i].id = 0;
    pthread_mutex_unlock(&f->lock);
}

void finished_put(Finished *f, int64_t id, int64_t finished_at, const Buf *json) {
    Slot *slot = &f->slots[(uint64_t)id % SLOTS];

    if (json->len > MAX_JSON)
        return;
    pthread_mutex_lock(&f->lock);
    buf_clear(&slot->json);
    buf_add(&slot->json, json->data, json->len);
    slot->id = id;
    slot->finished_at = finished_at;
    pthread_mutex_unlock(&f->lock);
}
