#include "cli/waits.h"

#include "base/str.h"

static const char *text_of(const json_t *job, const char *key) {
    const char *text = json_string_value(json_object_get(job, key));

    return text ? text : "";
}

static bool is_over(const json_t *jobs, const char *name) {
    json_t *job;
    size_t i;

    json_array_foreach (jobs, i, job)
        if (str_eq(text_of(job, "name"), name))
            return !str_eq(text_of(job, "status"), "blocked") && !str_eq(text_of(job, "status"), "queued");
    return true;
}

static bool waits_itself(const json_t *jobs, const json_t *job) {
    const json_t *needs = json_object_get(job, "needs"), *need;
    size_t i;

    if (!*text_of(job, "waiting"))
        return false;
    json_array_foreach (needs, i, need)
        if (!is_over(jobs, json_string_value(need)))
            return false;
    return true;
}

bool build_waits(const json_t *build, const char **ret_job, const char **ret_why) {
    const json_t *jobs = json_object_get(build, "jobs"), *found = NULL;
    json_t *job;
    size_t i;

    json_array_foreach (jobs, i, job) {
        if (str_eq(text_of(job, "status"), "running"))
            return false;
        if (!found && waits_itself(jobs, job))
            found = job;
    }
    if (!found)
        return false;
    *ret_job = text_of(found, "name");
    *ret_why = text_of(found, "waiting");
    return true;
}
