#include "api/rendered.h"

#include <pthread.h>
#include <string.h>

#define SLOTS 8
#define MAX_PIECE 65536

typedef struct Slot {
    RenderedKey key;
    size_t bytes; /* of the log; 0: empty */
    Buf piece;
} Slot;

static pthread_key_t slots_key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void slots_free(void *arg) {
    Slot *slots = arg;

    for (size_t i = 0; i < SLOTS; i++)
        buf_done(&slots[i].piece);
    talloc_free(slots);
}

static void make_key(void) {
    if (pthread_key_create(&slots_key, slots_free) != 0)
        abort();
}

static Slot *slot_of(const RenderedKey *key) {
    Slot *slots;

    pthread_once(&once, make_key);
    slots = pthread_getspecific(slots_key);
    if (!slots) {
        slots = mem_array(NULL, Slot, SLOTS);
        pthread_setspecific(slots_key, slots);
    }
    return &slots[(uint64_t)key->job % SLOTS];
}

static bool same(const RenderedKey *a, const RenderedKey *b) {
    return a->job == b->job && a->attempt == b->attempt && a->offset == b->offset && a->format == b->format;
}

size_t rendered_get(const RenderedKey *key, Buf *out) {
    const Slot *slot = slot_of(key);

    if (!slot->bytes || !same(&slot->key, key))
        return 0;
    buf_add(out, slot->piece.data, slot->piece.len);
    return slot->bytes;
}

void rendered_put(const RenderedKey *key, size_t bytes, const char *piece, size_t len) {
    Slot *slot = slot_of(key);

    if (len > MAX_PIECE)
        return;
    buf_clear(&slot->piece);
    buf_add(&slot->piece, piece, len);
    slot->key = *key;
    slot->bytes = bytes;
}
