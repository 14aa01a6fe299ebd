#include "base/config.h"

#include "base/config_value.h"
#include "base/file.h"
#include "base/str.h"
#include "base/yaml.h"
#include <ctype.h>

struct Config {
    const void *mem;
    const Setting *table;
    size_t count;
    char *target;
    ConfigValue *values; /* one a setting */
};

/* Where a value is being read from. */
typedef struct Source {
    const char *from;   /* "pelton.yml:3" */
    const char *prefix; /* of messages: "pelton.yml:3:7: listen" */
} Source;

static const char *const *names(const void *ctx, const Setting *table, size_t count) {
    const char **list = mem_array(ctx, const char *, count + 1);

    for (size_t i = 0; i < count; i++)
        list[i] = table[i].name;
    return list;
}

/* Gives the place in the table, or -1. */
static ssize_t find(const Config *c, const char *name, size_t len) {
    for (size_t i = 0; i < c->count; i++)
        if (strncmp(c->table[i].name, name, len) == 0 && !c->table[i].name[len])
            return (ssize_t)i;
    return -1;
}

/* How a setting's name is written in a place. */
typedef const char *(*Spelling)(const void *ctx, const char *name);

static const char *as_key(const void *ctx, const char *name) {
    return name;
}

static const char *as_flag(const void *ctx, const char *name) {
    return mem_printf(ctx, "--%s", name);
}

static const char *as_variable(const void *ctx, const char *name) {
    char *variable = mem_printf(ctx, "PELTON_%s", name);

    for (char *at = variable; *at; at++)
        *at = *at == '-' ? '_' : (char)toupper((unsigned char)*at);
    return variable;
}

/* shown: as it was written, where in `where`; name: what of it is the name. */
static int unknown(const Config *c, const char *where, const char *shown, const char *name, Spelling spelling,
                   Err *err) {
    _cleanup_talloc_ void *ctx = talloc_new(NULL);
    const char *nearest = str_nearest(name, names(ctx, c->table, c->count));

    if (nearest)
        return err_set(err, ERR_INVALID, "%sunknown setting \"%s\"; did you mean \"%s\"?", where, shown,
                       spelling(ctx, nearest));
    return err_set(err, ERR_INVALID, "%sunknown setting \"%s\"", where, shown);
}

static int set(Config *c, size_t i, const char *const *texts, const Source *source, Err *err) {
    const Setting *setting = &c->table[i];
    int r = config_value_parse(c->mem, setting, texts, c->target + setting->offset, err);

    if (r < 0)
        return err_wrap(err, "%s", source->prefix);
    c->values[i].texts = config_value_copy(c->mem, texts);
    c->values[i].from = mem_strdup(c->mem, source->from);
    return 0;
}

/* A value that is one text: for WORDS it is taken apart at commas. */
static int set_text(Config *c, size_t i, const char *text, const Source *source, Err *err) {
    _cleanup_talloc_ void *ctx = talloc_new(NULL);
    const char *const one[] = {text, NULL};

    if (c->table[i].type != SETTING_WORDS)
        return set(c, i, one, source, err);
    return set(c, i, config_value_split(ctx, text), source, err);
}

Config *config_new(const void *mem, const Setting *table, size_t count, void *target) {
    static const Source source = {.from = NULL, .prefix = "default"};
    Config *c = mem_new(mem, Config);

    *c = (Config){.mem = mem, .table = table, .count = count, .target = target};
    c->values = mem_array(c, ConfigValue, count);
    for (size_t i = 0; i < count; i++) {
        Err err;

        if (table[i].fallback && set_text(c, i, table[i].fallback, &source, &err) < 0) {
            fprintf(stderr, "setting %s: %s\n", table[i].name, err.msg);
            abort();
        }
    }
    return c;
}

static int read_list(Config *c, size_t i, const YamlNode *node, const Source *source, Err *err) {
    _cleanup_talloc_ void *ctx = talloc_new(NULL);
    const char **texts = mem_array(ctx, const char *, node->count + 1);

    if (c->table[i].type != SETTING_WORDS)
        return err_set(err, ERR_INVALID, "%s: expected one value, got a list", source->prefix);
    for (size_t j = 0; j < node->count; j++) {
        if (node->items[j]->kind != YAML_SCALAR)
            return err_set(err, ERR_INVALID, "%s: expected a list of words, got %s in it", source->prefix,
                           yaml_kind_word(node->items[j]));
        texts[j] = node->items[j]->text;
    }
    return set(c, i, texts, source, err);
}

