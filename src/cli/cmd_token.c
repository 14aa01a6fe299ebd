#include "base/clock.h"
#include "base/str.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/table.h"

typedef struct TokenOptions {
    const char *role;
    const char *ttl; /* as written: the server reads it */
} TokenOptions;

/* Those that a person may give away: the server makes the others itself. */
static const char *const roles[] = {"admin", "user", "read", "registration", NULL};

static const Setting create_flags[] = {
    {.name = "role",
     .type = SETTING_STRING,
     .offset = offsetof(TokenOptions, role),
     .words = roles,
     .fallback = "user",
     .arg = "ROLE",
     .help = "what it may do"},
    {.name = "ttl",
     .type = SETTING_STRING,
     .offset = offsetof(TokenOptions, ttl),
     .arg = "TIME",
     .help = "how long it is good: 12h, 30d, 2w (default: until revoked)"},
};

static int create_run(Cli *cli, void *arg, Err *err) {
    const TokenOptions *options = arg;
    _cleanup_buf_ Buf body = BUF_INIT, out = BUF_INIT;
    _cleanup_json_ json_t *answer = NULL;
    JsonWriter w = JSON_WRITER(&body);
    int64_t expires, ttl;
    int r;

    if (options->ttl && (!str_to_duration(options->ttl, &ttl) || ttl <= 0))
        return err_set(err, ERR_INVALID, "--ttl %s: expected a time such as 12h, 30d or 2w", options->ttl);
    jw_object(&w, NULL);
    jw_str(&w, "name", cli->args[0]);
    jw_str(&w, "role", options->role);
    if (options->ttl)
        jw_str(&w, "ttl", options->ttl);
    jw_end_object(&w);
    r = cli_request(cli, "POST", "/api/tokens", &body, &answer, err);
    if (r < 0)
        return r;
    if (cli->json)
        return cli_print_json(cli, answer, err);
    buf_addf(&out, "%s\n", text_clean(cli->mem, field_text(cli->mem, answer, "token")));
    r = cli_print(&out, err);
    expires = field_time(answer, "expires_at");
    cli_note(cli, "it is shown this once%s%s", expires ? "; it expires " : "",
             expires ? time_ago(cli->mem, expires, clock_now()) : "");
    return r;
}

static int list_run(Cli *cli, void *arg, Err *err) {
    static const char *const headers[] = {"ID", "NAME", "ROLE", "STATUS", "EXPIRES", NULL};
    Table *table = table_new(cli->mem, headers);
    _cleanup_json_ json_t *answer = NULL;
    _cleanup_buf_ Buf out = BUF_INIT;
    json_t *list = NULL, *token;
    size_t i;
    int r = cli_request(cli, "GET", "/api/tokens", NULL, &answer, err);

    if (r < 0)
        return r;
    if (cli->json)
        return cli_print_json(cli, answer, err);
    r = cli_answer_array(answer, "tokens", &list, err);
    if (r < 0)
        return r;
    json_array_foreach (list, i, token) {
        int64_t expires = field_time(token, "expires_at");

        table_cell(table, STYLE_BOLD, field_text(cli->mem, token, "id"));
        table_cell(table, STYLE_PLAIN, field_text(cli->mem, token, "name"));
        table_cell(table, STYLE_PLAIN, field_text(cli->mem, token, "role"));
        table_cell(table, STYLE_PLAIN, field_text(cli->mem, token, "status"));
        table_cell(table, STYLE_DIM, expires ? time_ago(cli->mem, expires, clock_now()) : "never");
    }
    table_print(table, &cli->out, &out);
    return cli_print(&out, err);
}

static int revoke_run(Cli *cli, void *arg, Err *err) {
    _cleanup_json_ json_t *answer = NULL;
    int64_t id;
    int r;

    if (!str_to_i64(cli->args[0], 1, INT64_MAX, &id)) {
        cli->hint = "pelton token list shows the numbers";
        return err_set(err, ERR_INVALID, "\"%s\" is not the number of a token",
                       text_clean(cli->mem, cli->args[0]));
    }
    r = cli_request(cli, "DELETE", mem_printf(cli->mem, "/api/tokens/%s", cli->args[0]), NULL, &answer, err);
    if (r < 0)
        return r;
    cli_note(cli, "token %s is revoked", cli->args[0]);
    return cli->json ? cli_print_json(cli, answer, err) : CLI_DONE;
}

static const char *const create_examples[] = {
    "pelton token create laptop",
    "a token to build and push with",
    "pelton token create ci-box --role registration --ttl 1h",
    "one that a new runner registers with",
    NULL,
};
static const char *const list_examples[] = {"pelton token list",
                                            "names, roles and expiry; never the tokens themselves", NULL};
static const char *const revoke_examples[] = {"pelton token revoke 3",
                                              "token 3 is good for nothing from now on", NULL};

const Command command_token_create = {
    .name = "token create",
    .brief = "make a token",
    .usage = "token create NAME [--role ROLE] [--ttl TIME]",
    .about = "Prints the token, once; the server keeps its hash only.",
    FLAGS(create_flags),
    .options_size = sizeof(TokenOptions),
    .examples = create_examples,
    .min_args = 1,
    .max_args = 1,
    .run = create_run,
};

const Command command_token_list = {
    .name = "token list",
    .brief = "list the tokens",
    .usage = "token list",
    .examples = list_examples,
    .run = list_run,
};

const Command command_token_revoke = {
    .name = "token revoke",
    .brief = "end a token",
    .usage = "token revoke ID",
    .examples = revoke_examples,
    .min_args = 1,
    .max_args = 1,
    .run = revoke_run,
};
