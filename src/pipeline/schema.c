/* The language as JSON Schema (draft 2020-12), from the tables that the checker reads: for editors. It
 * refuses what the checker refuses, as far as a schema can say it, and nothing that the checker takes.
 *
 * Each level is there twice. What a job extends and what a file includes lies beneath it, so one alone may
 * lack what the whole has: "part3" has the keys of a level and their values, "level3" also what must be there
 * and what goes together. */
#include "pipeline/pipeline.h"
#include "pipeline/read.h"

#include "base/json.h"
#include "base/str.h"

#define REF(name) "{\"$ref\":\"#/$defs/" name "\"}"
#define TEMPLATE REF("template")
#define ANY_OF(forms) "{\"anyOf\":[" forms "]}"
#define SCALAR "\"type\":[\"string\",\"number\",\"boolean\"]"
#define LIST_OF(first, item)                                                                                 \
    "{\"type\":\"array\",\"minItems\":1,\"prefixItems\":[" ANY_OF(first "," TEMPLATE) "],\"items\":" ANY_OF( \
        item "," TEMPLATE) "}"

#define DURATION                                                                                             \
    "^[0-9]*[1-9][0-9]*$|^(?=[0-9])(?=.*[1-9])([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?" \
    "$"
/* At least 1 MiB, as every size asks, or nearly so. */
#define SIZE "^0*[1-9][0-9]*[MGT]$|^0*[1-9][0-9]{3,}K$|^0*[1-9][0-9]{6,}$"

/* A path inside the workspace (read_path of types.c). "./" at its beginning does not count; behind that:
 * nothing that is for a shell, no empty segment, no "." and no "..". */
#define DOTS "(?:\\\\./+)*"
#define SEGMENT DOTS "(?!\\\\./)[^/]+"
#define PATH                                                                                                 \
    "(?!/)(?!" DOTS "(?:~(?:/|$)|\\\\$[A-Za-z_]))(?!.*\\\\$\\\\{)(?!(?:.*/)?\\\\.\\\\.(?:/|$))"              \
    "(?!" SEGMENT "/(?:.*/)?\\\\.(?:/|$))(?!" SEGMENT ".*//+[^/])(?=.*[^ ])[^\\\\x00-\\\\x1f\\\\x7f]+$"
/* A class has its end, and no "{" a comma before its "}" (pattern_fault). */
#define GLOB                                                                                                 \
    "(?=(?:\\\\\\\\.|\\\\[[!^]?\\\\]?[^\\\\]]*\\\\]|[^\\\\\\\\\\\\[{]|\\\\{(?![^,}]*,[^}]*\\\\}))*\\\\\\\\?" \
    "$)"
#define MATCHING(pattern) "{" SCALAR ",\"pattern\":\"" pattern "\"}"

/* What more than one key takes. */
static const struct {
    const char *name, *json;
} shared[] = {
    {"template", "{\"type\":\"string\",\"pattern\":\"\\\\$\\\\{\\\\{\"}"},
    {"text", MATCHING("[^ \\\\t\\\\r\\\\n]")},
    {"name", MATCHING("^(?!.*\\\\.\\\\.)[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$")},
    {"plain-name", MATCHING("^[A-Za-z0-9_-]{1,100}$")},
    {"variable", MATCHING("^[A-Za-z_][A-Za-z0-9_]{0,254}$")},
    {"variables", "{\"type\":\"object\",\"propertyNames\":" REF(
                      "variable") ",\"maxProperties\":1000,\"additionalProperties\":{\"type\":[\"string\","
                                  "\"number\",\"boolean\",\"null\"]}}"},
    {"folder", MATCHING("^" PATH)},
    {"glob", "{\"allOf\":[" MATCHING("^" GLOB ".*[^ ]") "],\"not\":{\"type\":\"boolean\"}}"},
    {"first-glob", "{\"allOf\":[" REF("glob") "],\"not\":{\"pattern\":\"^!\",\"type\":\"string\"}}"},
    {"pattern", MATCHING("^" GLOB "(?:!|(?!!))" PATH)},
    {"first-pattern", MATCHING("^(?!!)" GLOB PATH)},
    {"value", "{\"type\":[\"string\",\"number\",\"boolean\",\"null\"],\"maxLength\":1000}"},
    {"values", "{\"type\":\"array\",\"maxItems\":1000,\"items\":{\"type\":\"object\",\"minProperties\":1,"
               "\"propertyNames\":" REF("plain-name") ",\"additionalProperties\":" REF("value") "}}"},
    {"included",
     ANY_OF(MATCHING("^(?!\\\\./)" PATH) ",{\"type\":\"object\",\"required\":[\"file\"],\"properties\":{"
                                         "\"file\":" MATCHING(
                                             "^(?!\\\\./)" PATH) "},"
                                                                 "\"additionalProperties\":false}")},
};

