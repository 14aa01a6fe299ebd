/* The language as JSON Schema (draft 2020-12), from the tables that the checker reads: for editors. */
#include "pipeline/pipeline.h"
#include "pipeline/read.h"

#include "base/json.h"
#include "base/str.h"

#define TEMPLATE "\\$\\{\\{"
#define DURATION "^[0-9]+$|^(?=[0-9])([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"
#define SIZE "^[0-9]+[KMGT]?$"

static size_t number_of(const LangLevel *level) {
    size_t i = 0;

    while (lang_levels[i] && lang_levels[i] != level)
        i++;
    return i;
}

static void write_ref(JsonWriter *w, const char *key, const LangLevel *level) {
    char ref[40];

    snprintf(ref, sizeof(ref), "#/$defs/level%zu", number_of(level));
    jw_object(w, key);
    jw_str(w, "$ref", ref);
    jw_end_object(w);
}

static void write_type(JsonWriter *w, const char *type) {
    jw_object(w, NULL);
    jw_str(w, "type", type);
    jw_end_object(w);
}

static void write_pattern(JsonWriter *w, const char *pattern) {
    jw_object(w, NULL);
    jw_str(w, "type", "string");
    jw_str(w, "pattern", pattern);
    jw_end_object(w);
}

static void write_scalar(JsonWriter *w) {
    jw_object(w, NULL);
    jw_array(w, "type");
    jw_str(w, NULL, "string");
    jw_str(w, NULL, "number");
    jw_str(w, NULL, "boolean");
    jw_end_array(w);
    jw_end_object(w);
}

static void write_number(JsonWriter *w, const LangKey *key) {
    jw_object(w, NULL);
    jw_str(w, "type", key->type == LANG_INT ? "integer" : "number");
    if (key->type == LANG_INT) {
        jw_int(w, "minimum", key->min);
        jw_int(w, "maximum", key->max);
    }
    jw_end_object(w);
}

/* A whole number of seconds or bytes, or a text with units. */
static void write_quantity(JsonWriter *w, int64_t min, const char *pattern) {
    jw_object(w, NULL);
    jw_str(w, "type", "integer");
    jw_int(w, "minimum", MAX(min, 1));
    jw_end_object(w);
    write_pattern(w, pattern);
    write_pattern(w, TEMPLATE);
}

static void write_words(JsonWriter *w, const LangKey *key) {
    jw_object(w, NULL);
    jw_array(w, "enum");
    for (size_t i = 0; key->words[i]; i++)
        jw_str(w, NULL, key->words[i]);
    jw_end_array(w);
    jw_end_object(w);
}

static void write_any_word(JsonWriter *w, const LangKey *key) {
    jw_array(w, "anyOf");
    write_words(w, key);
    write_pattern(w, TEMPLATE);
    jw_end_array(w);
}

static void write_array_of(JsonWriter *w, const LangKey *key) {
    jw_object(w, NULL);
    jw_str(w, "type", "array");
    if (key->type == LANG_WORDS) {
        jw_object(w, "items");
        write_any_word(w, key);
        jw_end_object(w);
    } else if (key->type == LANG_LIST || key->type == LANG_NEEDS) {
        jw_object(w, "items");
        jw_array(w, "anyOf");
        write_ref(w, NULL, key->level);
        if (key->level->short_key)
            write_scalar(w);
        jw_end_array(w);
        jw_end_object(w);
    }
    jw_end_object(w);
}

/* A mapping of names that the file chooses; level NULL: to texts. */
static void write_map_of(JsonWriter *w, const LangLevel *level) {
    jw_object(w, NULL);
    jw_str(w, "type", "object");
    jw_object(w, "additionalProperties");
    jw_array(w, "anyOf");
    if (level)
        write_ref(w, NULL, level);
    if (!level || level->short_key)
        write_scalar(w);
    write_type(w, "null");
    jw_end_array(w);
    jw_end_object(w);
    jw_end_object(w);
}

static void write_times(JsonWriter *w) {
    jw_object(w, NULL);
    jw_str(w, "type", "object");
    jw_object(w, "additionalProperties");
    jw_str(w, "type", "string");
    jw_end_object(w);
    jw_end_object(w);
}

static void write_short(JsonWriter *w, const LangLevel *level);

