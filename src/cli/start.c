#include "cli/start.h"

#include "base/json.h"
#include <string.h>

static int add_env(JsonWriter *w, const char **env, Err *err) {
    jw_object(w, "env");
    for (; env && *env; env++) {
        const char *equals = strchr(*env, '=');
        _cleanup_talloc_ char *key = NULL;

        if (!equals || equals == *env)
            return err_set(err, ERR_INVALID, "--env %s: expected NAME=VALUE", *env);
        key = mem_strndup(NULL, *env, (size_t)(equals - *env));
        jw_str(w, key, equals + 1);
    }
    jw_end_object(w);
    return 0;
}

int start_body(const StartBody *start, Buf *body, Err *err) {
    JsonWriter w = JSON_WRITER(body);
    int r;

    jw_object(&w, NULL);
    if (start->ref)
        jw_str(&w, "ref", start->ref);
    if (start->branch)
        jw_str(&w, "branch", start->branch);
    if (start->jobs && start->jobs[0]) {
        jw_array(&w, "jobs");
        for (const char **job = start->jobs; *job; job++)
            jw_str(&w, NULL, *job);
        jw_end_array(&w);
    }
    r = add_env(&w, start->env, err);
    jw_end_object(&w);
    return r;
}
