#include "base/clock.h"
#include "base/str.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/secret_file.h"
#include "cli/table.h"

#include <termios.h>

#define VALUE_MAX ((size_t)64 * 1024)

typedef struct SecretOptions {
    const char *repo;
    bool org;
} SecretOptions;

static const Setting flags[] = {
    {.name = "repo",
     .type = SETTING_STRING,
     .offset = offsetof(SecretOptions, repo),
     .arg = "NAME",
     .help = "of this repository"},
    {.name = "org",
     .type = SETTING_BOOL,
     .offset = offsetof(SecretOptions, org),
     .help = "of the organisation: every repository's jobs may name it (for administrators)"},
};

/* The resource of the list, or with a name of the one secret. */
static int path_of(Cli *cli, const SecretOptions *options, const char *name, const char **ret, Err *err) {
    const char *base = "/api/secrets";

    if (options->org == !str_empty(options->repo)) {
        cli->hint = "either --repo NAME or --org";
        return err_set(err, ERR_INVALID, "%s: of which repository?", cli->command->name);
    }
    if (options->repo)
        base = mem_printf(cli->mem, "/api/repos/%s/secrets", str_url_encode(cli->mem, options->repo, false));
    *ret = name ? mem_printf(cli->mem, "%s/%s", base, str_url_encode(cli->mem, name, false)) : base;
    return 0;
}

/* ---- set ---- */

static int read_all(Buf *value, Err *err) {
    ssize_t len = 1;

    while (len > 0 && value->len <= VALUE_MAX) {
        len = read(STDIN_FILENO, buf_reserve(value, VALUE_MAX), VALUE_MAX);
        if (len < 0)
            return err_errno(err, "read the value");
        value->len += (size_t)len;
        if (isatty(STDIN_FILENO) && memchr(value->data, '\n', value->len))
            break;
    }
    return value->len > VALUE_MAX
               ? err_set(err, ERR_TOO_LARGE, "the value has more than %zu bytes", VALUE_MAX)
               : 0;
}

/* Typed without being shown. */
static int ask(Cli *cli, Buf *value, Err *err) {
    struct termios old, quiet;
    int r;

    if (tcgetattr(STDIN_FILENO, &old) < 0)
        return err_errno(err, "the terminal");
    fprintf(stderr, "Value of %s: ", text_clean(cli->mem, cli->args[0]));
    quiet = old;
    quiet.c_lflag &= (tcflag_t)~ECHO;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    r = read_all(value, err);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
    fputc('\n', stderr);
    return r;
}

/* What `echo` and editors put behind a single line is no part of it; of several lines it is. */
static void drop_newline(Buf *value) {
    if (value->len && memchr(value->data, '\n', value->len) == value->data + value->len - 1)
        value->len--;
    if (value->len && value->data[value->len - 1] == '\r' && !memchr(value->data, '\n', value->len))
        value->len--;
}

static int read_value(Cli *cli, Buf *value, Err *err) {
    int r = isatty(STDIN_FILENO) ? ask(cli, value, err) : read_all(value, err);

    if (r < 0)
        return r;
    drop_newline(value);
    if (!str_utf8_valid(buf_str(value), value->len) || memchr(buf_str(value), '\0', value->len)) {
        cli->hint = "base64 -w0 <FILE | pelton secret set …, and base64 -d in the step";
        return err_set(err, ERR_INVALID,
                       "the value is not text in UTF-8: it could not be an environment variable");
    }
    return 0;
}

static int set_run(Cli *cli, void *arg, Err *err) {
    _cleanup_buf_ Buf value = BUF_INIT;
    _cleanup_json_ json_t *answer = NULL;
    const char *path, *warning;
    int r = path_of(cli, arg, cli->args[0], &path, err);

    if (r == 0)
        r = read_value(cli, &value, err);
    if (r < 0)
        return r;
    r = secret_put(cli, path, buf_str(&value), value.len, &answer, err);
    if (value.data)
        explicit_bzero(value.data, value.len);
    if (r < 0)
        return r;
    warning = field_text(cli->mem, answer, "warning");
    if (*warning)
        cli_note(cli, "%s: %s", cli->args[0], text_clean(cli->mem, warning));
    cli_note(cli, "%s is set; jobs that say `secrets: [%s]` get it", cli->args[0], cli->args[0]);
    return cli->json ? cli_print_json(cli, answer, err) : CLI_DONE;
}

/* ---- list, rm, rotate ---- */

