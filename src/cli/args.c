#include "cli/args.h"

#include "base/str.h"

#include <stdalign.h>

const Setting args_common[ARGS_COMMON] = {
    {.name = "json", .type = SETTING_BOOL, .offset = offsetof(CommonOptions, json), .help = "print JSON"},
    {.name = "url",
     .type = SETTING_STRING,
     .offset = offsetof(CommonOptions, url),
     .arg = "URL",
     .help = "the server, instead of PELTON_URL or the one of pelton login"},
    {.name = "ca-file",
     .type = SETTING_STRING,
     .offset = offsetof(CommonOptions, ca_file),
     .arg = "FILE",
     .help = "the certificate (PEM) of a CA of your own, for an https:// server; or PELTON_CA_FILE"},
    {.name = "help", .type = SETTING_BOOL, .offset = offsetof(CommonOptions, help), .help = "this text"},
};

/* Where the verb's own options begin in the struct that config fills: behind the common ones. */
#define OPTIONS_AT                                                                                           \
    ((sizeof(CommonOptions) + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t))

/* The long name that a letter stands for, in "f=follow,o=output"; *ret_len is its length. */
static const char *long_of(const Command *command, char letter, size_t *ret_len) {
    const char *at = command->shorts;

    if (letter == 'h') {
        *ret_len = 4;
        return "help";
    }
    while (at && *at) {
        size_t len = strcspn(at, ",");

        if (at[0] == letter && at[1] == '=') {
            *ret_len = len - 2;
            return at + 2;
        }
        at += len + (at[len] == ',');
    }
    return NULL;
}

char args_short(const Command *command, const char *flag) {
    const char *at = command->shorts;

    if (str_eq(flag, "help"))
        return 'h';
    while (at && *at) {
        size_t len = strcspn(at, ",");

        if (strlen(flag) == len - 2 && strncmp(at + 2, flag, len - 2) == 0)
            return at[0];
        at += len + (at[len] == ',');
    }
    return 0;
}

bool args_want_help(int argc, char *const *argv) {
    for (int i = 1; i < argc && !str_eq(argv[i], "--"); i++)
        if (str_eq(argv[i], "--help") || str_eq(argv[i], "-h"))
            return true;
    return false;
}

typedef struct Parse {
    const Command *command;
    const void *mem;
    char **argv; /* with long flags only */
    size_t argc;
    const char ***lists; /* of each flag of the command: what repeated WORDS have gathered */
    size_t *list_counts;
} Parse;

static ssize_t find_flag(const Command *command, const char *name, size_t len) {
    for (size_t i = 0; i < command->flag_count; i++)
        if (strlen(command->flags[i].name) == len && strncmp(command->flags[i].name, name, len) == 0)
            return (ssize_t)i;
    return -1;
}

static void add_arg(Parse *p, const char *arg) {
    mem_append(p->mem, p->argv, p->argc, mem_strdup(p->mem, arg));
}

/* One "--flag", and its value where that is the next argument: a value is never taken for a flag. */
static int add_long(Parse *p, const char *flag, int argc, char **argv, int *index, Err *err) {
    size_t len = strcspn(flag + 2, "=");
    const char *value = flag[2 + len] ? flag + 2 + len + 1 : NULL;
    ssize_t i = find_flag(p->command, flag + 2, len);
    const Setting *s = i >= 0 ? &p->command->flags[i] : NULL;
    bool takes_value = (s && s->type != SETTING_BOOL) || (len == 3 && strncmp(flag + 2, "url", 3) == 0);

    if (takes_value && !value) {
        if (*index + 1 >= argc)
            return err_set(err, ERR_INVALID, "%s: expected a value behind it%s%s", flag,
                           s && s->arg ? ": " : "", s && s->arg ? s->arg : "");
        value = argv[++*index];
    }
    if (s && s->type == SETTING_WORDS)
        mem_append(p->mem, p->lists[i], p->list_counts[i], value);
    else if (takes_value)
        add_arg(p, mem_printf(p->mem, "--%.*s=%s", (int)len, flag + 2, value));
    else
        add_arg(p, flag);
    return 0;
}

