#include "base/file.h"
#include "base/str.h"
#include "cli/call.h"
#include "cli/commands.h"

#include <fcntl.h>
#include <termios.h>

#define TOKEN_MAX 4096

typedef struct LoginOptions {
    const char *token_file;
    bool token_stdin;
} LoginOptions;

static const Setting login_flags[] = {
    {.name = "token-file",
     .type = SETTING_STRING,
     .offset = offsetof(LoginOptions, token_file),
     .arg = "FILE",
     .help = "read the token from FILE"},
    {.name = "token-stdin",
     .type = SETTING_BOOL,
     .offset = offsetof(LoginOptions, token_stdin),
     .help = "read the token from standard input"},
};

/* The first line of fd, without blanks around it. */
static int read_line(int fd, const void *mem, const char **ret, Err *err) {
    char text[TOKEN_MAX + 1];
    size_t len = 0, start;
    ssize_t n;

    while (len < TOKEN_MAX && !memchr(text, '\n', len) && (n = read(fd, text + len, TOKEN_MAX - len)) != 0) {
        if (n < 0)
            return err_errno(err, "read the token");
        len += (size_t)n;
    }
    text[len] = 0;
    start = strspn(text, " \t\r\n");
    *ret = mem_strndup(mem, text + start, strcspn(text + start, " \t\r\n"));
    return 0;
}

static int ask(Cli *cli, const char **ret, Err *err) {
    struct termios old, quiet;
    int r;

    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &old) < 0) {
        cli->hint = "give it with --token-file FILE, --token-stdin or PELTON_TOKEN; the first one is in "
                    "STATE/admin.token";
        return err_set(err, ERR_INVALID, "login: which token?");
    }
    fputs("Token: ", stderr);
    quiet = old;
    quiet.c_lflag &= (tcflag_t)~ECHO;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    r = read_line(STDIN_FILENO, cli->mem, ret, err);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
    fputc('\n', stderr);
    return r;
}

static int find_token(Cli *cli, const LoginOptions *options, const char **ret, Err *err) {
    const char *env = getenv("PELTON_TOKEN");
    _cleanup_close_ int fd = -1;

    if (options->token_file && options->token_stdin)
        return err_set(err, ERR_INVALID, "login: either --token-file or --token-stdin");
    if (options->token_stdin)
        return read_line(STDIN_FILENO, cli->mem, ret, err);
    if (!options->token_file && !str_empty(env)) {
        *ret = env;
        return 0;
    }
    if (!options->token_file)
        return ask(cli, ret, err);
    fd = open(options->token_file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(err, "token file %s", options->token_file);
    return read_line(fd, cli->mem, ret, err);
}

/* "127.0.0.1:8080" is taken for http://127.0.0.1:8080, as typed in a hurry. */
static int check_url(Cli *cli, const char *url, const char **ret, Err *err) {
    if (!strstr(url, "://") && strchr(url, ':') && !str_after(url, "unix:"))
        url = mem_printf(cli->mem, "http://%s", url);
    if (!str_after(url, "http://") && !str_after(url, "https://") && !str_after(url, "unix:/")) {
        cli->hint = "a server's address looks like http://127.0.0.1:8080";
        return err_set(err, ERR_INVALID, "login: \"%s\" is not the address of a server", url);
    }
    *ret = url;
    return 0;
}

/* Takes over the value. */
static int report(Cli *cli, json_t *value, Err *err) {
    _cleanup_json_ json_t *owned = value;

    return cli->json ? cli_print_json(cli, owned, err) : CLI_DONE;
}

static int login_run(Cli *cli, void *arg, Err *err) {
    CliConfig config = {0};
    json_t *answer = NULL, *list = NULL;
    int r;

    r = check_url(cli, cli->args[0], &config.url, err);
    if (r < 0)
        return r;
    r = find_token(cli, arg, &config.token, err);
    if (r < 0)
        return r;
    if (str_empty(config.token))
        return err_set(err, ERR_INVALID, "login: the token is empty");
    cli->url = config.url;
    cli->token = config.token;
    config.ca_file = cli->ca_file;
    r = http_client_new(cli->mem, config.url, config.token, &cli->client, err);
    if (r < 0)
        return r;
    r = cli_request(cli, "GET", "/api/builds?limit=1", NULL, &answer, err);
    if (r >= 0)
        r = cli_answer_array(answer, "builds", &list, err);
    json_decref(answer);
    if (r < 0)
        return r;
    r = cli_config_write(cli, &config, err);
    if (r < 0)
        return r;
    cli_note(cli, "logged in to %s (kept in %s)", config.url, cli_config_path(cli->mem));
    return report(cli, json_pack("{s:s,s:s}", "url", config.url, "config", cli_config_path(cli->mem)), err);
}

static int logout_run(Cli *cli, void *arg, Err *err) {
    CliConfig config = {0};
    int r = cli_config_read(cli, &config, err);

    if (r < 0)
        return r;
    if (config.token) {
        config.token = NULL;
        r = cli_config_write(cli, &config, err);
        if (r < 0)
            return r;
        cli_note(cli, "logged out of %s; the token itself is still good: pelton token revoke ends it",
                 config.url);
    } else {
        cli_note(cli, "nobody is logged in");
    }
    return report(cli, json_pack("{s:b}", "logged_in", 0), err);
}

static const char *const login_examples[] = {
    "pelton login http://127.0.0.1:8080 --token-file state/admin.token",
    "log in with the token that the server made at its first start",
    "pass pelton/token | pelton login https://ci.example.org --token-stdin",
    "with a token from a password store",
    NULL,
};

static const char *const logout_examples[] = {"pelton logout", "forget the token on this machine", NULL};

const Command command_login = {
    .name = "login",
    .brief = "log in to a server",
    .usage = "login URL [--token-file FILE|--token-stdin]",
    .about = "Checks the token with the server, and keeps both in ~/.config/pelton/config.yml (or "
             "PELTON_CONFIG), readable by\n"
             "you only; and the path of --ca-file. Without a flag the token is PELTON_TOKEN's, or asked for "
             "on a terminal.",
    FLAGS(login_flags),
    .options_size = sizeof(LoginOptions),
    .examples = login_examples,
    .min_args = 1,
    .max_args = 1,
    .run = login_run,
};

const Command command_logout = {
    .name = "logout",
    .brief = "forget the token",
    .usage = "logout",
    .examples = logout_examples,
    .run = logout_run,
};
