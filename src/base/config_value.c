#include "base/config_value.h"

#include "base/clock.h"
#include "base/str.h"
#include <inttypes.h>

static const struct {
    const char *word;
    int64_t us;
} units[] = {{"d", 86400 * US_PER_S},
             {"h", 3600 * US_PER_S},
             {"m", 60 * US_PER_S},
             {"s", US_PER_S},
             {"ms", US_PER_MS}};

static const char *duration_text(int64_t us, char *out, size_t size) {
    for (size_t i = 0; i < ELEMENTS(units); i++)
        if (us && us % units[i].us == 0) {
            snprintf(out, size, "%" PRId64 "%s", us / units[i].us, units[i].word);
            return out;
        }
    snprintf(out, size, "%" PRId64 "%s", us / US_PER_MS, us ? "ms" : "");
    return out;
}

static const char *size_text(int64_t bytes, char *out, size_t size) {
    int unit = 0;

    while (bytes && bytes % 1024 == 0 && unit < 4) {
        bytes /= 1024;
        unit++;
    }
    snprintf(out, size, "%" PRId64 "%.*s", bytes, unit ? 1 : 0, &"KMGT"[unit ? unit - 1 : 0]);
    return out;
}

static const char *limit_text(const Setting *s, int64_t limit, char *out, size_t size) {
    if (s->type == SETTING_DURATION)
        return duration_text(limit, out, size);
    if (s->type == SETTING_SIZE)
        return size_text(limit, out, size);
    snprintf(out, size, "%" PRId64, limit);
    return out;
}

/* "expected a size like 64M, got "x"". */
static int expected(const Setting *s, const char *what, const char *text, Err *err) {
    if (s->secret)
        return err_set(err, ERR_INVALID, "expected %s", what);
    return err_set(err, ERR_INVALID, "expected %s, got \"%.120s\"", what, text);
}

static int check_range(const Setting *s, int64_t value, const char *text, Err *err) {
    char low[32], high[32], what[96];

    if ((s->min == 0 && s->max == 0) || (value >= s->min && value <= s->max))
        return 0;
    snprintf(what, sizeof(what), "%s to %s", limit_text(s, s->min, low, sizeof(low)),
             limit_text(s, s->max, high, sizeof(high)));
    return expected(s, what, text, err);
}

static bool is_word(const Setting *s, const char *text) {
    for (size_t i = 0; s->words && s->words[i]; i++)
        if (str_eq(s->words[i], text))
            return true;
    return false;
}

static int check_word(const Setting *s, const char *text, Err *err) {
    _cleanup_buf_ Buf what = BUF_INIT;
    const char *nearest;

    if (!s->words || is_word(s, text))
        return 0;
    for (size_t i = 0; s->words[i]; i++)
        buf_addf(&what, "%s%s", i ? ", " : "one of ", s->words[i]);
    nearest = str_nearest(text, s->words);
    if (nearest && !s->secret)
        return err_set(err, ERR_INVALID, "expected %s, got \"%.120s\"; did you mean \"%s\"?", buf_str(&what),
                       text, nearest);
    return expected(s, buf_str(&what), text, err);
}

static int parse_string(const void *mem, const Setting *s, const char *text, void *field, Err *err) {
    int r = check_word(s, text, err);

    if (r >= 0)
        *(const char **)field = mem_strdup(mem, text);
    return r;
}

static int parse_int(const void *mem, const Setting *s, const char *text, void *field, Err *err) {
    int64_t value;
    int r;

    if (!str_to_i64(text, INT64_MIN, INT64_MAX, &value))
        return expected(s, "a whole number", text, err);
    r = check_range(s, value, text, err);
    if (r >= 0)
        *(int64_t *)field = value;
    return r;
}

static int parse_bool(const void *mem, const Setting *s, const char *text, void *field, Err *err) {
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};

    for (size_t i = 0; i < ELEMENTS(words); i++)
        if (str_eq(text, words[i])) {
            *(bool *)field = i % 2;
            return 0;
        }
    return expected(s, "true or false", text, err);
}

static int parse_size(const void *mem, const Setting *s, const char *text, void *field, Err *err) {
    uint64_t value;
    int r;

    if (!str_to_size(text, &value) || value > INT64_MAX)
        return expected(s, "a size like 512, 64K, 10M or 4G", text, err);
    r = check_range(s, (int64_t)value, text, err);
    if (r >= 0)
        *(uint64_t *)field = value;
    return r;
}

static int parse_duration(const void *mem, const Setting *s, const char *text, void *field, Err *err) {
    int64_t value;
    int r;

    if (!str_to_duration(text, &value))
        return expected(s, "a duration like 90, 500ms, 30s or 1h30m", text, err);
    r = check_range(s, value, text, err);
    if (r >= 0)
        *(int64_t *)field = value;
    return r;
}

