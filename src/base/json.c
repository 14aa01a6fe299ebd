#include "base/json.h"

#include "base/clock.h"
#include "base/str.h"
#include <assert.h>
#include <inttypes.h>
#include <string.h>

#define JSON_MAX_DEPTH 64

static const uint8_t plain[256] = {
    [0x20] = 1,
    [0x21] = 1,
    [0x23 ... 0x5b] = 1,
    [0x5d ... 0x7f] = 1,
};

static void put_escape(Buf *out, unsigned char c) {
    static const char letters[] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r', ['"'] = '"', ['\\'] = '\\'};
    char text[6] = {'\\', 'u', '0', '0'};

    if (c < sizeof(letters) && letters[c]) {
        text[1] = letters[c];
        buf_add(out, text, 2);
        return;
    }
    text[4] = (char)('0' + (c >> 4));
    text[5] = "0123456789abcdef"[c & 15];
    buf_add(out, text, 6);
}

/* Runs of bytes that need nothing are copied whole: logs and messages are nearly all such. */
static void put_string(Buf *out, const char *s, size_t len) {
    const char *end = s + len, *run = s;

    buf_reserve(out, len + 2);
    buf_addc(out, '"');
    for (;;) {
        size_t n;

        while (s < end && plain[(unsigned char)*s])
            s++;
        if (s == end)
            break;
        n = (unsigned char)*s < 0x80 ? 0 : str_utf8_next(s, (size_t)(end - s));
        if (n) {
            s += n;
            continue;
        }
        buf_add(out, run, (size_t)(s - run));
        if ((unsigned char)*s < 0x80)
            put_escape(out, (unsigned char)*s);
        else
            buf_add(out, "\xef\xbf\xbd", 3);
        run = ++s;
    }
    buf_add(out, run, (size_t)(end - run));
    buf_addc(out, '"');
}

static void begin(JsonWriter *w, const char *key) {
    uint64_t bit = UINT64_C(1) << w->depth;

    if (w->comma & bit)
        buf_addc(w->out, ',');
    w->comma |= bit;
    if (key) {
        put_string(w->out, key, strlen(key));
        buf_addc(w->out, ':');
    }
}

static void nest(JsonWriter *w, const char *key, char bracket) {
    begin(w, key);
    buf_addc(w->out, bracket);
    assert(w->depth < JSON_MAX_DEPTH - 1);
    w->depth++;
    w->comma &= ~(UINT64_C(1) << w->depth);
}

static void unnest(JsonWriter *w, char bracket) {
    assert(w->depth > 0);
    w->depth--;
    buf_addc(w->out, bracket);
}

void jw_object(JsonWriter *w, const char *key) {
    nest(w, key, '{');
}

void jw_array(JsonWriter *w, const char *key) {
    nest(w, key, '[');
}

void jw_end_object(JsonWriter *w) {
    unnest(w, '}');
}

void jw_end_array(JsonWriter *w) {
    unnest(w, ']');
}

void jw_strn(JsonWriter *w, const char *key, const char *value, size_t len) {
    begin(w, key);
    if (value)
        put_string(w->out, value, len);
    else
        buf_add(w->out, "null", 4);
}

void jw_str(JsonWriter *w, const char *key, const char *value) {
    jw_strn(w, key, value, value ? strlen(value) : 0);
}

void jw_int(JsonWriter *w, const char *key, int64_t value) {
    char text[24], *at = text + sizeof(text);
    uint64_t rest = value < 0 ? ~(uint64_t)value + 1 : (uint64_t)value;

    begin(w, key);
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (value < 0)
        *--at = '-';
    buf_add(w->out, at, (size_t)(text + sizeof(text) - at));
}

void jw_bool(JsonWriter *w, const char *key, bool value) {
    begin(w, key);
    buf_adds(w->out, value ? "true" : "false");
}

void jw_null(JsonWriter *w, const char *key) {
    jw_strn(w, key, NULL, 0);
}

void jw_time(JsonWriter *w, const char *key, int64_t us) {
    char text[CLOCK_RFC3339_SIZE];

    jw_str(w, key, us ? clock_rfc3339(us, text) : NULL);
}

void jw_seconds(JsonWriter *w, const char *key, int64_t us) {
    if (us < 0) {
        jw_null(w, key);
        return;
    }
    begin(w, key);
    buf_addf(w->out, "%" PRId64 ".%06" PRId64, us / US_PER_S, us % US_PER_S);
}

void jw_raw(JsonWriter *w, const char *key, const char *json, size_t len) {
    begin(w, key);
    buf_add(w->out, json, len);
}

/* jansson itself goes 2,048 levels down; this looks only at brackets outside of strings. */
static int check_depth(const char *text, size_t len, Err *err) {
    int depth = 0, line = 1;
    bool quoted = false;

    for (size_t i = 0; i < len; i++) {
        char c = text[i];

        line += c == '\n';
        if (c == '\0') /* jansson passes over one behind a number */
            return err_set(err, ERR_INVALID, "line %d: a zero byte", line);
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '[' || c == '{') && ++depth > JSON_MAX_DEPTH)
            return err_set(err, ERR_INVALID, "line %d: nested deeper than %d levels", line, JSON_MAX_DEPTH);
        else if (!quoted && (c == ']' || c == '}'))
            depth--;
    }
    return 0;
}

