#include "bus/bus.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <cmocka.h>

static void count_wake(void *arg, int64_t key) {
    atomic_int *n = arg;

    atomic_fetch_add(n, 1);
}

static void a_publish_wakes_its_topic_and_key_only(void **state) {
    Bus *b = bus_new(NULL);
    atomic_int mine = 0, other_key = 0, other_topic = 0, every = 0;
    BusSubscription *s[] = {
        bus_subscribe(b, BUS_LOG, 7, count_wake, &mine),
        bus_subscribe(b, BUS_LOG, 8, count_wake, &other_key),
        bus_subscribe(b, BUS_BUILD, 7, count_wake, &other_topic),
        bus_subscribe(b, BUS_LOG, 0, count_wake, &every),
    };

    bus_publish(b, BUS_LOG, 7);
    bus_publish(b, BUS_LOG, 9);
    bus_publish(b, BUS_QUEUE, 0);
    assert_int_equal(mine, 1);
    assert_int_equal(other_key, 0);
    assert_int_equal(other_topic, 0);
    assert_int_equal(every, 2);
    bus_publish(b, BUS_LOG, 0);
    assert_int_equal(every, 3);
    assert_int_equal(mine, 1);
    for (size_t i = 0; i < ELEMENTS(s); i++)
        bus_unsubscribe(s[i]);
    bus_unsubscribe(NULL);
    bus_free(b);
}

static void after_unsubscribe_no_wake_comes(void **state) {
    Bus *b = bus_new(NULL);
    atomic_int a = 0, c = 0;
    BusSubscription *first = bus_subscribe(b, BUS_BUILD, -1, count_wake, &a);
    BusSubscription *second = bus_subscribe(b, BUS_BUILD, -1, count_wake, &c);

    bus_publish(b, BUS_BUILD, -1);
    bus_unsubscribe(first);
    bus_publish(b, BUS_BUILD, -1);
    bus_unsubscribe(second);
    bus_publish(b, BUS_BUILD, -1);
    assert_int_equal(a, 1);
    assert_int_equal(c, 2);
    bus_free(b);
}

static void ten_thousand_follow_one_key_and_ten_thousand_their_own(void **state) {
    enum { MANY = 10000 };
    Bus *b = bus_new(NULL);
    BusSubscription **same = mem_array(b, BusSubscription *, MANY),
                    **own = mem_array(b, BusSubscription *, MANY);
    atomic_int same_wakes = 0, own_wakes = 0;

    for (int i = 0; i < MANY; i++) {
        same[i] = bus_subscribe(b, BUS_LOG, 1, count_wake, &same_wakes);
        own[i] = bus_subscribe(b, BUS_LOG, i + 2, count_wake, &own_wakes);
    }
    for (int i = 0; i < 10; i++)
        bus_publish(b, BUS_LOG, 1);
    assert_int_equal(same_wakes, 10 * MANY);
    assert_int_equal(own_wakes, 0);
    for (int i = 0; i < MANY; i++)
        bus_publish(b, BUS_LOG, i + 2);
    assert_int_equal(own_wakes, MANY);
    for (int i = 0; i < MANY; i++) {
        bus_unsubscribe(same[i]);
        bus_unsubscribe(own[i]);
    }
    bus_free(b);
}

/* ---- threads ---- */

/* A subscriber's own memory is gone when it has unsubscribed: what a late wake would touch, the sanitizers
 * see. */
typedef struct Waiter {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool woken;
} Waiter;

typedef struct Channel {
    Bus *bus;
    atomic_int value; /* the "database" */
    atomic_int gone;  /* readers that have ended */
} Channel;

enum { LAST = 2000, FOLLOWERS = 3 };

static void wake_waiter(void *arg, int64_t key) {
    Waiter *w = arg;

    pthread_mutex_lock(&w->lock);
    w->woken = true;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->lock);
}

/* Subscribes anew for each change. A missed wake leaves it waiting for ever, and the test runs into its
 * limit. */