/* What may stand behind a key, as members of an anyOf, where the type alone tells. */
static const char *const forms[LANG_TYPES] = {
    [LANG_TEXT] = REF("text"),
    [LANG_NAME] = REF("name") "," TEMPLATE,
    [LANG_CONDITION] = REF("text"),
    [LANG_TEMPLATE] = "{" SCALAR ",\"minLength\":1}",
    [LANG_SCRIPT] = REF("text"),
    [LANG_URL_PATH] = "{\"type\":\"string\",\"pattern\":\"^/[!-~]*$\",\"maxLength\":1024}," TEMPLATE,
    [LANG_BOOL] = "{\"type\":\"boolean\"}," TEMPLATE,
    [LANG_SIZE] = "{\"type\":\"integer\",\"minimum\":1048576,\"maximum\":1125899906842624},"
                  "{\"type\":\"string\",\"pattern\":\"" SIZE "\"}," TEMPLATE,
    [LANG_CPU] = "{\"type\":\"number\",\"minimum\":0.001,\"maximum\":1024}," TEMPLATE,
    [LANG_FOLDER] = REF("folder") "," TEMPLATE,
    [LANG_LABELS] = "{\"type\":\"object\",\"maxProperties\":50,\"propertyNames\":" REF(
        "name") ","
                "\"additionalProperties\":" ANY_OF("{" SCALAR ",\"maxLength\":200,\"pattern\":"
                                                   "\"[^ \\\\t\\\\r\\\\n]\"}," TEMPLATE) "}",
    [LANG_NODE] = "{\"not\":{\"enum\":[\"\",null]}}",
    [LANG_ZONE] = REF("text"),
    [LANG_TIMES] = "{\"type\":\"object\",\"minProperties\":1,\"maxProperties\":100,\"propertyNames\":" REF(
        "name") ","
                "\"additionalProperties\":{\"type\":\"string\",\"pattern\":"
                "\"^@[a-z]+$|^[ \\\\t]*([^ \\\\t]+[ \\\\t]+){4,5}[^ \\\\t]+[ \\\\t]*$\"}}",
    [LANG_NAMES] = REF("text") "," LIST_OF(REF("text"), REF("text")),
    [LANG_GLOBS] = REF("first-glob") "," TEMPLATE "," LIST_OF(REF("first-glob"), REF("glob")),
    [LANG_PATTERNS] = REF("first-pattern") "," TEMPLATE "," LIST_OF(REF("first-pattern"), REF("pattern")),
    [LANG_EXTENDS] = "{" SCALAR ",\"minLength\":1},{\"type\":\"array\",\"maxItems\":20,\"items\":{" SCALAR
                     ",\"minLength\":1}}",
    [LANG_MATRIX] = "{\"type\":\"object\",\"minProperties\":1,\"maxProperties\":22,"
                    "\"propertyNames\":" REF("plain-name") ",\"properties\":{\"include\":" REF(
                        "values") ",\"exclude\":" REF("values") "},"
                                                                "\"additionalProperties\":" ANY_OF(
                                                                    "{" SCALAR ",\"maxLength\":1000},{"
                                                                    "\"type\":\"array\","
                                                                    "\"minItems\":1,\"maxItems\":1000,"
                                                                    "\"items\":" REF("value") "}") "}",
    [LANG_INCLUDE] = REF("included") ",{\"type\":\"array\",\"items\":" REF("included") "}",
};