/* "-f", "-fq" (letters without values), "-oFILE", "-o FILE", "-o=FILE". */
static int add_short(Parse *p, const char *flags, int argc, char **argv, int *index, Err *err) {
    for (const char *at = flags + 1; *at; at++) {
        size_t len = 0;
        const char *name = long_of(p->command, *at, &len);
        ssize_t i = name ? find_flag(p->command, name, len) : -1;
        const char *flag;

        if (!name)
            return err_set(err, ERR_INVALID, "flag: unknown -%c; see pelton %s --help", *at,
                           p->command->name);
        if (i >= 0 && p->command->flags[i].type != SETTING_BOOL && at[1]) {
            flag = mem_printf(p->mem, "--%.*s=%s", (int)len, name, at + 1 + (at[1] == '='));
            return add_long(p, flag, argc, argv, index, err);
        }
        flag = mem_printf(p->mem, "--%.*s", (int)len, name);
        if (add_long(p, flag, argc, argv, index, err) < 0)
            return -err->code;
    }
    return 0;
}

static int normalise(Parse *p, int argc, char **argv, Err *err) {
    bool flags = true;
    int r = 0;

    add_arg(p, argv[0]);
    for (int i = 1; i < argc && r >= 0; i++) {
        if (flags && str_eq(argv[i], "--")) {
            flags = false;
            add_arg(p, argv[i]);
        } else if (flags && str_after(argv[i], "--")) {
            r = add_long(p, argv[i], argc, argv, &i, err);
        } else if (flags && argv[i][0] == '-' && argv[i][1]) {
            r = add_short(p, argv[i], argc, argv, &i, err);
        } else {
            add_arg(p, argv[i]);
        }
    }
    return r;
}

/* The common flags and the verb's own, as one table over one struct. */
static Setting *merged_table(const Command *command, const void *mem) {
    Setting *table = mem_array(mem, Setting, ARGS_COMMON + command->flag_count);

    memcpy(table, args_common, sizeof(args_common));
    for (size_t i = 0; i < command->flag_count; i++) {
        table[ARGS_COMMON + i] = command->flags[i];
        table[ARGS_COMMON + i].offset += OPTIONS_AT;
    }
    return table;
}

static void store_lists(const Parse *p, char *options) {
    for (size_t i = 0; i < p->command->flag_count; i++) {
        const char **list = p->lists[i];
        size_t count = p->list_counts[i];

        if (!list)
            continue;
        mem_append(p->mem, list, count, NULL);
        *(const char *const **)(options + p->command->flags[i].offset) = list;
    }
}

static int check_operands(const Command *command, const char *const *operands, Err *err) {
    size_t count = 0;

    while (operands[count])
        count++;
    if (count < command->min_args)
        return err_set(err, ERR_INVALID, "%s: something is missing; usage: pelton %s", command->name,
                       command->usage);
    if (count > command->max_args)
        return err_set(err, ERR_INVALID, "%s: \"%s\" is too much; usage: pelton %s", command->name,
                       operands[command->max_args], command->usage);
    return 0;
}

int args_parse(const Command *command, int argc, char **argv, const void *mem, CommonOptions *ret_common,
               void **ret_options, const char ***ret_operands, Err *err) {
    Parse p = {.command = command, .mem = mem};
    char *target = mem_zalloc(mem, OPTIONS_AT + command->options_size + 1, "options");
    const char **operands = NULL;
    Config *config;
    int r;

    p.lists = mem_array(mem, const char **, command->flag_count + 1);
    p.list_counts = mem_array(mem, size_t, command->flag_count + 1);
    r = normalise(&p, argc, argv, err);
    if (r < 0)
        return r;
    config = config_new(mem, merged_table(command, mem), ARGS_COMMON + command->flag_count, target);
    r = config_read_flags(config, (int)p.argc, p.argv, &operands, err);
    if (r < 0)
        return r;
    r = check_operands(command, operands, err);
    if (r < 0)
        return r;
    store_lists(&p, target + OPTIONS_AT);
    *ret_common = *(CommonOptions *)(void *)target;
    *ret_options = target + OPTIONS_AT;
    *ret_operands = operands;
    return 0;
}
