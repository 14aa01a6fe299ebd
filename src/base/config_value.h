/* The values of settings: text to a field and back. For config.c only. */
#pragma once

#include "base/config.h"
#include "base/json.h"

typedef struct ConfigValue {
    const char *const *texts; /* as given, NULL-terminated; one, but for SETTING_WORDS; NULL: unset */
    const char *from;         /* NULL: the default */
} ConfigValue;

/* Checks the texts (NULL-terminated) and writes the field. The error says what was expected, and what was
 * given unless the setting is secret. */
_must_check_ int config_value_parse(const void *mem, const Setting *setting, const char *const *texts,
                                    void *field, Err *err);
/* "a, b" at its commas, without the blanks around; an empty text is no word at all. */
const char *const *config_value_split(const void *ctx, const char *text);
const char *const *config_value_copy(const void *ctx, const char *const *texts);
/* As YAML on one line; "(set)" for a secret. */
void config_value_yaml(const Setting *setting, const ConfigValue *value, Buf *out);
/* As the member "value": numbers (bytes, µs) from the field. */
void config_value_json(const Setting *setting, const ConfigValue *value, const void *field, JsonWriter *w);
