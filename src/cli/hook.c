#include "cli/hook.h"

#include "base/json.h"
#include "base/str.h"
#include "git/git.h"

#include <ctype.h>

#define TITLE_MAX ((size_t)300) /* bytes that are passed on */

/* 40 digits of SHA-1 or 64 of SHA-256, zero-terminated in mem; NULL: something else. */
static const char *take_hash(const void *mem, const char *text, size_t len) {
    if (len != 40 && len != 64)
        return NULL;
    for (size_t i = 0; i < len; i++)
        if (!isdigit((unsigned char)text[i]) && (text[i] < 'a' || text[i] > 'f'))
            return NULL;
    return mem_strndup(mem, text, len);
}

static bool parse_line(const char *line, size_t len, const void *mem, HookRef *ret) {
    const char *first = memchr(line, ' ', len), *second;

    if (!first)
        return false;
    second = memchr(first + 1, ' ', len - (size_t)(first + 1 - line));
    if (!second || second + 1 == line + len || memchr(line, 0, len))
        return false;
    ret->old_rev = take_hash(mem, line, (size_t)(first - line));
    ret->new_rev = take_hash(mem, first + 1, (size_t)(second - first - 1));
    ret->ref = mem_strndup(mem, second + 1, len - (size_t)(second + 1 - line));
    if (!ret->old_rev || !ret->new_rev)
        return false;
    ret->deleted = strspn(ret->new_rev, "0") == strlen(ret->new_rev);
    ret->commit = ret->author = ret->email = ret->subject = "";
    ret->gpg_status = ret->gpg_key = ret->gpg_signer = "";
    return true;
}

int hook_parse_refs(const char *text, size_t len, const void *mem, HookRef **ret, size_t *ret_count,
                    Err *err) {
    const char *at = text, *end = text + len;
    HookRef *refs = NULL;
    size_t count = 0;

    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        HookRef ref = {0};

        stop = stop ? stop : end;
        if (!parse_line(at, (size_t)(stop - at), mem, &ref))
            return err_set(err, ERR_INVALID, "line %zu: expected \"<old> <new> <ref>\"", count + 1);
        mem_append(mem, refs, count, ref);
        at = stop + 1;
    }
    *ret = refs;
    *ret_count = count;
    return 0;
}

/* "author Name <mail> 1700000000 +0100" */
static void parse_author(const char *line, size_t len, const void *mem, HookRef *ref) {
    const char *open = memchr(line, '<', len), *close;
    size_t name_len;

    if (!open)
        return;
    name_len = (size_t)(open - line);
    while (name_len > 0 && line[name_len - 1] == ' ')
        name_len--;
    close = memchr(open, '>', len - (size_t)(open - line));
    ref->author = str_utf8_clean(mem, line, name_len);
    if (close)
        ref->email = str_utf8_clean(mem, open + 1, (size_t)(close - open - 1));
}

/* Headers of a signature: `gpgsig`, `gpgsig-sha256` (gitformat-signature(5)). */
static bool begins_signature(const char *line, size_t len) {
    static const char name[] = "gpgsig";

    return len > sizeof(name) - 1 && memcmp(line, name, sizeof(name) - 1) == 0 &&
           (line[sizeof(name) - 1] == ' ' || line[sizeof(name) - 1] == '-');
}

void hook_parse_commit(const char *text, size_t len, const void *mem, HookRef *ref) {
    const char *at = text, *end = text + len;

    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));

        stop = stop ? stop : end;
        if (stop == at) {
            at++;
            break;
        }
        if (stop - at > 7 && memcmp(at, "author ", 7) == 0 && !*ref->author)
            parse_author(at + 7, (size_t)(stop - at - 7), mem, ref);
        ref->is_signed |= begins_signature(at, (size_t)(stop - at));
        at = stop < end ? stop + 1 : end;
    }
    while (at < end && (*at == '\n' || *at == ' '))
        at++;
    if (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));

        ref->subject = str_utf8_clean(mem, at, (size_t)((stop ? stop : end) - at));
    }
}

/* "<hash> commit <size>\n<bytes>\n"; "<what was asked> missing\n". Gives the place behind it, NULL at a wrong
 * answer. */
static const char *parse_object(const char *at, const char *end, const void *mem, HookRef *ref) {
    const char *line_end = memchr(at, '\n', (size_t)(end - at));
    const char *space, *type, *size_text;
    _cleanup_talloc_ char *line = NULL;
    int64_t size;

    if (!line_end)
        return NULL;
    line = mem_strndup(NULL, at, (size_t)(line_end - at));
    if (str_ends(line, " missing") || str_ends(line, " ambiguous"))
        return line_end + 1;
    space = strchr(line, ' ');
    type = space ? space + 1 : "";
    size_text = strchr(type, ' ');
    if (!size_text || !str_to_i64(size_text + 1, 0, end - line_end - 1, &size))
        return NULL;
    if (str_after(type, "commit ")) {
        const char *hash = take_hash(mem, line, (size_t)(space - line));

        ref->commit = hash ? hash : "";
        hook_parse_commit(line_end + 1, (size_t)size, mem, ref);
        ref->gpg_status = ref->is_signed ? "E" : "N";
    }
    at = line_end + 1 + size;
    return at < end ? at + 1 : at;
}

void hook_parse_batch(const char *text, size_t len, const void *mem, HookRef *refs, size_t count) {
    const char *at = text, *end = text + len;

    for (size_t i = 0; i < count && at && at < end; i++)
        if (!refs[i].deleted)
            at = parse_object(at, end, mem, &refs[i]);
}

