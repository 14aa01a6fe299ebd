/* The types of answers (server.h, HttpSchema) as JSON Schema. They are our own constants: what is wrong in
 * one is a mistake of ours, and asserted. */
#include "http/request.h"

#include "base/str.h"
#include <assert.h>
#include <ctype.h>

static const struct {
    const char *word, *type, *format;
} scalars[] = {{"int", "integer", NULL},        {"number", "number", NULL}, {"text", "string", NULL},
               {"time", "string", "date-time"}, {"bool", "boolean", NULL},  {"object", "object", NULL}};

static const char *write_type(JsonWriter *w, const char *key, const char *at);

/* Behind a type, less what is put behind it: "?" and "/". */
static const char *base_end(const char *at) {
    int depth = 0;

    do {
        assert(*at);
        if (strchr("([{", *at))
            depth++;
        else if (strchr(")]}", *at))
            depth--;
        at++;
    } while (depth || (*at && !strchr(" ?/)]}", *at)));
    return at;
}

static const char *type_end(const char *at) {
    for (;;) {
        at = base_end(at);
        at += *at == '?';
        if (*at != '/')
            return at;
        at++;
    }
}

static void write_word(JsonWriter *w, const char *type, bool null) {
    if (!null) {
        jw_str(w, "type", type);
        return;
    }
    jw_array(w, "type");
    jw_str(w, NULL, type);
    jw_str(w, NULL, "null");
    jw_end_array(w);
}

static const char *skip_blanks(const char *at) {
    return at + strspn(at, " ");
}

/* The fields that are always there. */
static void write_required(JsonWriter *w, const char *at) {
    jw_array(w, "required");
    for (at = skip_blanks(at); *at != ')'; at = skip_blanks(type_end(at))) {
        size_t len = strcspn(at, "?:");

        if (at[len] == ':')
            jw_strn(w, NULL, at, len);
        at = strchr(at, ':') + 1;
    }
    jw_end_array(w);
}

/* at: behind the bracket. */
static void write_fields(JsonWriter *w, const char *at, bool null) {
    write_word(w, "object", null);
    write_required(w, at);
    jw_object(w, "properties");
    for (at = skip_blanks(at); *at != ')'; at = skip_blanks(at)) {
        _cleanup_talloc_ char *name = mem_strndup(NULL, at, strcspn(at, "?:"));

        at = strchr(at, ':');
        assert(at);
        at = write_type(w, name, at + 1);
    }
    jw_end_object(w);
}

static void write_list(JsonWriter *w, const char *at, bool null) {
    write_word(w, "array", null);
    write_type(w, "items", at);
}

static void write_map(JsonWriter *w, const char *at, bool null) {
    write_word(w, "object", null);
    write_type(w, "additionalProperties", at);
}

static void write_words(JsonWriter *w, const char *at, const char *end, bool null) {
    jw_array(w, "enum");
    while (at < end) {
        size_t len = MIN(strcspn(at, "|"), (size_t)(end - at));

        jw_strn(w, NULL, at, len);
        at += len + 1;
    }
    if (null)
        jw_null(w, NULL);
    jw_end_array(w);
}

static void write_reference(JsonWriter *w, const char *at, const char *end) {
    _cleanup_buf_ Buf name = BUF_INIT;

    buf_adds(&name, "#/components/schemas/");
    buf_add(&name, at, (size_t)(end - at));
    jw_strn(w, "$ref", name.data, name.len);
}

static void write_scalar(JsonWriter *w, const char *at, const char *end, bool null) {
    for (size_t i = 0; i < ELEMENTS(scalars); i++) {
        const char *behind = str_after(at, scalars[i].word);

        if (behind != end)
            continue;
        write_word(w, scalars[i].type, null);
        if (scalars[i].format)
            jw_str(w, "format", scalars[i].format);
        return;
    }
    assert(str_after(at, "any") == end); /* that is the empty schema */
}

/* One that may be null is either: a reference takes nothing beside it. */
static void write_base(JsonWriter *w, const char *at, const char *end, bool null) {
    if (*at == '(')
        write_fields(w, at + 1, null);
    else if (*at == '[')
        write_list(w, at + 1, null);
    else if (*at == '{')
        write_map(w, at + 1, null);
    else if (*at == '=')
        write_words(w, at + 1, end, null);
    else if (isupper((unsigned char)*at))
        write_reference(w, at, end);
    else
        write_scalar(w, at, end, null);
}

static const char *write_one(JsonWriter *w, const char *key, const char *at) {
    const char *end = base_end(at);
    bool null = *end == '?' && !isupper((unsigned char)*at);

    jw_object(w, key);
    write_base(w, at, end, null);
    jw_end_object(w);
    return null ? end + 1 : end;
}

static const char *write_any_of(JsonWriter *w, const char *key, const char *at) {
    jw_object(w, key);
    jw_array(w, "anyOf");
    for (at = write_one(w, NULL, at); *at == '/'; at = write_one(w, NULL, at + 1)) {
    }
    if (*at == '?') {
        jw_object(w, NULL);
        jw_str(w, "type", "null");
        jw_end_object(w);
        at++;
    }
    jw_end_array(w);
    jw_end_object(w);
    return at;
}

/* Gives what is behind the type. */
static const char *write_type(JsonWriter *w, const char *key, const char *at) {
    const char *end = base_end(at);

    return *end == '/' || (*end == '?' && isupper((unsigned char)*at)) ? write_any_of(w, key, at)
                                                                       : write_one(w, key, at);
}

void schema_write(JsonWriter *w, const char *key, const char *type) {
    const char *end = write_type(w, key, type);

    assert(!*end);
}
