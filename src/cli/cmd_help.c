/* What the program says of itself: version, help, completion. */
#include "base/clock.h"
#include "base/str.h"
#include "base/version.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/help.h"
#include "cli/table.h"

#include <inttypes.h>

/* ---- version ---- */

typedef struct VersionOptions {
    bool server;
} VersionOptions;

static const Setting version_flags[] = {
    {.name = "server",
     .type = SETTING_BOOL,
     .offset = offsetof(VersionOptions, server),
     .help = "the server's too"},
};

static int version_run(Cli *cli, void *arg, Err *err) {
    const VersionOptions *options = arg;
    _cleanup_json_ json_t *answer = NULL;
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    const char *server = NULL;
    int r;

    if (options->server) {
        r = cli_request(cli, "GET", "/api/version", NULL, &answer, err);
        if (r < 0)
            return r;
        server = text_clean(cli->mem, field_text(cli->mem, answer, "version"));
    }
    if (cli->json) {
        jw_object(&w, NULL);
        jw_str(&w, "name", "pelton");
        jw_str(&w, "version", PELTON_VERSION);
        if (server)
            jw_str(&w, "server", server);
        jw_end_object(&w);
        buf_addc(&out, '\n');
    } else {
        buf_adds(&out, "pelton " PELTON_VERSION "\n");
        if (server)
            buf_addf(&out, "server %s at %s\n", server, cli->url);
    }
    return cli_print(&out, err);
}

/* ---- help ---- */

typedef struct HelpOptions {
    bool man;
} HelpOptions;

static const Setting help_flags[] = {
    {.name = "man",
     .type = SETTING_BOOL,
     .offset = offsetof(HelpOptions, man),
     .help = "the man page, as roff"},
};

/* Those whose name is the verb or begins with it as a word; all without one. How many there were. */
static size_t commands_json(const Command *const *commands, const char *verb, Buf *out) {
    JsonWriter w = JSON_WRITER(out);
    size_t count = 0;

    jw_array(&w, NULL);
    for (; *commands; commands++) {
        const char *rest = verb ? str_after((*commands)->name, verb) : "";

        if ((*commands)->hidden || !rest || (*rest && *rest != ' '))
            continue;
        count++;
        jw_object(&w, NULL);
        jw_str(&w, "name", (*commands)->name);
        jw_str(&w, "brief", (*commands)->brief);
        jw_str(&w, "usage", (*commands)->usage);
        jw_array(&w, "flags");
        for (size_t i = 0; i < (*commands)->flag_count; i++)
            jw_str(&w, NULL, (*commands)->flags[i].name);
        jw_end_array(&w);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    buf_addc(out, '\n');
    return count;
}

static int no_verb(Cli *cli, const char *verb, Err *err) {
    const char *nearest = str_nearest(verb, help_verbs(cli->commands, cli->mem));

    cli->hint = "see: pelton help";
    return err_set(err, ERR_INVALID, "there is no verb \"%s\"%s%s%s", verb,
                   nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
}

static int help_run(Cli *cli, void *arg, Err *err) {
    const HelpOptions *options = arg;
    const char *verb = cli->arg_count > 0 ? cli->args[0] : NULL;
    const char *whole = cli->arg_count > 1 ? mem_printf(cli->mem, "%s %s", verb, cli->args[1]) : verb;
    _cleanup_buf_ Buf out = BUF_INIT;
    const Command *command;
    size_t words = 0;

    if (options->man) {
        if (!help_man(cli->commands, verb ? verb : "pelton", &out))
            return no_verb(cli, verb, err);
        return cli_print_text(cli, "man", &out, err);
    }
    if (cli->json && commands_json(cli->commands, whole, &out) == 0)
        return no_verb(cli, whole, err);
    if (cli->json)
        return cli_print(&out, err);
    if (!verb)
        help_overview(cli->commands, &cli->out, &out);
    else if ((command = cli_find(cli->commands, cli->args, cli->arg_count, &words)) &&
             words == cli->arg_count)
        help_command(command, &cli->out, &out);
    else if (cli->arg_count > 1 || !help_group(cli->commands, verb, &cli->out, &out))
        return no_verb(cli, whole, err);
    return cli_print(&out, err);
}

/* ---- completion ---- */

static int completion_run(Cli *cli, void *arg, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;

    if (!str_eq(cli->args[0], "bash"))
        return err_set(err, ERR_INVALID,
                       "completion: \"%s\" is not a shell that is known here; expected bash", cli->args[0]);
    help_completion_bash(cli->commands, &out);
    return cli_print_text(cli, "script", &out, err);
}

/* The words that may stand here, a line each; nothing at all when the server does not answer at once. */
static int complete_run(Cli *cli, void *arg, Err *err) {
    bool repos = str_eq(cli->args[0], "repo"), builds = str_eq(cli->args[0], "build");
    HttpCall call = {.method = "GET",
                     .path = repos ? "/api/repos" : "/api/builds?limit=20",
                     .timeout_us = 500 * US_PER_MS};
    _cleanup_json_ json_t *answer = NULL;
    _cleanup_buf_ Buf out = BUF_INIT;
    json_t *item;
    size_t i;
    int r = 0;

    if (str_eq(cli->args[0], "verb")) {
        for (const char **verb = help_verbs(cli->commands, cli->mem); *verb; verb++)
            buf_addf(&out, "%s\n", *verb);
        return cli_print(&out, err);
    }
    if (!repos && !builds)
        return CLI_USAGE;
    r = cli_call(cli, &call, err);
    if (r >= 0)
        r = json_read(buf_str(&call.answer), call.answer.len, &answer, err);
    buf_done(&call.answer);
    if (r < 0)
        return CLI_UNREACHABLE;
    json_array_foreach (repos ? answer : json_object_get(answer, "builds"), i, item) {
        buf_addf(&out, "%s\n", field_text(cli->mem, item, repos ? "name" : "id"));
    }
    return cli_print(&out, err);
}

static const char *const version_examples[] = {"pelton version --server", "this program's and the server's",
                                               NULL};
static const char *const help_examples[] = {
    "pelton help logs",
    "what logs does, its flags and examples",
    "pelton help --man | man -l -",
    "the man page",
    NULL,
};
static const char *const completion_examples[] = {
    "source <(pelton completion bash)",
    "in this shell",
    "pelton completion bash > /etc/bash_completion.d/pelton",
    "in every one",
    NULL,
};
static const char *const complete_examples[] = {"pelton __complete repo", "the names of the repositories",
                                                NULL};

const Command command_version = {
    .name = "version",
    .brief = "print the version",
    .usage = "version [--server]",
    FLAGS(version_flags),
    .options_size = sizeof(VersionOptions),
    .examples = version_examples,
    .run = version_run,
};

const Command command_help = {
    .name = "help",
    .brief = "explain a verb",
    .usage = "help [VERB] [--man]",
    FLAGS(help_flags),
    .options_size = sizeof(HelpOptions),
    .examples = help_examples,
    .max_args = 2,
    .operand = "verb",
    .run = help_run,
};

const Command command_completion = {
    .name = "completion",
    .brief = "print the completion for a shell",
    .usage = "completion bash",
    .examples = completion_examples,
    .min_args = 1,
    .max_args = 1,
    .operand = "bash",
    .run = completion_run,
};

const Command command_complete = {
    .name = "__complete",
    .brief = "print the words for a completion",
    .usage = "__complete repo|build|verb",
    .examples = complete_examples,
    .min_args = 1,
    .max_args = 1,
    .hidden = true,
    .run = complete_run,
};
