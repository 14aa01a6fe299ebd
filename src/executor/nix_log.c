#include "executor/nix_log.h"

#include "base/json.h"
#include "base/str.h"

#define MARK "@nix "
#define OPEN_MAX 10000
#define LEVEL_ERROR 0
#define LEVEL_WARNING 1
#define LEVEL_INFO 3

/* ActivityType and ResultType of Nix's logging.hh. */
#define TYPE_BUILD 105
#define TYPE_SUBSTITUTE 108
#define RESULT_BUILD_LINE 101
#define RESULT_POST_BUILD_LINE 107

/* ---- text ---- */

/* Without the colours of a terminal (ECMA-48: ESC [ … letter). */
static char *plain(const void *mem, const char *text) {
    char *copy = mem_strdup(mem, text), *to = copy;

    for (const char *at = text; *at; at++) {
        if (at[0] == '\033' && at[1] == '[') {
            at += 2;
            at += strcspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
            if (!*at)
                break;
            continue;
        }
        *to++ = *at;
    }
    *to = '\0';
    return copy;
}

/* "/nix/store/<hash>-hello-1.0.drv" → "hello-1.0" */
static char *name_of(const void *mem, const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dash = strchr(name, '-');
    size_t len;

    name = dash ? dash + 1 : name;
    len = strlen(name);
    return mem_strndup(mem, name, str_ends(name, ".drv") ? len - 4 : len);
}

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

static void add_name(NixLog *l, NixNames *names, const char *name) {
    for (size_t i = 0; i < names->count; i++)
        if (str_eq(names->items[i], name))
            return;
    if (names->count < NIX_LOG_KEPT)
        mem_append(l->mem, names->items, names->count, mem_strdup(l->mem, name));
}

/* ---- activities ---- */

static NixActivity *find(NixLog *l, uint64_t id) {
    for (size_t i = l->open_count; i-- > 0;)
        if (l->open[i].id == id)
            return &l->open[i];
    return NULL;
}

/* "checking derivation 'packages.x86_64-linux.hello'", as newer ones say it, with or without quotes. */
static void note_output(NixLog *l, const char *text) {
    const char *name = str_after(text, "checking derivation "), *from;
    char *output;

    if (!name)
        return;
    from = name + (*name == '\'');
    output = mem_strndup(l->mem, from, strcspn(from, "' ."));
    if (str_eq(output, "packages"))
        add_name(l, &l->packages, mem_strndup(l->mem, from, strcspn(from, "' ")));
    else if (str_eq(output, "checks"))
        add_name(l, &l->checks, mem_strndup(l->mem, from, strcspn(from, "' ")));
}

static void begin(NixLog *l, const json_t *line, int64_t now, Buf *out) {
    int64_t type = json_integer_value(json_object_get(line, "type"));
    const json_t *first = json_array_get(json_object_get(line, "fields"), 0);
    char *text = plain(l->mem, text_of(line, "text"));
    NixActivity a = {
        .id = (uint64_t)json_integer_value(json_object_get(line, "id")),
        .text = text,
        .began = now,
        .build = type == TYPE_BUILD,
    };

    note_output(l, text);
    if ((a.build || type == TYPE_SUBSTITUTE) && json_is_string(first))
        a.name = name_of(l->mem, json_string_value(first));
    if (a.build && a.name && l->check)
        add_name(l, &l->checks, a.name);
    if (*text && json_integer_value(json_object_get(line, "level")) <= LEVEL_INFO)
        buf_addf(out, "%s\n", text);
    if (l->open_count < OPEN_MAX)
        mem_append(l->mem, l->open, l->open_count, a);
}

static void end(NixLog *l, const json_t *line, int64_t now) {
    NixActivity *a = find(l, (uint64_t)json_integer_value(json_object_get(line, "id")));
    NixStep step;

    if (!a)
        return;
    step = (NixStep){.text = a->text, .took = now - a->began};
    *a = l->open[--l->open_count];
    if (!*step.text)
        return;
    l->total_steps++;
    if (l->step_count < NIX_LOG_KEPT)
        mem_append(l->mem, l->steps, l->step_count, step);
}

static void result(NixLog *l, const json_t *line, Buf *out) {
    int64_t type = json_integer_value(json_object_get(line, "type"));
    const char *text = json_string_value(json_array_get(json_object_get(line, "fields"), 0));
    NixActivity *a = find(l, (uint64_t)json_integer_value(json_object_get(line, "id")));

    if ((type == RESULT_BUILD_LINE || type == RESULT_POST_BUILD_LINE) && text)
        buf_addf(out, "%s> %s\n", a && a->name ? a->name : "nix", text);
}

static void message(NixLog *l, const json_t *line, Buf *out) {
    int64_t level = json_integer_value(json_object_get(line, "level"));
    NixMessage m = {.level = level == LEVEL_ERROR ? "error" : "warning",
                    .text = plain(l->mem, text_of(line, "msg"))};

    if (level > LEVEL_INFO)
        return;
    buf_addf(out, "%s\n", m.text);
    if (level <= LEVEL_WARNING && l->message_count < NIX_LOG_KEPT)
        mem_append(l->mem, l->messages, l->message_count, m);
}

void nix_log_line(NixLog *l, const char *line, size_t len, int64_t now, Buf *out) {
    _cleanup_json_ json_t *read = NULL;
    size_t mark = strlen(MARK);
    const char *action;
    Err ignored;

    if (!l->began)
        l->began = now;
    l->ended = now;
    if (len <= mark || memcmp(line, MARK, mark) != 0 ||
        json_read(line + mark, len - mark, &read, &ignored) < 0 || !json_is_object(read)) {
        buf_add(out, line, len);
        buf_addc(out, '\n');
        return;
    }
    action = text_of(read, "action");
    if (str_eq(action, "start"))
        begin(l, read, now, out);
    else if (str_eq(action, "stop"))
        end(l, read, now);
    else if (str_eq(action, "result"))
        result(l, read, out);
    else if (str_eq(action, "msg"))
        message(l, read, out);
}

/* ---- the summary ---- */

static void write_names(JsonWriter *w, const char *key, const NixNames *names) {
    jw_array(w, key);
    for (size_t i = 0; i < names->count; i++)
        jw_str(w, NULL, names->items[i]);
    jw_end_array(w);
}

void nix_log_summary(const NixLog *l, JsonWriter *w) {
    jw_int(w, "total_steps", (int64_t)l->total_steps);
    jw_time(w, "started_at", l->began);
    jw_time(w, "completed_at", l->ended);
    jw_array(w, "timeline");
    for (size_t i = 0; i < l->step_count; i++) {
        jw_object(w, NULL);
        jw_str(w, "text", l->steps[i].text);
        jw_seconds(w, "duration", l->steps[i].took);
        jw_end_object(w);
    }
    jw_end_array(w);
    jw_array(w, "important_messages");
    for (size_t i = 0; i < l->message_count; i++) {
        jw_object(w, NULL);
        jw_str(w, "level", l->messages[i].level);
        jw_str(w, "message", l->messages[i].text);
        jw_end_object(w);
    }
    jw_end_array(w);
    write_names(w, "packages_checked", &l->packages);
    write_names(w, "checks_run", &l->checks);
}
