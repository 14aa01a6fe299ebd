#include "cli/start.h"

#include <string.h>

int start_pairs(JsonWriter *w, const char *name, const char *flag, const char **pairs, Err *err) {
    _cleanup_buf_ Buf wrong = BUF_INIT;

    jw_object(w, name);
    for (; pairs && *pairs; pairs++) {
        size_t len = strcspn(*pairs, "=");
        _cleanup_talloc_ char *key = mem_strndup(NULL, *pairs, len);

        if (len == 0 || (*pairs)[len] == '\0')
            buf_addf(&wrong, "%s%s %s", wrong.len ? ", " : "", flag, *pairs);
        else
            jw_str(w, key, *pairs + len + 1);
    }
    jw_end_object(w);
    return wrong.len ? err_set(err, ERR_INVALID, "%s: expected NAME=VALUE", buf_str(&wrong)) : 0;
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
    r = start->env ? start_pairs(&w, "env", "--env", start->env, err) : 0;
    if (r >= 0 && start->inputs)
        r = start_pairs(&w, "inputs", "--input", start->inputs, err);
    jw_end_object(&w);
    return r;
}