/* "host:port" or "[::1]:port". */
static bool is_address(const char *text) {
    const char *colon = strrchr(text, ':');
    size_t host = colon ? (size_t)(colon - text) : 0;
    uint64_t port;

    if (host == 0 || !str_to_u64(colon + 1, 65535, &port))
        return false;
    if (text[0] == '[')
        return host > 2 && text[host - 1] == ']' && strspn(text + 1, "0123456789abcdefABCDEF:.") == host - 2;
    return strcspn(text, ":[]/@ \t\r\n") == host;
}

static int parse_address(const void *mem, const Setting *s, const char *text, void *field, Err *err) {
    if (!is_address(text) && !is_word(s, text))
        return expected(s, "an address like 127.0.0.1:8080", text, err);
    *(const char **)field = mem_strdup(mem, text);
    return 0;
}

static int (*const parsers[])(const void *, const Setting *, const char *, void *, Err *) = {
    [SETTING_STRING] = parse_string, [SETTING_INT] = parse_int,           [SETTING_BOOL] = parse_bool,
    [SETTING_SIZE] = parse_size,     [SETTING_DURATION] = parse_duration, [SETTING_ADDRESS] = parse_address,
};

int config_value_parse(const void *mem, const Setting *s, const char *const *texts, void *field, Err *err) {
    if (s->type != SETTING_WORDS)
        return parsers[s->type](mem, s, texts[0], field, err);
    for (size_t i = 0; texts[i]; i++) {
        int r = str_empty(texts[i]) ? expected(s, "words", "", err) : check_word(s, texts[i], err);

        if (r < 0)
            return r;
    }
    *(const char *const **)field = config_value_copy(mem, texts);
    return 0;
}

const char *const *config_value_copy(const void *ctx, const char *const *texts) {
    size_t count = 0;
    const char **list;

    while (texts[count])
        count++;
    list = mem_array(ctx, const char *, count + 1);
    for (size_t i = 0; i < count; i++)
        list[i] = mem_strdup(list, texts[i]);
    return list;
}

const char *const *config_value_split(const void *ctx, const char *text) {
    const char **list = NULL;
    size_t count = 0;

    for (bool more = *text; more;) {
        size_t all, len;

        text += strspn(text, " ");
        all = len = strcspn(text, ",");
        while (len > 0 && text[len - 1] == ' ')
            len--;
        mem_append(ctx, list, count, mem_strndup(ctx, text, len));
        more = text[all] == ',';
        text += all + more;
    }
    mem_append(ctx, list, count, NULL);
    return list;
}

/* What YAML reads back as the same text without quotes. */
static bool is_plain(const char *text) {
    static const char safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/+";

    return strspn(text, safe) == strlen(text);
}

static void add_quoted(const char *text, Buf *out) {
    JsonWriter w = JSON_WRITER(out);

    jw_str(&w, NULL, text); /* JSON's strings are YAML's too */
}

void config_value_yaml(const Setting *s, const ConfigValue *value, Buf *out) {
    bool text = s->type == SETTING_STRING || s->type == SETTING_ADDRESS;

    if (!value->texts)
        buf_addc(out, '~');
    else if (s->secret)
        buf_adds(out, "\"(set)\"");
    else if (s->type == SETTING_WORDS) {
        buf_addc(out, '[');
        for (size_t i = 0; value->texts[i]; i++) {
            buf_adds(out, i ? ", " : "");
            add_quoted(value->texts[i], out);
        }
        buf_addc(out, ']');
    } else if (text || !is_plain(value->texts[0]))
        add_quoted(value->texts[0], out);
    else
        buf_adds(out, value->texts[0]);
}

void config_value_json(const Setting *s, const ConfigValue *value, const void *field, JsonWriter *w) {
    char time[STR_DURATION_SIZE];

    if (!value->texts)
        jw_null(w, "value");
    else if (s->secret)
        jw_str(w, "value", "(set)");
    else if (s->type == SETTING_WORDS) {
        jw_array(w, "value");
        for (size_t i = 0; value->texts[i]; i++)
            jw_str(w, NULL, value->texts[i]);
        jw_end_array(w);
    } else if (s->type == SETTING_BOOL)
        jw_bool(w, "value", *(const bool *)field);
    else if (s->type == SETTING_DURATION)
        jw_str(w, "value", str_from_duration(*(const int64_t *)field, time));
    else if (s->type == SETTING_STRING || s->type == SETTING_ADDRESS)
        jw_str(w, "value", value->texts[0]);
    else
        jw_int(w, "value", *(const int64_t *)field);
}