static int list_run(Cli *cli, void *arg, Err *err) {
    static const char *const headers[] = {"NAME", "OF", "SET BY", "WHEN", NULL};
    Table *table = table_new(cli->mem, headers);
    _cleanup_json_ json_t *answer = NULL;
    _cleanup_buf_ Buf out = BUF_INIT;
    json_t *list = NULL, *secret;
    const char *path;
    size_t i;
    int r = path_of(cli, arg, NULL, &path, err);

    if (r == 0)
        r = cli_request(cli, "GET", path, NULL, &answer, err);
    if (r < 0)
        return r;
    if (cli->json)
        return cli_print_json(cli, answer, err);
    r = cli_answer_array(answer, "secrets", &list, err);
    if (r < 0)
        return r;
    json_array_foreach (list, i, secret) {
        table_cell(table, STYLE_BOLD, field_text(cli->mem, secret, "name"));
        table_cell(table, STYLE_PLAIN, field_text(cli->mem, secret, "level"));
        table_cell(table, STYLE_PLAIN, field_text(cli->mem, secret, "updated_by"));
        table_cell(table, STYLE_DIM, time_ago(cli->mem, field_time(secret, "updated_at"), clock_now()));
    }
    table_print(table, &cli->out, &out);
    return cli_print(&out, err);
}

static int rm_run(Cli *cli, void *arg, Err *err) {
    _cleanup_json_ json_t *answer = NULL;
    const char *path;
    int r = path_of(cli, arg, cli->args[0], &path, err);

    if (r == 0)
        r = cli_request(cli, "DELETE", path, NULL, &answer, err);
    if (r == -ERR_NOT_FOUND)
        cli->hint = "pelton secret list shows what there is";
    if (r < 0)
        return r;
    cli_note(cli, "%s is removed; jobs that run have it still", cli->args[0]);
    return cli->json ? cli_print_json(cli, answer, err) : CLI_DONE;
}

static int rotate_run(Cli *cli, void *arg, Err *err) {
    _cleanup_json_ json_t *answer = NULL;
    int r = cli_request(cli, "POST", "/api/secrets/rotate", NULL, &answer, err);

    if (r < 0)
        return r;
    cli_note(cli, "%s secrets are sealed with a new key; back up the server's secret.key again",
             field_text(cli->mem, answer, "secrets"));
    return cli->json ? cli_print_json(cli, answer, err) : CLI_DONE;
}

static const char *const set_examples[] = {
    "pelton secret set NPM_TOKEN --repo hello <token.txt",
    "jobs of hello that say `secrets: [NPM_TOKEN]` have it as an environment variable",
    "pelton secret set DEPLOY_KEY --org <id_ed25519",
    "the same for every repository; several lines are kept as they are",
    NULL,
};
static const char *const list_examples[] = {"pelton secret list --repo hello",
                                            "the names; values are never shown again", NULL};
static const char *const rm_examples[] = {"pelton secret rm NPM_TOKEN --repo hello",
                                          "jobs that name it fail from now on, and say so", NULL};
static const char *const rotate_examples[] = {"pelton secret rotate",
                                              "after the key file may have been seen by someone", NULL};

const Command command_secret_set = {
    .name = "secret set",
    .brief = "keep a secret for jobs that name it",
    .usage = "secret set NAME (--repo NAME | --org) <FILE",
    .about = "Reads the value from standard input, on a terminal without showing it; it is never an "
             "argument, for others see "
             "those. A newline behind a single line is left out.\n\nThe value is sealed on the server, and "
             "shown to nobody "
             "again. Logs of jobs that have it show *** in its place.",
    FLAGS(flags),
    .options_size = sizeof(SecretOptions),
    .examples = set_examples,
    .min_args = 1,
    .max_args = 1,
    .run = set_run,
};

const Command command_secret_list = {
    .name = "secret list",
    .brief = "list the names of secrets",
    .usage = "secret list (--repo NAME | --org)",
    FLAGS(flags),
    .options_size = sizeof(SecretOptions),
    .examples = list_examples,
    .run = list_run,
};

const Command command_secret_rm = {
    .name = "secret rm",
    .brief = "remove a secret",
    .usage = "secret rm NAME (--repo NAME | --org)",
    FLAGS(flags),
    .options_size = sizeof(SecretOptions),
    .examples = rm_examples,
    .min_args = 1,
    .max_args = 1,
    .run = rm_run,
};

const Command command_secret_rotate = {
    .name = "secret rotate",
    .brief = "seal all secrets with a new key",
    .usage = "secret rotate",
    .about = "The old key is forgotten: a backup of the database from before needs a backup of secret.key "
             "from before.",
    .examples = rotate_examples,
    .run = rotate_run,
};