static int read_pair(Config *c, const char *path, const YamlPair *pair, Err *err) {
    _cleanup_talloc_ void *ctx = talloc_new(NULL);
    const YamlNode *value = pair->value;
    const char *name = pair->key->text;
    ssize_t i = find(c, name, strlen(name));
    Source source = {
        .from = mem_printf(ctx, "%s:%d", path, pair->key->line),
        .prefix = mem_printf(ctx, "%s:%d:%d: %s", path, value->line, value->column, name),
    };

    if (i < 0)
        return unknown(c, mem_printf(ctx, "%s:%d:%d: ", path, pair->key->line, pair->key->column), name, name,
                       as_key, err);
    if (yaml_is_null(value))
        return 0;
    if (value->kind == YAML_SEQUENCE)
        return read_list(c, (size_t)i, value, &source, err);
    if (value->kind == YAML_MAPPING)
        return err_set(err, ERR_INVALID, "%s: expected one value, got a mapping", source.prefix);
    return set_text(c, (size_t)i, value->text, &source, err);
}

int config_read_file(Config *c, const char *path, bool required, Err *err) {
    _cleanup_talloc_ void *ctx = talloc_new(NULL);
    _cleanup_buf_ Buf text = BUF_INIT;
    YamlNode *root = NULL;
    int line, column, r;
    Err why;

    r = file_read(path, YAML_MAX_BYTES, &text, &why);
    if (r == -ERR_NOT_FOUND && !required)
        return 0;
    if (r < 0)
        return err_set(err, why.code, "%s", why.msg);
    r = yaml_read(buf_str(&text), text.len, ctx, &root, &line, &column, &why);
    if (r < 0) {
        const char *message = strstr(why.msg, ": "); /* behind "line 3, column 5" */

        return err_set(err, why.code, "%s:%d:%d: %s", path, line, column, message ? message + 2 : why.msg);
    }
    if (yaml_is_null(root) || !root)
        return 0;
    if (root->kind != YAML_MAPPING)
        return err_set(err, ERR_INVALID, "%s:%d:%d: expected \"name: value\" lines, got %s", path, root->line,
                       root->column, yaml_kind_word(root));
    for (size_t i = 0; i < root->count && r >= 0; i++)
        r = read_pair(c, path, &root->pairs[i], err);
    return r;
}

static bool is_in(const char *name, size_t len, const char *const *list) {
    for (; list && *list; list++)
        if (strncmp(*list, name, len) == 0 && !(*list)[len])
            return true;
    return false;
}

static int read_variable(Config *c, const char *variable, const char *const *ignore, Err *err) {
    _cleanup_talloc_ void *ctx = talloc_new(NULL);
    size_t len = strcspn(variable, "=");
    const char *shown = mem_strndup(ctx, variable, len);
    char *name = mem_strdup(ctx, shown + strlen("PELTON_"));
    ssize_t i;

    for (char *at = name; *at; at++)
        *at = *at == '_' ? '-' : (char)tolower((unsigned char)*at);
    i = find(c, name, strlen(name));
    if (i >= 0 && variable[len] == '=')
        return set_text(c, (size_t)i, variable + len + 1, &(Source){.from = shown, .prefix = shown}, err);
    if (is_in(variable, len, ignore) || is_in(name, strlen(name), ignore))
        return 0;
    return unknown(c, "environment: ", shown, name, as_variable, err);
}

int config_read_env(Config *c, const char *const *envp, const char *const *ignore, Err *err) {
    for (; envp && *envp; envp++) {
        int r = str_after(*envp, "PELTON_") ? read_variable(c, *envp, ignore, err) : 0;

        if (r < 0)
            return r;
    }
    return 0;
}