typedef struct Schema {
    JsonWriter w;
    bool part;
} Schema;

static void write_raw(Schema *s, const char *key, const char *json) {
    jw_raw(&s->w, key, json, strlen(json));
}

static void write_pattern(Schema *s, const char *key, const char *pattern) {
    jw_object(&s->w, key);
    write_raw(s, "type", "[\"string\",\"number\",\"boolean\"]");
    jw_int(&s->w, "minimum", 0); /* nothing begins with a "-" */
    jw_str(&s->w, "pattern", pattern);
    jw_end_object(&s->w);
}

/* ---- levels ---- */

static const char *level_name(const LangLevel *level, bool part, char name[static 32]) {
    int i = 0;

    while (lang_levels[i] && lang_levels[i] != level)
        i++;
    snprintf(name, 32, "%s%d", part ? "part" : "level", i);
    return name;
}

static void write_level_ref(Schema *s, const char *key, const LangLevel *level, bool part) {
    char ref[40] = "#/$defs/", *end = ref + strlen(ref);

    (void)level_name(level, part, end);
    jw_object(&s->w, key);
    jw_str(&s->w, "$ref", ref);
    jw_end_object(&s->w);
}

/* ---- values whose key tells more ---- */

static void write_words(Schema *s, const char *const *words) {
    jw_object(&s->w, NULL);
    jw_array(&s->w, "enum");
    for (size_t i = 0; words[i]; i++)
        jw_str(&s->w, NULL, words[i]);
    jw_end_array(&s->w);
    jw_end_object(&s->w);
    write_raw(s, NULL, TEMPLATE);
}

static void write_integer(Schema *s, int64_t min, int64_t max) {
    jw_object(&s->w, NULL);
    jw_str(&s->w, "type", "integer");
    jw_int(&s->w, "minimum", min);
    jw_int(&s->w, "maximum", max);
    jw_end_object(&s->w);
}

static void write_duration(Schema *s, const LangKey *key) {
    write_integer(s, 1, (key->max ? key->max : LANG_MAX_TIMEOUT) / 1000000);
    write_raw(s, NULL, "{\"type\":\"string\",\"pattern\":\"" DURATION "\"}," TEMPLATE);
    if (key->words)
        write_words(s, key->words);
}

static void write_env(Schema *s, const LangKey *key) {
    jw_object(&s->w, NULL);
    jw_str(&s->w, "$ref", "#/$defs/variables");
    if (key->of_steps)
        write_raw(s, "propertyNames", "{\"not\":" REF("ours") "}");
    jw_end_object(&s->w);
}

static void open_map(Schema *s, const char *names, int64_t min) {
    jw_object(&s->w, NULL);
    jw_str(&s->w, "type", "object");
    jw_int(&s->w, "minProperties", min);
    write_raw(s, "propertyNames", names);
    jw_object(&s->w, "additionalProperties");
}

static void close_map(Schema *s) {
    jw_end_object(&s->w);
    jw_end_object(&s->w);
}

/* A job that extends others may have from them what it must have. */
static void write_jobs(Schema *s, const LangKey *key) {
    open_map(s, REF("name"), s->part ? 0 : 1);
    if (!s->part)
        write_raw(s, "if", "{\"required\":[\"extends\"]}");
    if (!s->part)
        write_level_ref(s, "else", key->level, false);
    jw_array(&s->w, "allOf");
    write_level_ref(s, NULL, key->level, true);
    jw_end_array(&s->w);
    close_map(s);
}

static void write_templates(Schema *s) {
    open_map(s, "true", 0);
    jw_array(&s->w, "allOf");
    write_level_ref(s, NULL, &lang_job, true);
    jw_end_array(&s->w);
    close_map(s);
}

static void write_forms(Schema *s, const LangKey *key);

