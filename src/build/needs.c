/* How the jobs that a job needs have ended, and what they have handed over: for expressions. */
#include "build/state.h"

#include "base/str.h"

static int read_outputs(Builds *b, const NeedState *state, const void *mem, PlanNeed *need, Err *err) {
    PlanOutput *items;
    Output *outputs;
    size_t count;
    int r;

    if (state->outputs == 0)
        return 0;
    r = store_outputs(b->db, state->log_job, state->attempt, mem, &outputs, &count, err);
    if (r < 0)
        return r;
    need->outputs = items = mem_array(mem, PlanOutput, count);
    need->output_count = count;
    for (size_t i = 0; i < count; i++)
        items[i] = (PlanOutput){.name = outputs[i].name, .value = outputs[i].value};
    return 0;
}

/* Whether the text names an output of the job, or of the matrix that the job is one of. */
static bool names_outputs(const char *text, const char *job) {
    const char *matrix = strstr(job, " (");
    _cleanup_talloc_ char *name =
        mem_printf(NULL, "needs.%.*s.outputs.", matrix ? (int)(matrix - job) : (int)strlen(job), job);

    return strstr(text, name) != NULL;
}

int needs_read(Builds *b, int64_t job_id, const char *text, const void *mem, PlanNeed **ret,
               size_t *ret_count, Err *err) {
    NeedState *states;
    PlanNeed *needs;
    size_t count;
    int r;

    *ret = NULL;
    *ret_count = 0;
    if (!strstr(text, "needs."))
        return 0;
    r = store_job_need_states(b->db, job_id, mem, &states, &count, err);
    if (r < 0)
        return r;
    needs = mem_array(mem, PlanNeed, count);
    for (size_t i = 0; r >= 0 && i < count; i++) {
        needs[i] = (PlanNeed){.job = states[i].name, .state = states[i].state};
        if (names_outputs(text, states[i].name))
            r = read_outputs(b, &states[i], mem, &needs[i], err);
    }
    *ret = needs;
    *ret_count = count;
    return r;
}
