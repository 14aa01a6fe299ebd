/* Settings from one table, read from a file (YAML), the environment and flags, in that order; each value
 * remembers where it came from. Used by the server, the runner and the command line with their own tables. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum SettingType {
    SETTING_STRING,   /* const char * */
    SETTING_INT,      /* int64_t, within min..max */
    SETTING_BOOL,     /* bool */
    SETTING_SIZE,     /* uint64_t bytes: "64M" */
    SETTING_DURATION, /* int64_t µs: "30s" */
    SETTING_ADDRESS,  /* const char *, "host:port", port 0..65535 */
    SETTING_WORDS,    /* const char **, NULL-terminated; from a comma-separated text or a YAML list */
} SettingType;

typedef struct Setting {
    const char *name; /* as flag "--name", in the file "name:", in the environment "PELTON_NAME" */
    SettingType type;
    size_t offset;            /* of the field in the settings struct */
    int64_t min, max;         /* for INT, SIZE (bytes) and DURATION (µs); 0, 0: any */
    const char *const *words; /* for STRING and WORDS: the only allowed words; for ADDRESS: what may stand in
                               * its place; NULL-terminated, or NULL */
    const char *fallback;     /* the default, as text; NULL: unset (NULL, 0, false) */
    const char *arg;          /* the value's name in --help: "ADDR:PORT" */
    const char *help;
    bool secret; /* --print-config shows it as "(set)" */
} Setting;

typedef struct Config Config;

/* target: the zeroed struct that the offsets are of; strings live in mem. Fills in the defaults. */
Config *config_new(const void *mem, const Setting *table, size_t count, void *target);
/* A YAML mapping of names; a name of "state-dir" form. A name with nothing behind it keeps what it was.
 * Errors: "pelton.yml:3:1: unknown setting "foo"; did you mean "fob"?". required: whether a missing file is
 * an error. */
_must_check_ int config_read_file(Config *c, const char *path, bool required, Err *err);
/* Every PELTON_<NAME> of the environment ('-' as '_'). Unknown PELTON_ names that are in `ignore`
 * (NULL-terminated) are skipped, others are an error. */
_must_check_ int config_read_env(Config *c, const char *const *envp, const char *const *ignore, Err *err);
/* "--name value", "--name=value", "--name"/"--no-name" for booleans, from argv[*index] on; flags and operands
 * may be mixed. Operands are appended to *ret_operands (talloc array of mem, NULL-terminated). "--" ends the
 * flags. */
_must_check_ int config_read_flags(Config *c, int argc, char **argv, const char ***ret_operands, Err *err);
/* Gives a setting the value that follows from another one, "from". */
_must_check_ int config_set(Config *c, const char *name, const char *text, const char *from, Err *err);
/* Whether the setting's value is not the default. */
bool config_is_set(const Config *c, const char *name);
/* "name: value   # from pelton.yml:3" a line each, in the table's order; valid YAML ("~": not set). */
void config_print(const Config *c, Buf *out);
/* As JSON: {"name":{"value":…,"from":"default"}}; a time as "30s", which can be given again, a size in bytes.
 */
void config_print_json(const Config *c, Buf *out);
/* The --help lines of the table. */
void config_help(const Setting *table, size_t count, Buf *out);