/* A plain value for the level; whole: also a list of what its short key takes. */
static void write_short(Schema *s, const LangLevel *level, bool whole) {
    const LangKey *key = level->short_key ? lang_key(level, level->short_key) : NULL;

    if (key && key->type == LANG_PATTERNS && !whole)
        write_raw(s, NULL, REF("first-pattern") "," TEMPLATE);
    else if (key)
        write_forms(s, key);
}

static void write_map(Schema *s, const LangKey *key) {
    open_map(s, key->type == LANG_INPUTS ? REF("plain-name") : REF("service-name"), 0);
    jw_array(&s->w, "anyOf");
    write_level_ref(s, NULL, key->level, s->part);
    write_short(s, key->level, true);
    if (key->type == LANG_INPUTS)
        write_raw(s, NULL, "{\"type\":\"null\"}");
    jw_end_array(&s->w);
    close_map(s);
}

static void write_array(Schema *s, const LangKey *key) {
    jw_object(&s->w, NULL);
    jw_str(&s->w, "type", "array");
    jw_int(&s->w, "minItems", 1);
    jw_object(&s->w, "items");
    jw_array(&s->w, "anyOf");
    if (key->words)
        write_words(s, key->words);
    else
        write_level_ref(s, NULL, key->level, false);
    if (!key->words)
        write_short(s, key->level, true);
    jw_end_array(&s->w);
    jw_end_object(&s->w);
    jw_end_object(&s->w);
}

/* The names of events that need no more than their name. */
static void write_event_words(Schema *s, const LangLevel *level) {
    jw_object(&s->w, NULL);
    jw_array(&s->w, "enum");
    for (size_t i = 0; i < level->count; i++)
        if (level->keys[i].type != LANG_TIMES)
            jw_str(&s->w, NULL, level->keys[i].name);
    jw_end_array(&s->w);
    jw_end_object(&s->w);
}

static void write_events(Schema *s, const LangKey *key) {
    write_event_words(s, key->level);
    write_level_ref(s, NULL, key->level, s->part);
    jw_object(&s->w, NULL);
    jw_str(&s->w, "type", "array");
    jw_int(&s->w, "minItems", 1);
    jw_object(&s->w, "items");
    jw_array(&s->w, "anyOf");
    write_event_words(s, key->level);
    jw_end_array(&s->w);
    jw_end_object(&s->w);
    jw_end_object(&s->w);
}

static void write_list(Schema *s, const LangKey *key) {
    write_array(s, key);
    if (!key->single && key->type != LANG_NEEDS)
        return;
    write_level_ref(s, NULL, key->level, s->part);
    write_short(s, key->level, false);
}

static void write_texts(Schema *s, const LangKey *key) {
    write_pattern(s, NULL, key->pattern);
    write_raw(s, NULL, TEMPLATE);
    if (key->type != LANG_NAMES)
        return;
    jw_object(&s->w, NULL);
    jw_str(&s->w, "type", "array");
    jw_int(&s->w, "minItems", 1);
    jw_object(&s->w, "items");
    jw_array(&s->w, "anyOf");
    write_pattern(s, NULL, key->pattern);
    write_raw(s, NULL, TEMPLATE);
    jw_end_array(&s->w);
    jw_end_object(&s->w);
    jw_end_object(&s->w);
}

/* What may stand behind the key, as members of an anyOf. */
static void write_forms(Schema *s, const LangKey *key) {
    switch (key->type) {
    case LANG_WORDS:
        write_array(s, key);
        write_words(s, key->words);
        break;
    case LANG_WORD:
        write_words(s, key->words);
        break;
    case LANG_INT:
        write_integer(s, key->min, key->max);
        write_raw(s, NULL, TEMPLATE);
        break;
    case LANG_DURATION:
        write_duration(s, key);
        break;
    case LANG_ENV:
        write_env(s, key);
        break;
    case LANG_NEEDS:
    case LANG_LIST:
        write_list(s, key);
        break;
    case LANG_EVENTS:
        write_events(s, key);
        break;
    case LANG_TEMPLATES:
        write_templates(s);
        break;
    case LANG_JOBS:
        write_jobs(s, key);
        break;
    case LANG_INPUTS:
    case LANG_MAP:
        write_map(s, key);
        break;
    case LANG_MAPPING:
    case LANG_PART:
        write_level_ref(s, NULL, key->level, s->part);
        write_short(s, key->level, true);
        break;
    default:
        if (key->pattern)
            write_texts(s, key);
        else
            write_raw(s, NULL, forms[key->type]);
    }
}