/* One flag at argv[*index], a value that follows included. */
static int read_flag(Config *c, int argc, char **argv, int *index, Err *err) {
    _cleanup_talloc_ void *ctx = talloc_new(NULL);
    const char *flag = argv[*index], *name = flag + 2;
    size_t len = strcspn(name, "=");
    const char *value = name[len] ? name + len + 1 : NULL;
    const char *shown = mem_strndup(ctx, flag, len + 2);
    Source source = {.from = shown, .prefix = shown};
    bool no = false;
    ssize_t i;

    if (flag[1] != '-')
        return unknown(c, "flag: ", flag, flag + 1, as_flag, err);
    i = find(c, name, len);
    if (i < 0 && str_after(name, "no-") && !value) {
        i = find(c, name + 3, len - 3);
        no = i >= 0 && c->table[i].type == SETTING_BOOL;
        i = no ? i : -1;
    }
    if (i < 0)
        return unknown(c, "flag: ", shown, shown + 2, as_flag, err);
    if (c->table[i].type == SETTING_BOOL && !value)
        value = no ? "false" : "true";
    if (!value && (*index + 1 >= argc || str_after(argv[*index + 1], "--")))
        return err_set(err, ERR_INVALID, "%s: expected a value behind it%s%s", shown,
                       c->table[i].arg ? ": " : "", c->table[i].arg ? c->table[i].arg : "");
    if (!value)
        value = argv[++*index];
    return set_text(c, (size_t)i, value, &source, err);
}

int config_read_flags(Config *c, int argc, char **argv, const char ***ret_operands, Err *err) {
    const char **operands = NULL;
    size_t count = 0;
    bool flags = true;

    for (int i = 1; i < argc; i++) {
        int r = 0;

        if (flags && str_eq(argv[i], "--"))
            flags = false;
        else if (flags && argv[i][0] == '-' && argv[i][1])
            r = read_flag(c, argc, argv, &i, err);
        else
            mem_append(c->mem, operands, count, argv[i]);
        if (r < 0) {
            talloc_free(operands);
            return r;
        }
    }
    mem_append(c->mem, operands, count, NULL);
    *ret_operands = operands;
    return 0;
}

int config_set(Config *c, const char *name, const char *text, const char *from, Err *err) {
    return set_text(c, (size_t)find(c, name, strlen(name)), text, &(Source){.from = from, .prefix = from},
                    err);
}

bool config_is_set(const Config *c, const char *name) {
    ssize_t i = find(c, name, strlen(name));

    return i >= 0 && c->values[i].from;
}

static const char *from(const ConfigValue *value) {
    return value->from ? value->from : "default";
}

void config_print(const Config *c, Buf *out) {
    for (size_t i = 0; i < c->count; i++) {
        buf_addf(out, "%s: ", c->table[i].name);
        config_value_yaml(&c->table[i], &c->values[i], out);
        buf_adds(out, "   # from ");
        for (const char *at = from(&c->values[i]); *at; at++)
            buf_addc(out, iscntrl((unsigned char)*at) ? '?' : *at);
        buf_addc(out, '\n');
    }
}

void config_print_json(const Config *c, Buf *out) {
    JsonWriter w = JSON_WRITER(out);

    jw_object(&w, NULL);
    for (size_t i = 0; i < c->count; i++) {
        jw_object(&w, c->table[i].name);
        config_value_json(&c->table[i], &c->values[i], c->target + c->table[i].offset, &w);
        jw_str(&w, "from", from(&c->values[i]));
        jw_end_object(&w);
    }
    jw_end_object(&w);
}

void config_help(const Setting *table, size_t count, Buf *out) {
    for (size_t i = 0; i < count; i++) {
        const Setting *s = &table[i];
        size_t start = out->len, used;

        buf_addf(out, "  --%s", s->name);
        if (s->type != SETTING_BOOL)
            buf_addf(out, " %s", s->arg ? s->arg : "VALUE");
        used = out->len - start;
        if (used < 28)
            buf_addf(out, "%*s", (int)(28 - used), "");
        buf_addf(out, "  %s", s->help ? s->help : "");
        for (size_t j = 0; s->words && s->words[j]; j++)
            buf_addf(out, "%s%s", j ? "|" : ": ", s->words[j]);
        if (s->fallback && !s->secret)
            buf_addf(out, " (default %s)", s->fallback);
        buf_addc(out, '\n');
    }
}
