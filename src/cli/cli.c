#include "cli/cli.h"

#include "base/str.h"
#include "cli/args.h"
#include "cli/call.h"
#include "cli/help.h"
#include "cli/table.h"

#include <signal.h>

const char *const cli_exits[CLI_EXITS] = {
    [CLI_DONE] = "done",
    [CLI_FAILED] = "the build failed, or the pipeline has mistakes",
    [CLI_USAGE] = "usage",
    [CLI_NOT_FOUND] = "not found",
    [CLI_NOT_ALLOWED] = "not allowed",
    [CLI_UNREACHABLE] = "server out of reach",
    [CLI_REFUSED] = "refused as things are",
    [CLI_BROKEN] = "something broke",
};

CliExit cli_exit_of(ErrCode code) {
    switch (code) {
    case ERR_INVALID:
    case ERR_TOO_LARGE:
        return CLI_USAGE;
    case ERR_NOT_FOUND:
        return CLI_NOT_FOUND;
    case ERR_UNAUTHORIZED:
    case ERR_FORBIDDEN:
        return CLI_NOT_ALLOWED;
    case ERR_UNAVAILABLE:
    case ERR_TIMEOUT:
        return CLI_UNREACHABLE;
    case ERR_CONFLICT:
    case ERR_EXISTS:
    case ERR_UNSUPPORTED:
    case ERR_CANCELLED:
        return CLI_REFUSED;
    default:
        return CLI_BROKEN;
    }
}

/* Whether the command's name is the first of the words; gives how many it has, or 0. */
static size_t match(const Command *command, const char *const *words, size_t count) {
    const char *name = command->name;

    for (size_t i = 0; i < count; i++) {
        size_t len = strcspn(name, " ");

        if (strlen(words[i]) != len || strncmp(words[i], name, len) != 0)
            return 0;
        if (!name[len])
            return i + 1;
        name += len + 1;
    }
    return 0;
}

const Command *cli_find(const Command *const *commands, const char *const *words, size_t count,
                        size_t *ret_words) {
    const Command *best = NULL;
    size_t best_words = 0;

    for (; *commands; commands++) {
        size_t matched = match(*commands, words, count);

        if (matched > best_words) {
            best = *commands;
            best_words = matched;
        }
    }
    *ret_words = best_words;
    return best;
}

/* Prints the error, what to do next, and gives the exit status. */
static int fail(const Cli *cli, const Err *err) {
    CliExit status = cli_exit_of(err->code);
    _cleanup_buf_ Buf out = BUF_INIT;
    const char *message = text_clean(cli->mem, err->msg);

    if (cli->json) {
        JsonWriter w = JSON_WRITER(&out);

        jw_object(&w, NULL);
        jw_str(&w, "error", err_word(err->code));
        jw_str(&w, "message", message);
        jw_str(&w, "hint", cli->hint);
        jw_int(&w, "exit", status);
        jw_end_object(&w);
        buf_addc(&out, '\n');
    } else {
        term_add(&cli->err, &out, STYLE_RED, "pelton: ");
        buf_addf(&out, "%s\n", message);
        for (const char *line = cli->hint; line && *line; line += strcspn(line, "\n"), line += *line == '\n')
            buf_addf(&out, "  %.*s\n", (int)strcspn(line, "\n"), line);
    }
    fwrite(out.data, 1, out.len, stderr);
    return (int)status;
}

static int unknown_verb(Cli *cli, const char *group, const char *word) {
    const char **words = help_verbs(cli->commands, cli->mem), *nearest;
    const char *prefix = group ? mem_printf(cli->mem, "%s ", group) : "";
    size_t count = 0;
    Err err = {0};

    if (group) {
        words = NULL;
        for (size_t i = 0; cli->commands[i]; i++)
            if (help_in_group(cli->commands[i], group))
                mem_append(cli->mem, words, count, cli->commands[i]->name + strlen(prefix));
        mem_append(cli->mem, words, count, NULL);
    }
    nearest = str_nearest(word, words);
    if (word[0] == '-')
        cli->hint = "flags stand behind the verb; see: pelton help";
    else
        cli->hint = group ? mem_printf(cli->mem, "see: pelton %s --help", group) : "see: pelton help";
    err_set(&err, ERR_INVALID, "there is no verb \"%s%s\"%s%s%s%s", prefix, text_clean(cli->mem, word),
            nearest ? "; did you mean \"" : "", nearest ? prefix : "", nearest ? nearest : "",
            nearest ? "\"?" : "");
    return fail(cli, &err);
}