/* ---- writing it out ---- */

/* Whether what stands behind the key may be in parts. */
static bool is_deep(const LangKey *key) {
    return key->level != NULL;
}

static void write_key(Schema *s, const LangLevel *level, const LangKey *key) {
    jw_object(&s->w, key->name);
    if (s->part)
        jw_str(&s->w, "description", key->help);
    if (s->part && key->fallback)
        jw_str(&s->w, "default", key->fallback);
    jw_array(&s->w, "anyOf");
    write_forms(s, key);
    if (level == &lang_on && key->type != LANG_TIMES)
        write_raw(s, NULL, "{\"type\":\"null\"}");
    jw_end_array(&s->w);
    jw_end_object(&s->w);
}

static void write_required(Schema *s, const LangLevel *level) {
    jw_array(&s->w, "required");
    for (size_t i = 0; i < level->count; i++)
        if (level->keys[i].required)
            jw_str(&s->w, NULL, level->keys[i].name);
    jw_end_array(&s->w);
}

/* The keys of the level; of the whole, those of it that are told otherwise than in its part. */
static void write_keys(Schema *s, const LangLevel *level) {
    jw_object(&s->w, "properties");
    for (size_t i = 0; i < level->count; i++)
        if (s->part || is_deep(&level->keys[i]))
            write_key(s, level, &level->keys[i]);
    jw_end_object(&s->w);
}

static void write_part(Schema *s, const LangLevel *level) {
    char name[32];

    s->part = true;
    jw_object(&s->w, level_name(level, true, name));
    jw_str(&s->w, "title", level->heading);
    if (*level->help)
        jw_str(&s->w, "description", level->help);
    jw_str(&s->w, "type", "object");
    write_keys(s, level);
    jw_bool(&s->w, "additionalProperties", false);
    jw_end_object(&s->w);
}

static void write_whole(Schema *s, const LangLevel *level) {
    char name[32];

    s->part = false;
    jw_object(&s->w, level_name(level, false, name));
    jw_array(&s->w, "allOf");
    write_level_ref(s, NULL, level, true);
    for (size_t i = 0; level->rules && level->rules[i]; i++)
        write_raw(s, NULL, level->rules[i]);
    jw_end_array(&s->w);
    write_keys(s, level);
    write_required(s, level);
    jw_end_object(&s->w);
}

static void write_shared(Schema *s) {
    for (size_t i = 0; i < ELEMENTS(shared); i++)
        write_raw(s, shared[i].name, shared[i].json);
    write_pattern(s, "service-name", LANG_HOST_PATTERN);
    jw_object(&s->w, "ours");
    jw_array(&s->w, "enum");
    for (const PlanVariable *v = plan_variables; v->name; v++)
        if (plan_sets_variable(v->name))
            jw_str(&s->w, NULL, v->name);
    jw_end_array(&s->w);
    jw_end_object(&s->w);
}

void pipeline_schema(const char *id, Buf *out) {
    Schema s = {.w = JSON_WRITER(out)};

    jw_object(&s.w, NULL);
    jw_str(&s.w, "$schema", "https://json-schema.org/draft/2020-12/schema");
    if (id)
        jw_str(&s.w, "$id", id);
    jw_str(&s.w, "title", ".pelton.yml");
    jw_str(&s.w, "$ref", "#/$defs/part0");
    write_raw(&s, "if", "{\"required\":[\"include\"]}");
    write_level_ref(&s, "else", &lang_file, false);
    jw_object(&s.w, "$defs");
    write_shared(&s);
    for (size_t i = 0; lang_levels[i]; i++) {
        write_part(&s, lang_levels[i]);
        write_whole(&s, lang_levels[i]);
    }
    jw_end_object(&s.w);
    jw_end_object(&s.w);
}
