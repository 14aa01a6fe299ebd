#include "cli/start.h"

#include "base/json.h"
#include <string.h>

/* `flag` K=V, as members of an object. */
static int add_pairs(JsonWriter *w, const char *name, const char *flag, const char **pairs, Err *err) {
    if (!pairs)
        return 0;
    jw_object(w, name);
    for (; *pairs; pairs++) {
        const char *equals = strchr(*pairs, '=');
        _cleanup_talloc_ char *key = NULL;

        if (!equals || equals == *pairs)
            return err_set(err, ERR_INVALID, "%s %s: expected NAME=VALUE", flag, *pairs);
        key = mem_strndup(NULL, *pairs, (size_t)(equals - *pairs));
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
    r = add_pairs(&w, "env", "--env", start->env, err);
    if (r >= 0)
        r = add_pairs(&w, "inputs", "--input", start->inputs, err);
    jw_end_object(&w);
    return r;
}