static void *follow(void *arg) {
    Channel *c = arg;
    int seen = 0;

    while (seen < LAST) {
        Waiter *w = mem_new(NULL, Waiter);
        BusSubscription *s;

        pthread_mutex_init(&w->lock, NULL);
        pthread_cond_init(&w->cond, NULL);
        s = bus_subscribe(c->bus, BUS_LOG, 5, wake_waiter, w);
        pthread_mutex_lock(&w->lock);
        while (atomic_load(&c->value) == seen && !w->woken)
            pthread_cond_wait(&w->cond, &w->lock);
        pthread_mutex_unlock(&w->lock);
        seen = atomic_load(&c->value);
        bus_unsubscribe(s);
        pthread_mutex_destroy(&w->lock);
        pthread_cond_destroy(&w->cond);
        talloc_free(w);
    }
    atomic_fetch_add(&c->gone, 1);
    return NULL;
}

static void *publish(void *arg) {
    Channel *c = arg;

    for (int i = 0; i < LAST; i++) {
        atomic_fetch_add(&c->value, 1);
        bus_publish(c->bus, BUS_LOG, 5);
        bus_publish(c->bus, BUS_LOG, 6);
    }
    return NULL;
}

static void no_follower_misses_the_last_change(void **state) {
    Channel c = {.bus = bus_new(NULL)};
    pthread_t followers[FOLLOWERS], publisher;

    for (int i = 0; i < FOLLOWERS; i++)
        assert_int_equal(pthread_create(&followers[i], NULL, follow, &c), 0);
    assert_int_equal(pthread_create(&publisher, NULL, publish, &c), 0);
    pthread_join(publisher, NULL);
    for (int i = 0; i < FOLLOWERS; i++)
        pthread_join(followers[i], NULL);
    assert_int_equal(c.gone, FOLLOWERS);
    bus_free(c.bus);
}

typedef struct Slow {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool running, go_on, over;
} Slow;

static void slow_wake(void *arg, int64_t key) {
    Slow *s = arg;

    pthread_mutex_lock(&s->lock);
    s->running = true;
    pthread_cond_broadcast(&s->cond);
    while (!s->go_on)
        pthread_cond_wait(&s->cond, &s->lock);
    pthread_mutex_unlock(&s->lock);
    sched_yield();
    pthread_mutex_lock(&s->lock);
    s->over = true;
    pthread_mutex_unlock(&s->lock);
}

static void *publish_once(void *arg) {
    bus_publish(arg, BUS_BUILD, 3);
    return NULL;
}

static void unsubscribe_waits_for_a_running_wake(void **state) {
    Bus *b = bus_new(NULL);
    Slow slow = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    BusSubscription *s = bus_subscribe(b, BUS_BUILD, 3, slow_wake, &slow);
    pthread_t publisher;
    bool over;

    assert_int_equal(pthread_create(&publisher, NULL, publish_once, b), 0);
    pthread_mutex_lock(&slow.lock);
    while (!slow.running)
        pthread_cond_wait(&slow.cond, &slow.lock);
    slow.go_on = true;
    pthread_cond_broadcast(&slow.cond);
    pthread_mutex_unlock(&slow.lock);
    bus_unsubscribe(s);
    pthread_mutex_lock(&slow.lock);
    over = slow.over;
    pthread_mutex_unlock(&slow.lock);
    assert_true(over);
    pthread_join(publisher, NULL);
    bus_free(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_publish_wakes_its_topic_and_key_only),
        cmocka_unit_test(after_unsubscribe_no_wake_comes),
        cmocka_unit_test(ten_thousand_follow_one_key_and_ten_thousand_their_own),
        cmocka_unit_test(no_follower_misses_the_last_change),
        cmocka_unit_test(unsubscribe_waits_for_a_running_wake),
    };

    return cmocka_run_group_tests_name("bus", tests, NULL, NULL);
}
