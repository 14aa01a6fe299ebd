#include "bus/bus.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

#define BUCKETS 128 /* a power of two */

/* Everyone who waits for one topic and key. */
typedef struct Group {
    BusTopic topic;
    int64_t key;
    BusSubscription *first;
    struct Group *next;
} Group;

/* Wakes are called with the bucket locked: so unsubscribing, which takes the lock, waits for one that is
 * running. */
typedef struct Bucket {
    pthread_mutex_t lock;
    atomic_uint count; /* of subscriptions; read without the lock */
    Group *groups;
} Bucket;

struct BusSubscription {
    Bucket *bucket;
    Group *group;
    BusWake wake;
    void *arg;
    BusSubscription *next, **prev;
};

struct Bus {
    Bucket all[BUS_TOPICS]; /* key 0 */
    Bucket buckets[BUCKETS];
};

static void bucket_init(Bucket *bucket) {
    pthread_mutex_init(&bucket->lock, NULL);
}

static void bucket_done(Bucket *bucket) {
    assert(!bucket->groups);
    pthread_mutex_destroy(&bucket->lock);
}

Bus *bus_new(const void *mem) {
    Bus *b = mem_new(mem, Bus);

    for (size_t i = 0; i < BUS_TOPICS; i++)
        bucket_init(&b->all[i]);
    for (size_t i = 0; i < BUCKETS; i++)
        bucket_init(&b->buckets[i]);
    return b;
}

void bus_free(Bus *b) {
    if (!b)
        return;
    for (size_t i = 0; i < BUS_TOPICS; i++)
        bucket_done(&b->all[i]);
    for (size_t i = 0; i < BUCKETS; i++)
        bucket_done(&b->buckets[i]);
    talloc_free(b);
}

static Bucket *bucket_of(Bus *b, BusTopic topic, int64_t key) {
    uint64_t hash = ((uint64_t)key * BUS_TOPICS + topic) * UINT64_C(0x9e3779b97f4a7c15);

    assert(topic < BUS_TOPICS);
    return key == 0 ? &b->all[topic] : &b->buckets[hash >> 32 & (BUCKETS - 1)];
}

/* Where the group is linked, or the end of the list. */
static Group **group_find(Bucket *bucket, BusTopic topic, int64_t key) {
    Group **at = &bucket->groups;

    while (*at && ((*at)->key != key || (*at)->topic != topic))
        at = &(*at)->next;
    return at;
}

static Group *group_get(Bucket *bucket, BusTopic topic, int64_t key) {
    Group **at = group_find(bucket, topic, key);

    if (!*at) {
        *at = mem_new(NULL, Group);
        (*at)->topic = topic;
        (*at)->key = key;
    }
    return *at;
}

BusSubscription *bus_subscribe(Bus *b, BusTopic topic, int64_t key, BusWake wake, void *arg) {
    BusSubscription *s = mem_new(NULL, BusSubscription);

    s->bucket = bucket_of(b, topic, key);
    s->wake = wake;
    s->arg = arg;
    pthread_mutex_lock(&s->bucket->lock);
    s->group = group_get(s->bucket, topic, key);
    s->next = s->group->first;
    s->prev = &s->group->first;
    if (s->next)
        s->next->prev = &s->next;
    s->group->first = s;
    atomic_fetch_add(&s->bucket->count, 1);
    pthread_mutex_unlock(&s->bucket->lock);
    return s;
}

void bus_unsubscribe(BusSubscription *s) {
    Group *empty = NULL;

    if (!s)
        return;
    pthread_mutex_lock(&s->bucket->lock);
    *s->prev = s->next;
    if (s->next)
        s->next->prev = s->prev;
    if (!s->group->first) {
        Group **at = group_find(s->bucket, s->group->topic, s->group->key);

        empty = *at;
        *at = empty->next;
    }
    atomic_fetch_sub(&s->bucket->count, 1);
    pthread_mutex_unlock(&s->bucket->lock);
    talloc_free(empty);
    talloc_free(s);
}

/* Adding nothing is a read that what the publisher has written before cannot be seen after: either we see the
 * subscription, or the subscriber, who reads after subscribing, sees the change. */
static void wake_group(Bus *b, BusTopic topic, int64_t of, int64_t key) {
    Bucket *bucket = bucket_of(b, topic, of);
    Group *group;

    if (atomic_fetch_add(&bucket->count, 0) == 0)
        return;
    pthread_mutex_lock(&bucket->lock);
    group = *group_find(bucket, topic, of);
    for (BusSubscription *s = group ? group->first : NULL; s; s = s->next)
        s->wake(s->arg, key);
    pthread_mutex_unlock(&bucket->lock);
}

void bus_publish(Bus *b, BusTopic topic, int64_t key) {
    wake_group(b, topic, key, key);
    if (key != 0)
        wake_group(b, topic, 0, key);
}