static int print_help(const Cli *cli, const Command *command, const char *group) {
    _cleanup_buf_ Buf out = BUF_INIT;
    Err err = {0};

    if (command)
        help_command(command, &cli->out, &out);
    else if (!group || !help_group(cli->commands, group, &cli->out, &out))
        help_overview(cli->commands, &cli->out, &out);
    return cli_print(&out, &err) < 0 ? fail(cli, &err) : CLI_DONE;
}

static bool is_group(const Cli *cli, const char *word) {
    for (size_t i = 0; cli->commands[i]; i++)
        if (help_in_group(cli->commands[i], word))
            return true;
    return false;
}

/* No command has this name: help, a group on its own, or a mistake. */
static int run_nothing(Cli *cli, int argc, char **argv) {
    const char *word = argc > 1 ? argv[1] : NULL, *next = argc > 2 ? argv[2] : NULL;

    if (!word) {
        print_help(cli, NULL, NULL);
        return CLI_USAGE;
    }
    if (str_eq(word, "--help") || str_eq(word, "-h"))
        return print_help(cli, NULL, NULL);
    if (!is_group(cli, word))
        return unknown_verb(cli, NULL, word);
    if (next && !str_eq(next, "--help") && !str_eq(next, "-h"))
        return unknown_verb(cli, word, next);
    print_help(cli, NULL, word);
    return next ? CLI_DONE : CLI_USAGE;
}

/* Also for a mistake in the flags themselves, or in the verb. */
static bool wants_json(int argc, char *const *argv) {
    for (int i = 1; i < argc && !str_eq(argv[i], "--"); i++)
        if (str_eq(argv[i], "--json"))
            return true;
    return false;
}

/* Of --ca-file or PELTON_CA_FILE. What this process starts has it as SSL_CERT_FILE. */
static int trust(Cli *cli, const char *flag, Err *err) {
    const char *file = flag ? flag : getenv("PELTON_CA_FILE");
    int r = str_empty(file) ? 0 : http_trust_file(cli->mem, file, &cli->ca_file, err);

    unsetenv("PELTON_CA_FILE");
    return r;
}

static int run_command(Cli *cli, int argc, char **argv) {
    const Command *command = cli->command;
    CommonOptions common = {0};
    void *options = NULL;
    Err err = {0};
    int r = 0;

    if (args_want_help(argc, argv))
        return print_help(cli, command, NULL);
    if (command->raw) {
        options = mem_zalloc(cli->mem, command->options_size + 1, "options");
        cli->args = (const char **)argv + 1;
    } else {
        r = args_parse(command, argc, argv, cli->mem, &common, &options, &cli->args, &err);
        cli->json = common.json || (r < 0 && cli->json);
        cli->url_flag = common.url;
        if (r < 0)
            cli->hint = mem_printf(cli->mem, "see: pelton %s --help", command->name);
    }
    cli->argc = argc;
    cli->argv = argv;
    while (cli->args && cli->args[cli->arg_count])
        cli->arg_count++;
    if (r >= 0)
        r = trust(cli, common.ca_file, &err);
    if (r >= 0)
        r = command->run(cli, options, &err);
    return r < 0 ? fail(cli, &err) : r;
}

static const Command *const *join(const void *mem, const Command *const *extra) {
    const Command **all = NULL;
    size_t count = 0;

    for (; extra && *extra; extra++)
        mem_append(mem, all, count, *extra);
    for (size_t i = 0; cli_commands[i]; i++)
        mem_append(mem, all, count, cli_commands[i]);
    mem_append(mem, all, count, NULL);
    return all;
}

int cli_main(int argc, char **argv, const Command *const *extra) {
    TALLOC_CTX *mem = talloc_new(NULL);
    Cli cli = {.mem = mem, .commands = join(mem, extra)};
    static char version[] = "version";
    size_t words = 0;
    int status;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL); /* who started us may ignore it: no child could be waited for */
    cli.json = wants_json(argc, argv);
    term_init(&cli.out, STDOUT_FILENO);
    term_init(&cli.err, STDERR_FILENO);
    if (argc > 1 && str_eq(argv[1], "--version"))
        argv[1] = version;
    cli.command =
        cli_find(cli.commands, (const char *const *)argv + 1, argc > 1 ? (size_t)argc - 1 : 0, &words);
    status = cli.command ? run_command(&cli, argc - (int)words, argv + words) : run_nothing(&cli, argc, argv);
    talloc_free(mem);
    return status;
}