/* What may stand behind the key, as members of an anyOf. */
static void write_forms(JsonWriter *w, const LangKey *key) {
    switch (key->type) {
    case LANG_WORD:
        write_words(w, key);
        write_pattern(w, TEMPLATE);
        break;
    case LANG_BOOL:
        write_type(w, "boolean");
        write_pattern(w, TEMPLATE);
        break;
    case LANG_INT:
    case LANG_CPU:
        write_number(w, key);
        write_pattern(w, TEMPLATE);
        break;
    case LANG_ENV:
    case LANG_LABELS:
        write_map_of(w, NULL);
        break;
    case LANG_DURATION:
        write_quantity(w, key->min, DURATION);
        break;
    case LANG_SIZE:
        write_quantity(w, key->min, SIZE);
        break;
    case LANG_WORDS:
        write_words(w, key);
        write_pattern(w, TEMPLATE);
        write_array_of(w, key);
        break;
    case LANG_NAMES:
    case LANG_GLOBS:
    case LANG_PATTERNS:
        write_scalar(w);
        write_array_of(w, key);
        break;
    case LANG_NEEDS:
        write_scalar(w);
        write_ref(w, NULL, key->level);
        write_array_of(w, key);
        break;
    case LANG_LIST:
        write_array_of(w, key);
        if (key->single) {
            write_ref(w, NULL, key->level);
            write_short(w, key->level);
        }
        break;
    case LANG_TIMES:
        write_times(w);
        break;
    case LANG_TEMPLATES:
        write_map_of(w, &lang_job);
        break;
    case LANG_JOBS:
    case LANG_MAP:
    case LANG_INPUTS:
        write_map_of(w, key->level);
        break;
    case LANG_EVENTS:
        write_scalar(w);
        write_array_of(w, key);
        write_ref(w, NULL, key->level);
        break;
    case LANG_MAPPING:
    case LANG_PART:
        write_ref(w, NULL, key->level);
        write_short(w, key->level);
        break;
    case LANG_NODE:
        write_scalar(w);
        write_type(w, "array");
        write_type(w, "object");
        break;
    default:
        write_scalar(w);
    }
}

static void write_short(JsonWriter *w, const LangLevel *level) {
    if (level->short_key)
        write_forms(w, lang_key(level, level->short_key));
    if (level == &lang_filter || level == &lang_tags)
        write_type(w, "null");
}

static void write_key(JsonWriter *w, const LangKey *key) {
    jw_object(w, key->name);
    jw_str(w, "description", key->help);
    if (key->fallback)
        jw_str(w, "default", key->fallback);
    jw_array(w, "anyOf");
    write_forms(w, key);
    jw_end_array(w);
    jw_end_object(w);
}

/* A job may have from a template what it must have. */
static void write_required(JsonWriter *w, const LangLevel *level) {
    bool any = false;

    for (size_t i = 0; i < level->count && level != &lang_job; i++) {
        if (!level->keys[i].required)
            continue;
        if (!any)
            jw_array(w, "required");
        any = true;
        jw_str(w, NULL, level->keys[i].name);
    }
    if (any)
        jw_end_array(w);
}

static void write_level(JsonWriter *w, const LangLevel *level) {
    char name[16];

    snprintf(name, sizeof(name), "level%zu", number_of(level));
    jw_object(w, name);
    jw_str(w, "title", level->heading);
    if (*level->help)
        jw_str(w, "description", level->help);
    jw_str(w, "type", "object");
    jw_object(w, "properties");
    for (size_t i = 0; i < level->count; i++)
        write_key(w, &level->keys[i]);
    jw_end_object(w);
    write_required(w, level);
    jw_bool(w, "additionalProperties", false);
    jw_end_object(w);
}

void pipeline_schema(const char *id, Buf *out) {
    JsonWriter w = JSON_WRITER(out);

    jw_object(&w, NULL);
    jw_str(&w, "$schema", "https://json-schema.org/draft/2020-12/schema");
    if (id)
        jw_str(&w, "$id", id);
    jw_str(&w, "title", ".pelton.yml");
    jw_str(&w, "$ref", "#/$defs/level0");
    jw_object(&w, "$defs");
    for (size_t i = 0; lang_levels[i]; i++)
        write_level(&w, lang_levels[i]);
    jw_end_object(&w);
    jw_end_object(&w);
}
