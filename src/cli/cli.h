/* The command line: `pelton VERB …`, for people and scripts. Every verb is one constant Command; --help, the
 * man pages, the completion and the "did you mean" are read out of the table. */
#pragma once

#include "base/config.h"
#include "base/err.h"
#include "cli/term.h"
#include <stdbool.h>
#include <stddef.h>

/* What a verb's process exits with; cli_exits says it to people. */
typedef enum CliExit {
    CLI_DONE,
    CLI_FAILED, /* only what was asked for has failed: a build, or the check of a pipeline */
    CLI_USAGE,  /* the command line, or what the server says of its values */
    CLI_NOT_FOUND,
    CLI_NOT_ALLOWED,
    CLI_UNREACHABLE,
    CLI_REFUSED, /* it would be right at another time: there is one already, it has ended, another works on it
                  */
    CLI_BROKEN,  /* disk, operating system, or a fault of ours, here or at the server */
    CLI_EXITS
} CliExit;

/* What each status means: help, manual pages and documentation have the same words. */
extern const char *const cli_exits[CLI_EXITS];

typedef struct Cli Cli;

typedef struct Command {
    const char *name;     /* "logs", or group and verb: "repo create" */
    const char *brief;    /* one line, lower case, no full stop */
    const char *usage;    /* behind "pelton ": "logs [-f] [--job NAME] BUILD" */
    const char *about;    /* further paragraphs for --help and the man page, or NULL */
    const Setting *flags; /* offsets into the options struct; args_common are added to all */
    size_t flag_count;
    size_t options_size;         /* of the struct that run() gets zeroed and filled */
    const char *shorts;          /* "f=follow,o=output": one-letter flags; h=help is always there */
    const char *const *examples; /* "command line", "what it does", …, NULL */
    size_t min_args, max_args;   /* operands */
    const char *operand; /* what the operands are, for the completion: "repo", "build", "file", or NULL */
    bool raw; /* takes its arguments as written: cli->args has all of them; only --help is handled before */
    bool hidden; /* not listed */
    /* Gives the exit status, or a negative -ErrCode with err filled, which is printed and mapped to a
     * CliExit. */
    int (*run)(Cli *cli, void *options, Err *err);
} Command;

struct Cli {
    TALLOC_CTX *mem; /* lives as long as the process */
    const Command *command;
    const Command *const *commands; /* all, ours and extra, NULL-terminated, in the order of the help */
    const char **args;              /* operands, or everything when raw; NULL-terminated */
    size_t arg_count;
    char **argv; /* raw: argv of the verb, argv[0] is its name; NULL-terminated */
    int argc;
    bool json;
    Term out, err;             /* standard output and error */
    struct HttpClient *client; /* see call.h; NULL until needed */
    const char *url;           /* of the server, once connected */
    const char *url_flag;      /* --url, or NULL */
    const char *token;
    const char *ca_file; /* of --ca-file or PELTON_CA_FILE, its whole path; believed already; or NULL */
    bool cut;            /* the last call may have been heard, and its answer did not come */
    const char *hint;    /* what to do next about the error that is being returned, or NULL */
};

/* Runs the command line and gives the exit status. extra: the verbs of higher rooms (server, runner, release
 * …), NULL-terminated, or NULL. They are listed first. */
int cli_main(int argc, char **argv, const Command *const *extra);

/* The exit status of an error. */
CliExit cli_exit_of(ErrCode code);
/* The verbs of this room, NULL-terminated. */
extern const Command *const cli_commands[];
/* The command that the words begin with, the longest name first; *ret_words: how many words its name has.
 * NULL: none. */
const Command *cli_find(const Command *const *commands, const char *const *words, size_t count,
                        size_t *ret_words);
