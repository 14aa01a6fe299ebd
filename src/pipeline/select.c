/* A part of a plan: some jobs and what they need. */
#include "pipeline/pipeline.h"

#include "base/str.h"

bool plan_name_means(const char *name, size_t len, const char *job) {
    return strncmp(job, name, len) == 0 && (!job[len] || str_after(job + len, " ("));
}

static int no_such_job(const Plan *plan, const char *name, Err *err) {
    _cleanup_buf_ Buf list = BUF_INIT;

    for (size_t i = 0; i < MIN(plan->count, (size_t)20); i++)
        buf_addf(&list, "%s%s", i ? ", " : "", plan->jobs[i].name);
    return err_set(err, ERR_INVALID, "%s has no job \"%s\"; its jobs are: %s%s", plan->file, name,
                   buf_str(&list), plan->count > 20 ? ", …" : "");
}

/* Works the list of wanted jobs off; each is in it once. */
static void want_needs(const Plan *plan, bool *wanted, size_t *list, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const PlanJob *job = &plan->jobs[list[i]];

        for (size_t k = 0; k < job->need_count; k++) {
            if (wanted[job->needs[k]])
                continue;
            wanted[job->needs[k]] = true;
            list[count++] = job->needs[k];
        }
    }
}

static void keep_wanted(Plan *plan, const bool *wanted, size_t *new_index) {
    size_t count = 0;

    for (size_t i = 0; i < plan->count; i++)
        if (wanted[i])
            new_index[i] = count++;
    plan->nothing = true;
    for (size_t i = 0; i < plan->count; i++) {
        PlanJob *job = &plan->jobs[i];

        if (!wanted[i])
            continue;
        for (size_t k = 0; k < job->need_count; k++)
            job->needs[k] = new_index[job->needs[k]];
        plan->nothing = plan->nothing && job->skip;
        plan->jobs[new_index[i]] = *job;
    }
    plan->count = count;
}

int plan_select(Plan *plan, const char *const *names, Err *err) {
    _cleanup_talloc_ TALLOC_CTX *mem = talloc_new(NULL);
    bool *wanted = mem_array(mem, bool, plan->count);
    size_t *list = mem_array(mem, size_t, plan->count), count = 0;

    for (size_t i = 0; names[i]; i++) {
        bool found = false;

        for (size_t job = 0; job < plan->count; job++) {
            if (!plan_name_means(names[i], strlen(names[i]), plan->jobs[job].name))
                continue;
            if (!wanted[job])
                list[count++] = job;
            wanted[job] = found = true;
        }
        if (!found)
            return no_such_job(plan, names[i], err);
    }
    want_needs(plan, wanted, list, count);
    keep_wanted(plan, wanted, list);
    return 0;
}
