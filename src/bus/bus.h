/* "Something changed": wakes whoever waits for a topic and key. Carries no data: the woken reads the database
 * or the log again, so a wake too many is harmless and none may be missed. In-process; NOTIFY between
 * replicas later. */
#pragma once

#include "base/err.h"
#include <stdint.h>

typedef struct Bus Bus;
typedef struct BusSubscription BusSubscription;

typedef enum BusTopic {
    BUS_QUEUE,  /* a job became claimable; key: its fit, 0: any may have */
    BUS_DEPLOY, /* a deploy became claimable: for the server's own deployer; key 0 */
    BUS_RUNNER, /* a runner should look: a job to stop, a slot free; key: runner id */
    BUS_DRAIN,  /* a runner was drained, or is not any more; key: runner id */
    BUS_EVENT,  /* the event table has grown; key 0 */
    BUS_BUILD,  /* a build or one of its jobs changed; key: build id */
    BUS_LOG,    /* a log has grown or has ended; key: job id */
    BUS_NOTICE, /* something is to be said of a build; key 0 */
    BUS_TOPICS
} BusTopic;

Bus *bus_new(const void *mem);
/* After the last unsubscribe. */
void bus_free(Bus *b);
/* Hears which key it was. Any thread; must be quick and must not call bus_*; never twice at once for one
 * subscription. */
typedef void (*BusWake)(void *arg, int64_t key);
/* key 0 hears every key of the topic. */
BusSubscription *bus_subscribe(Bus *b, BusTopic topic, int64_t key, BusWake wake, void *arg);
/* After it returns wake is not running and never will again; so the caller holds no lock that wake takes.
 * NULL is fine. */
void bus_unsubscribe(BusSubscription *s);
/* After what changed can be read. Calls the wakes, so the caller holds no lock that one of them takes. */
void bus_publish(Bus *b, BusTopic topic, int64_t key);
