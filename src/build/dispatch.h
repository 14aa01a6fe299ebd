/* Inside the room: what dispatch keeps in memory. Nothing of it is needed after a restart. */
#pragma once

#include "build/build.h"

typedef struct FitFacts {
    Fit fit;
    const char *const *labels; /* "key=value", NULL-terminated */
} FitFacts;

/* Read once from the database; stays as long as the Dispatch. Any thread. */
_must_check_ int dispatch_fit(Builds *b, int64_t id, const FitFacts **ret, Err *err);

/* What a job may ask: a table, for who says what is missing. */
typedef struct FitAspect {
    bool (*met)(const FitFacts *fit, const RunnerOffer *offer);
    /* in mem: what the job asks, NULL when nothing, and what the runner has of it */
    const char *(*asked)(const FitFacts *fit, const void *mem);
    const char *(*has)(const RunnerOffer *offer, const void *mem);
} FitAspect;
extern const FitAspect fit_aspects[];
extern const size_t fit_aspect_count;

/* {"gpu":"yes"} → "gpu=yes". */
_must_check_ int labels_read(const char *json, const void *mem, const char *const **ret, Err *err);
bool fit_match(const FitFacts *fit, const RunnerOffer *offer);
/* What the runner has left beside what it holds. */
RunnerOffer offer_less(const RunnerOffer *offer, const RunnerHeld *held);

/* Whether the runner should keep what it has free for the job, which is too big for it now: so does one
 * runner at a time. */
bool dispatch_keep(Dispatch *d, int64_t job, int64_t runner);
/* The job that the runner keeps it for; 0: none. */
int64_t dispatch_kept(Dispatch *d, int64_t runner);
/* The job is not queued any more: nobody keeps anything for it. Gives the runner that did, which may take
 * others now; 0: none did. */
int64_t dispatch_unkeep(Dispatch *d, int64_t job);
