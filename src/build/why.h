/* Inside the room: one question why a job waits. */
#pragma once

#include "build/dispatch.h"

typedef struct WhyRunner {
    const Runner *row;
    RunnerOffer offer, rest; /* rest: beside what it holds */
    RunnerHeld held;
    bool away, drained, full;
    bool closed;       /* asks for no jobs ("slots":0): its disk is nearly full */
    int64_t keeps_for; /* a job that is too big for what is free there; 0: none */
} WhyRunner;

struct Why {
    Builds *b;
    int64_t now;
    WhyRunner *runners; /* without the server's own; read once */
    size_t runner_count;
    bool runners_read, pause_read;
    Pause *pause;     /* NULL: the queue is not paused */
    LaneHead crowded; /* a job with so many before it that they are not counted */
};

/* The reason of a job that waits, a text in mem; leaves *ret alone when it is another one. */
typedef int (*WhyReason)(Why *w, const Job *job, const void *mem, const char **ret, Err *err);

/* "40 s", "5 min", "3 h", "2 days". In mem. */
const char *why_time(int64_t us, const void *mem);

/* Of a queued job: what the runners say to it (why_runner.c). */
int why_runner(Why *w, const Job *job, const void *mem, const char **ret, Err *err);