/* ---- push options ---- */

static bool is_branch(const char *name) {
    _cleanup_talloc_ char *ref = mem_printf(NULL, "refs/heads/%s", name);

    return git_ref_valid(ref);
}

static const char *read_branch(const char *value, const void *mem, const char **ret) {
    if (!is_branch(value))
        return "expected the name of a branch";
    *ret = mem_strdup(mem, value);
    return NULL;
}

static const char *read_title(const char *value, const void *mem, const char **ret) {
    *ret = str_utf8_clean(mem, value, strnlen(value, TITLE_MAX));
    return NULL;
}

static const char *read_fork(const char *value, const void *mem, const char **ret) {
    if (!str_eq(value, "true") && !str_eq(value, "false") && *value)
        return "expected true or false";
    *ret = str_eq(value, "false") ? "false" : "true";
    return NULL;
}

static const struct {
    const char *name;
    size_t offset; /* in HookPull */
    const char *(*read)(const char *value, const void *mem, const char **ret);
} options[] = {
    {"target", offsetof(HookPull, target), read_branch},
    {"source", offsetof(HookPull, source), read_branch},
    {"title", offsetof(HookPull, title), read_title},
    {"fork", offsetof(HookPull, fork), read_fork},
};

const char *hook_option(const char *option, const void *mem, HookPull *pull) {
    const char *equals = strchrnul(option, '=');
    size_t len = (size_t)(equals - option);

    if (str_eq(option, "ci.skip"))
        return "a commit whose message has [skip ci] is not built";
    if (!pull)
        return "options are for pushes to refs/pull/N/head";
    for (size_t i = 0; i < ELEMENTS(options); i++)
        if (strlen(options[i].name) == len && strncmp(options[i].name, option, len) == 0)
            return options[i].read(*equals ? equals + 1 : "", mem,
                                   (const char **)((char *)pull + options[i].offset));
    return "there are target=BRANCH, source=BRANCH, title=TEXT and fork";
}

/* ---- signatures ---- */

/* "<hash> <letter> <key>", the key perhaps empty. */
static bool parse_signature(const char *line, const void *mem, HookRef *ret) {
    size_t hash = strcspn(line, " ");

    if (!line[hash] || !line[hash + 1] || !strchr("GBUXYRE", line[hash + 1]) || line[hash + 2] != ' ')
        return false;
    ret->commit = take_hash(mem, line, hash);
    ret->gpg_status = mem_strndup(mem, line + hash + 1, 1);
    ret->gpg_key = str_utf8_clean(mem, line + hash + 3, strlen(line + hash + 3));
    return ret->commit != NULL;
}

void hook_parse_signatures(const char *text, size_t len, const void *mem, HookRef *refs, size_t count) {
    const char *at = text, *end = text + len;

    while (at < end) {
        const char *nl = memchr(at, '\n', (size_t)(end - at)), *stop;
        HookRef found;

        if (!nl)
            return;
        stop = memchr(nl + 1, '\n', (size_t)(end - nl - 1));
        stop = stop ? stop : end;
        if (parse_signature(mem_strndup(mem, at, (size_t)(nl - at)), mem, &found))
            for (size_t i = 0; i < count; i++)
                if (refs[i].is_signed && str_eq(refs[i].commit, found.commit)) {
                    refs[i].gpg_status = found.gpg_status;
                    refs[i].gpg_key = found.gpg_key;
                    refs[i].gpg_signer = str_utf8_clean(mem, nl + 1, (size_t)(stop - nl - 1));
                }
        at = stop < end ? stop + 1 : end;
    }
}

const char *hook_repo_name(const void *mem, const char *path) {
    size_t len = strlen(path);
    const char *start;

    while (len > 1 && path[len - 1] == '/')
        len--;
    start = memrchr(path, '/', len);
    start = start ? start + 1 : path;
    len -= (size_t)(start - path);
    if (len > 4 && memcmp(start + len - 4, ".git", 4) == 0)
        len -= 4;
    return mem_strndup(mem, start, len);
}

static void write_pull(JsonWriter *w, const HookRef *ref) {
    jw_object(w, "pull_request");
    jw_int(w, "number", git_pull_number(ref->ref));
    jw_str(w, "target", ref->pull->target);
    jw_str(w, "source", ref->pull->source);
    jw_str(w, "title", ref->pull->title);
    if (ref->pull->fork)
        jw_bool(w, "fork", str_eq(ref->pull->fork, "true"));
    jw_end_object(w);
}

void hook_payload(const HookRef *ref, const char *repo_path, const char *pusher, Buf *out) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    JsonWriter w = JSON_WRITER(out);

    jw_object(&w, NULL);
    jw_str(&w, "repo", hook_repo_name(mem, repo_path));
    jw_str(&w, "bare_repo_path", repo_path);
    jw_str(&w, "old_rev", ref->old_rev);
    /* an annotated tag is built at the commit that it points to */
    jw_str(&w, "new_rev", *ref->commit ? ref->commit : ref->new_rev);
    jw_str(&w, "ref", ref->ref);
    jw_str(&w, "commit_author", ref->author);
    jw_str(&w, "commit_email", ref->email);
    jw_str(&w, "commit_message", ref->subject);
    jw_str(&w, "gpg_status", ref->gpg_status);
    jw_str(&w, "gpg_key", ref->gpg_key);
    jw_str(&w, "gpg_signer", ref->gpg_signer);
    jw_str(&w, "pusher", pusher);
    if (ref->pull)
        write_pull(&w, ref);
    jw_end_object(&w);
}
