#include "executor/nix_log.h"

#include "base/json.h"
#include "base/str.h"

#define MARK "@nix "
#define OPEN_MAX 10000
#define LEVEL_ERROR 0
#define LEVEL_WARNING 1
#define LEVEL_INFO 3

/* ActivityType and ResultType of Nix's logging.hh. */
#define TYPE_COPY 100
#define TYPE_TRANSFER 101
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

/* What it is a part of: newer ones say it as "parent". Of others it is the last one that has begun, of those
 * that have nothing beside them. */
static size_t step_above(NixLog *l, const json_t *line) {
    const json_t *parent = json_object_get(line, "parent");
    const NixActivity *above = parent ? find(l, (uint64_t)json_integer_value(parent)) : NULL;

    for (size_t i = l->open_count; !parent && !above && i-- > 0;)
        if (!l->open[i].beside)
            above = &l->open[i];
    return above ? above->step : 0;
}

/* A new step below that one; the number of the step that the activity's own parts are below. */
static size_t add_step(NixLog *l, const char *text, size_t above, int64_t now) {
    NixStep step = {.text = text, .began = now, .under = above};

    if (!*text)
        return above;
    l->total_steps++;
    if (l->step_count == NIX_LOG_KEPT)
        return above;
    if (above && l->steps[above - 1].depth == NIX_LOG_DEPTH)
        step.under = l->steps[above - 1].under;
    step.depth = step.under ? l->steps[step.under - 1].depth + 1 : 1;
    mem_append(l->mem, l->steps, l->step_count, step);
    return l->step_count;
}

/* "checking derivation 'packages.x86_64-linux.hello'", as newer ones say it, with or without quotes. */
static void note_output(NixLog *l, const char *text) {
    const char *name = str_after(text, "checking derivation "), *from;
    char *output;

    l->all_packages |= str_eq(text, "checking flake output 'packages'");
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
        .step = add_step(l, text, step_above(l, line), now),
        .build = type == TYPE_BUILD,
        .beside = type == TYPE_BUILD || type == TYPE_SUBSTITUTE || type == TYPE_COPY || type == TYPE_TRANSFER,
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

    if (!a)
        return;
    if (a->step && l->steps[a->step - 1].text == a->text)
        l->steps[a->step - 1].ended = now;
    l->open_count--;
    memmove(a, a + 1, (size_t)(l->open + l->open_count - a) * sizeof(*a));
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

void nix_log_shown(NixLog *l, const json_t *shown) {
    json_t *names, *value;
    const char *system, *name;

    if (!l->all_packages || l->packages.count)
        return;
    json_object_foreach (json_object_get(shown, "packages"), system, names)
        json_object_foreach (names, name, value)
            add_name(l, &l->packages, mem_printf(l->mem, "packages.%s.%s", system, name));
}

static void write_names(JsonWriter *w, const char *key, const NixNames *names) {
    jw_array(w, key);
    for (size_t i = 0; i < names->count; i++)
        jw_str(w, NULL, names->items[i]);
    jw_end_array(w);
}

/* One that has not ended took as long as there was something to read. */
static void write_step(JsonWriter *w, const NixLog *l, const NixStep *step) {
    jw_str(w, "text", step->text);
    jw_seconds(w, "duration", (step->ended ? step->ended : l->ended) - step->began);
}

/* The steps that are parts of that one, from 1; of 0 those that are part of none. */
static void write_parts(JsonWriter *w, const char *key, const NixLog *l, size_t under) {
    jw_array(w, key);
    for (size_t i = under; i < l->step_count; i++) {
        if (l->steps[i].under != under)
            continue;
        jw_object(w, NULL);
        write_step(w, l, &l->steps[i]);
        write_parts(w, "children", l, i + 1);
        jw_end_object(w);
    }
    jw_end_array(w);
}

void nix_log_summary(const NixLog *l, JsonWriter *w) {
    jw_int(w, "total_steps", (int64_t)l->total_steps);
    jw_time(w, "started_at", l->began);
    jw_time(w, "completed_at", l->ended);
    write_parts(w, "timeline", l, 0);
    jw_array(w, "steps");
    for (size_t i = 0; i < l->step_count; i++) {
        jw_object(w, NULL);
        write_step(w, l, &l->steps[i]);
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
