/* A verb's argument vector to its options struct and operands, by base/config.h. */
#pragma once

#include "cli/cli.h"

/* The flags that every verb has. */
typedef struct CommonOptions {
    bool json;
    bool help;
    const char *url;
    const char *ca_file;
} CommonOptions;

#define ARGS_COMMON 4
extern const Setting args_common[ARGS_COMMON];

/* The letter of a flag, or 0. */
char args_short(const Command *command, const char *flag);
/* Whether --help or -h is among the arguments, before a "--". */
bool args_want_help(int argc, char *const *argv);
/* argv[0] is skipped. One-letter flags become long ones ("-f", "-o FILE", "-oFILE"), a flag of type WORDS may
 * be repeated and is not split at commas. ERR_INVALID: an unknown flag, a bad value, too few or too many
 * operands. */
_must_check_ int args_parse(const Command *command, int argc, char **argv, const void *mem,
                            CommonOptions *ret_common, void **ret_options, const char ***ret_operands,
                            Err *err);