static int read_value(const char *text, size_t len, size_t flags, json_t **ret, Err *err) {
    json_error_t why;
    json_t *root;
    char *near;
    int r = check_depth(text, len, err);

    if (r < 0)
        return r;
    root = json_loadb(len ? text : "", len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | flags, &why);
    if (root) {
        *ret = root;
        return 0;
    }
    near = strstr(why.text, " near '"); /* what is quoted there may be a secret */
    if (near)
        *near = '\0';
    return err_set(err, ERR_INVALID, "line %d, column %d: %s", MAX(why.line, 1), MAX(why.column, 0),
                   json_error_code(&why) == json_error_null_character ? "\\u0000 in a text is not taken"
                                                                      : why.text);
}

int json_read(const char *text, size_t len, json_t **ret, Err *err) {
    return read_value(text, len, 0, ret, err);
}

int json_read_log(const char *text, size_t len, json_t **ret, Err *err) {
    return read_value(text, len, JSON_ALLOW_NUL, ret, err);
}

static const char *kind_word(const json_t *value) {
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "true or false";
    default:
        return "null";
    }
}

/* *ret is NULL when the field is absent or null. */
static int field(const json_t *obj, const char *key, bool required, json_t **ret, Err *err) {
    json_t *value;

    if (!json_is_object(obj))
        return err_set(err, ERR_INVALID, "expected an object, got %s", obj ? kind_word(obj) : "nothing");
    value = json_object_get(obj, key);
    if (json_is_null(value) && !required)
        value = NULL;
    if (!value && required)
        return err_set(err, ERR_INVALID, "field \"%s\": missing", key);
    *ret = value;
    return 0;
}

static int wrong(const char *key, const char *expected, const json_t *got, Err *err) {
    return err_set(err, ERR_INVALID, "field \"%s\": expected %s, got %s", key, expected, kind_word(got));
}

static int str_of(const json_t *obj, const char *key, bool required, const char **ret, Err *err) {
    json_t *value;
    int r = field(obj, key, required, &value, err);

    if (r < 0 || !value)
        return r;
    if (!json_is_string(value))
        return wrong(key, "a string", value, err);
    if (strlen(json_string_value(value)) != json_string_length(value))
        return err_set(err, ERR_INVALID, "field \"%s\": holds a zero byte", key);
    *ret = json_string_value(value);
    return 0;
}

static int i64_of(const json_t *obj, const char *key, bool required, int64_t *ret, Err *err) {
    json_t *value;
    int r = field(obj, key, required, &value, err);

    if (r < 0 || !value)
        return r;
    if (json_is_real(value))
        return err_set(err, ERR_INVALID, "field \"%s\": expected a whole number, got a fraction", key);
    if (!json_is_integer(value))
        return wrong(key, "a whole number", value, err);
    *ret = json_integer_value(value);
    return 0;
}

static int range_of(const json_t *obj, const char *key, bool required, int64_t min, int64_t max, int64_t *ret,
                    Err *err) {
    int64_t value = min;
    int r = i64_of(obj, key, required, &value, err);

    if (r < 0 || !json_is_integer(json_object_get(obj, key)))
        return r;
    if (value < min && max == INT64_MAX)
        return err_set(err, ERR_INVALID, "field \"%s\": expected %" PRId64 " or more, got %" PRId64, key, min,
                       value);
    if (value < min || value > max)
        return err_set(err, ERR_INVALID, "field \"%s\": expected %" PRId64 " to %" PRId64 ", got %" PRId64,
                       key, min, max, value);
    *ret = value;
    return 0;
}

int json_get_str(const json_t *obj, const char *key, const char **ret, Err *err) {
    return str_of(obj, key, true, ret, err);
}

int json_opt_str(const json_t *obj, const char *key, const char **ret, Err *err) {
    return str_of(obj, key, false, ret, err);
}

int json_get_i64(const json_t *obj, const char *key, int64_t *ret, Err *err) {
    return i64_of(obj, key, true, ret, err);
}

int json_opt_i64(const json_t *obj, const char *key, int64_t *ret, Err *err) {
    return i64_of(obj, key, false, ret, err);
}

int json_get_range(const json_t *obj, const char *key, int64_t min, int64_t max, int64_t *ret, Err *err) {
    return range_of(obj, key, true, min, max, ret, err);
}

int json_opt_range(const json_t *obj, const char *key, int64_t min, int64_t max, int64_t *ret, Err *err) {
    return range_of(obj, key, false, min, max, ret, err);
}

int json_opt_bool(const json_t *obj, const char *key, bool *ret, Err *err) {
    json_t *value;
    int r = field(obj, key, false, &value, err);

    if (r < 0 || !value)
        return r;
    if (!json_is_boolean(value))
        return wrong(key, "true or false", value, err);
    *ret = json_is_true(value);
    return 0;
}

int json_opt_object(const json_t *obj, const char *key, json_t **ret, Err *err) {
    json_t *value;
    int r = field(obj, key, false, &value, err);

    if (r < 0 || !value)
        return r;
    if (!json_is_object(value))
        return wrong(key, "an object", value, err);
    *ret = value;
    return 0;
}

int json_opt_array(const json_t *obj, const char *key, json_t **ret, Err *err) {
    json_t *value;
    int r = field(obj, key, false, &value, err);

    if (r < 0 || !value)
        return r;
    if (!json_is_array(value))
        return wrong(key, "an array", value, err);
    *ret = value;
    return 0;
}
