#include "git/submodule.h"

#include "base/str.h"
#include "git/mirror.h"

/* What is between the words, the first time; NULL: they are not there. */
static const char *between(const void *mem, const Buf *said, const char *before, const char *after) {
    const char *start = strstr(buf_str(said), before);
    const char *end = start ? strstr(start + strlen(before), after) : NULL;

    return end ? mem_strndup(mem, start + strlen(before), (size_t)(end - start) - strlen(before)) : NULL;
}

/* As .gitmodules has it: a clone is told the whole path. */
static const char *path_of(const GitCheckout *c, const void *mem, const Buf *said) {
    const char *path = between(mem, said, "submodule path '", "'");
    const char *inside = path ? str_after(path, c->workspace) : NULL;

    return inside && *inside == '/' ? inside + 1 : path;
}

static const char *advice(ErrCode code, const Buf *said) {
    switch (code) {
    case ERR_INVALID:
        return "only http:// and https:// are fetched: write such an address into .gitmodules, or one of "
               "this "
               "server from here (../NAME.git)";
    case ERR_NOT_FOUND:
        return strstr(buf_str(said), "did not contain") ? "push that commit to it, or name one that it has"
                                                        : "correct its address in .gitmodules";
    case ERR_UNAUTHORIZED:
    case ERR_FORBIDDEN:
        return "it wants a login, which a checkout has for this server only: fetch it in a step, with a "
               "secret";
    default:
        return NULL;
    }
}

int git_submodule_error(const GitCheckout *c, const Buf *said, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    const char *path = path_of(c, mem, said), *url = between(mem, said, "clone of '", "'");
    const char *reason = between(mem, said, "fatal: ", "\n");
    ErrCode code = git_transfer_code(said, err->code);
    const char *next = advice(code, said);

    if (!path || !reason)
        return git_transfer_error(said, "submodules", err);
    return err_set(err, code, "submodule %.80s%s%.100s: %.160s%s%s", path, url ? " from " : "",
                   url ? url : "", reason, next ? "; " : "", next ? next : "");
}
