/* Variables of the stages dialect, and its conditions, which speak of them. Values are data: they are put
 * into other values and into texts of conditions here, never into a script. */
#include "pipeline/stages.h"

#include "base/str.h"
#include <ctype.h>

#define VALUE_MAX (64 * 1024) /* bytes of one value, everything put in */

const char *stages_env_get(const StagesEnv *env, const char *name) {
    for (; env; env = env->below)
        for (size_t i = env->count; i > 0; i--)
            if (str_eq(env->vars[i - 1].name, name))
                return env->vars[i - 1].value;
    return NULL;
}

void stages_env_set(StagesEnv *env, const char *name, const char *value, const void *mem) {
    StagesVar var = {name, value};

    for (size_t i = 0; i < env->count; i++) {
        if (str_eq(env->vars[i].name, name)) {
            env->vars[i].value = value;
            return;
        }
    }
    mem_append(mem, env->vars, env->count, var);
}

static bool name_char(char c) {
    return isalnum((unsigned char)c) || c == '_';
}

/* What stands at a '$'. */
typedef struct Reference {
    char name[100];
    const char *fallback; /* of ${NAME:-text}; NULL: none */
    size_t fallback_len;
    size_t len; /* of all of it; 0: no reference */
} Reference;

static Reference reference_at(const char *text, bool bare_too) {
    bool braced = text[1] == '{';
    const char *name = text + (braced ? 2 : 1), *end = name;
    Reference ref = {.len = 0};

    while (name_char(*end))
        end++;
    if (end == name || isdigit((unsigned char)*name) || (size_t)(end - name) >= sizeof(ref.name) ||
        (!braced && !bare_too))
        return ref;
    memcpy(ref.name, name, (size_t)(end - name));
    if (!braced) {
        ref.len = (size_t)(end - text);
    } else if (*end == '}') {
        ref.len = (size_t)(end - text) + 1;
    } else if (end[0] == ':' && end[1] == '-') {
        ref.fallback = end + 2;
        ref.fallback_len = strcspn(ref.fallback, "}");
        if (ref.fallback[ref.fallback_len] == '}')
            ref.len = (size_t)(ref.fallback + ref.fallback_len - text) + 1;
    }
    return ref;
}

bool stages_is_open(const char *text) {
    return strstr(text, "${") != NULL;
}

/* Values that hold values that hold values … grow without end, and not in a file that means well. */
static bool spend(const StagesEnv *env, size_t len) {
    while (env->below)
        env = env->below;
    if (!env->budget || len > *env->budget)
        return false;
    *env->budget -= len;
    return true;
}

const char *stages_expand(const StagesEnv *env, const char *text, const void *mem, bool *ret_whole) {
    _cleanup_buf_ Buf out = BUF_INIT;
    bool unknown = false;

    if (ret_whole)
        *ret_whole = false;
    if (!strchr(text, '$'))
        return text;
    for (const char *at = text; *at && out.len < VALUE_MAX;) {
        Reference ref = *at == '$' ? reference_at(at, false) : (Reference){.len = 0};
        const char *value = ref.len ? stages_env_get(env, ref.name) : NULL;

        if (value) {
            buf_adds(&out, value);
        } else if (ref.len && ref.fallback) {
            buf_add(&out, ref.fallback, ref.fallback_len);
        } else {
            unknown = ref.len && at == text && !at[ref.len];
            buf_add(&out, at, MAX(ref.len, (size_t)1));
        }
        at += MAX(ref.len, (size_t)1);
    }
    if (ret_whole)
        *ret_whole = unknown;
    return out.len < VALUE_MAX && spend(env, out.len) ? buf_dup(&out, mem) : text;
}

void stages_env_add(StagesEnv *env, const YamlNode *mapping, const void *mem) {
    for (size_t i = 0; mapping && mapping->kind == YAML_MAPPING && i < mapping->count; i++) {
        const YamlNode *value = mapping->pairs[i].value;
        const char *name = mapping->pairs[i].key->text, *text;
        const char *hand = env->hand ? stages_env_get(env->hand, name) : NULL;
        bool whole = false;

        if (value->kind != YAML_SCALAR)
            continue;
        text = hand ? hand : stages_expand(env, yaml_is_null(value) ? "" : value->text, mem, &whole);
        if (!whole)
            stages_env_set(env, name, text, mem);
    }
}

/* ---- conditions ---- */

/* As others write it. */
static const char *whole_word(const char *text) {
    static const char *const words[][2] = {
        {"always", "always()"},       {"success", "success()"}, {"on_success", "success()"},
        {"failure", "failure()"},     {"failed", "failure()"},  {"on_failure", "failure()"},
        {"cancelled", "cancelled()"},
    };

    for (size_t i = 0; i < ELEMENTS(words); i++)
        if (strcasecmp(words[i][0], text) == 0)
            return words[i][1];
    return NULL;
}

/* quote: the one that is open, or 0. */
static int add_value(Buf *out, const char *name, const char *value, char quote, Err *err) {
    bool single = strchr(value, '\'') != NULL, twice = strchr(value, '"') != NULL;
    char use = quote ? quote : single ? '"' : '\'';

    if ((use == '\'' && single) || (use == '"' && twice))
        return err_set(err, ERR_INVALID, "the value of %s has a %c in it, which cannot be compared here",
                       name, use);
    if (!quote)
        buf_addc(out, use);
    buf_adds(out, value);
    if (!quote)
        buf_addc(out, use);
    return 0;
}

int stages_condition(const StagesEnv *env, const char *text, const void *mem, const char **ret, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    char quote = 0;

    if (whole_word(text)) {
        *ret = whole_word(text);
        return 0;
    }
    for (const char *at = text; *at;) {
        Reference ref = *at == '$' ? reference_at(at, true) : (Reference){.len = 0};
        const char *value = ref.len ? stages_env_get(env, ref.name) : NULL;

        if (ref.len) {
            const char *fallback = ref.fallback ? mem_strndup(mem, ref.fallback, ref.fallback_len) : "";
            int r = add_value(&out, ref.name, value ? value : fallback, quote, err);

            if (r < 0)
                return r;
            at += ref.len;
            continue;
        }
        if (quote ? *at == quote : *at == '\'' || *at == '"')
            quote = quote ? 0 : *at;
        buf_addc(&out, *at++);
    }
    *ret = buf_dup(&out, mem);
    return 0;
}
