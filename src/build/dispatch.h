/* Inside the room: what dispatch keeps in memory. Nothing of it is needed after a restart. */
#pragma once

#include "build/build.h"

/* Why a runner cannot run a job, in the order in which it is looked at. */
typedef enum FitMiss {
    FIT_FITS,
    FIT_EXECUTOR,
    FIT_ARCH,
    FIT_LABELS,
    FIT_CPU,
    FIT_MEMORY,
    FIT_DISK,
} FitMiss;

typedef struct FitFacts {
    Fit fit;
    const char *const *labels; /* "key=value", NULL-terminated */
} FitFacts;

/* Read once from the database; stays as long as the Dispatch. Any thread. */
_must_check_ int dispatch_fit(Builds *b, int64_t id, const FitFacts **ret, Err *err);
FitMiss fit_match(const FitFacts *fit, const RunnerOffer *offer);
/* What the runner has left beside what it holds. */
RunnerOffer offer_less(const RunnerOffer *offer, const RunnerHeld *held);

/* Whether the runner should keep what it has free for the job, which is too big for it now: so does one
 * runner at a time. */
bool dispatch_keep(Dispatch *d, int64_t job, int64_t runner, int64_t now);
