#include "cli/call.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/str.h"
#include "cli/table.h"

#include <errno.h>
#include <libgen.h>
#include <stdarg.h>
#include <time.h>

#define ANSWER_MAX (64U << 20)
#define PAUSE_FIRST (100 * US_PER_MS) /* twice as long each time */
#define PAUSE_LAST (6400 * US_PER_MS)
#define CALL_TIMEOUT (60 * US_PER_S)

static const Setting config_table[] = {
    {.name = "url", .type = SETTING_STRING, .offset = offsetof(CliConfig, url), .help = "the server"},
    {.name = "token",
     .type = SETTING_STRING,
     .offset = offsetof(CliConfig, token),
     .secret = true,
     .help = "the token"},
    {.name = "ca-file",
     .type = SETTING_STRING,
     .offset = offsetof(CliConfig, ca_file),
     .help = "the CA of the server's certificate"},
};

static const char *env(const char *name) {
    const char *value = getenv(name);

    return str_empty(value) ? NULL : value;
}

const char *cli_config_path(const void *mem) {
    const char *path = env("PELTON_CONFIG"), *base = env("XDG_CONFIG_HOME"), *home = env("HOME");

    if (path)
        return path;
    if (base)
        return mem_printf(mem, "%s/pelton/config.yml", base);
    return mem_printf(mem, "%s/.config/pelton/config.yml", home ? home : "");
}

int cli_config_read(Cli *cli, CliConfig *ret, Err *err) {
    CliConfig *config = mem_new(cli->mem, CliConfig);
    Config *reader = config_new(cli->mem, config_table, ELEMENTS(config_table), config);
    int r = config_read_file(reader, cli_config_path(cli->mem), false, err);

    if (r < 0)
        return r;
    *ret = *config;
    return 0;
}

/* JSON's strings are YAML's. */
static void add_config(Buf *yaml, const char *name, const char *text) {
    _cleanup_buf_ Buf value = BUF_INIT;

    if (!text)
        return;
    jw_str(&JSON_WRITER(&value), NULL, text);
    buf_addf(yaml, "%s: %s\n", name, buf_str(&value));
}

int cli_config_write(Cli *cli, const CliConfig *config, Err *err) {
    const char *path = cli_config_path(cli->mem);
    const char *folder = dirname(mem_strdup(cli->mem, path));
    _cleanup_buf_ Buf yaml = BUF_INIT;
    int r = file_mkdirs(folder, 0700, err);

    if (r < 0)
        return err_wrap(err, "keep the login");
    add_config(&yaml, "url", config->url);
    add_config(&yaml, "token", config->token);
    add_config(&yaml, "ca-file", config->ca_file);
    r = file_write_atomic(path, yaml.data, yaml.len, 0600, err);
    return r < 0 ? err_wrap(err, "keep the login in %s", path) : 0;
}

static const char *without_slash(const void *mem, const char *url) {
    size_t len = strlen(url);

    while (len > 0 && url[len - 1] == '/')
        len--;
    return mem_strndup(mem, url, len);
}

/* What login keeps is for the server that it has logged in to. */
static int use_config(Cli *cli, const CliConfig *config, Err *err) {
    const char *ca_file;

    if (!config->url || !str_eq(cli->url, without_slash(cli->mem, config->url)))
        return 0;
    if (!cli->token)
        cli->token = config->token;
    return cli->ca_file || !config->ca_file ? 0 : http_trust_file(cli->mem, config->ca_file, &ca_file, err);
}

int cli_connect(Cli *cli, Err *err) {
    const char *url = cli->url_flag ? cli->url_flag : env("PELTON_URL");
    CliConfig config = {0};
    int r;

    if (cli->client)
        return 0;
    cli->token = env("PELTON_TOKEN");
    if (!url || !cli->token || (!cli->ca_file && str_after(url, "https://"))) {
        r = cli_config_read(cli, &config, err);
        if (r < 0 && (!url || !cli->token))
            return r;
    }
    if (!url)
        url = config.url ? config.url : CLI_DEFAULT_URL;
    cli->url = without_slash(cli->mem, url);
    r = use_config(cli, &config, err);
    return r < 0 ? r : http_client_new(cli->mem, cli->url, cli->token, &cli->client, err);
}

static int unreachable(Cli *cli, Err *err) {
    _cleanup_talloc_ char *why = mem_strdup(NULL, err->msg);
    bool local = strstr(cli->url, "127.0.0.1") || strstr(cli->url, "localhost") || strstr(cli->url, "[::1]");

    if (err->code == ERR_IO)
        return err_set(err, ERR_UNAVAILABLE, "the connection to %s was cut (%s)", cli->url, why);
    if (err->code == ERR_TIMEOUT)
        return err_set(err, ERR_UNAVAILABLE, "%s does not answer in time", cli->url);
    cli->hint = local ? "is it running? start it with: pelton server --state DIR"
                      : "is it running, and does PELTON_URL or pelton login name the right one?";
    return err_set(err, ERR_UNAVAILABLE, "no server at %s (%s)", cli->url, why);
}

/* The suggestions of an error body, each a line of the hint. */
static const char *suggestions(Cli *cli, const HttpCall *call) {
    _cleanup_json_ json_t *body = NULL;
    json_t *list = NULL, *item;
    Err ignored = {0};
    Buf hint = BUF_INIT;
    const char *text;
    size_t i;

    if (!call->answer.len || json_read(call->answer.data, call->answer.len, &body, &ignored) < 0 ||
        json_opt_array(body, "suggestions", &list, &ignored) < 0)
        return NULL;
    json_array_foreach (list, i, item) {
        if (json_is_string(item))
            buf_addf(&hint, "%s%s", hint.len ? "\n" : "", text_clean(cli->mem, json_string_value(item)));
    }
    text = hint.len ? buf_dup(&hint, cli->mem) : NULL;
    buf_done(&hint);
    return text;
}

static int refused(Cli *cli, const HttpCall *call, Err *err) {
    int r = http_call_check(call, err);

    cli->hint = suggestions(cli, call);
    if (!cli->hint && err->code == ERR_UNAUTHORIZED)
        cli->hint =
            cli->token
                ? "the token is wrong, expired or revoked; log in again: pelton login URL --token-file FILE"
                : "log in first: pelton login URL --token-file STATE/admin.token, or set PELTON_TOKEN";
    if (!cli->hint && err->code == ERR_FORBIDDEN)
        cli->hint = "this needs a token of another role; see: pelton token create --help";
    return r;
}

const char *const cli_accept_json[] = {"Accept: application/json", NULL};

void cli_pause(int64_t us) {
    struct timespec time = {us / US_PER_S, us % US_PER_S * 1000};

    nanosleep(&time, NULL);
}

int cli_call(Cli *cli, HttpCall *call, Err *err) {
    int r = cli_connect(cli, err);

    if (r < 0)
        return r;
    if (call->timeout_us == 0)
        call->timeout_us = CALL_TIMEOUT;
    if (!call->headers)
        call->headers = cli_accept_json;
    r = http_client_call(cli->client, call, err);
    cli->cut = r == -ERR_IO || r == -ERR_TIMEOUT ||
               (r >= 0 && (call->status == 502 || call->status == 503 || call->status == 504));
    if (call->untrusted)
        return r;
    if (r == -ERR_UNAVAILABLE || r == -ERR_TIMEOUT || r == -ERR_IO)
        return unreachable(cli, err);
    if (r < 0)
        return r;
    if (call->status < 200 || call->status > 299)
        return refused(cli, call, err);
    return 0;
}

static int request(Cli *cli, HttpCall *call, const Buf *body, json_t **ret, Err *err) {
    json_t *answer = NULL;
    int r;

    call->max_answer = ANSWER_MAX;
    if (body) {
        call->body = body->data;
        call->body_len = body->len;
        call->content_type = "application/json";
    }
    r = cli_call(cli, call, err);
    if (r == 0 && call->answer.len > 0) {
        r = json_read(call->answer.data, call->answer.len, &answer, err);
        if (r < 0) {
            err_wrap(err, "%s does not answer as a Pelton server", cli->url);
            r = err_set(err, ERR_UNAVAILABLE, "%s", mem_strdup(cli->mem, err->msg));
        }
    }
    buf_done(&call->answer);
    if (r == 0)
        *ret = answer;
    return r;
}

int cli_request(Cli *cli, const char *method, const char *path, const Buf *body, json_t **ret, Err *err) {
    HttpCall call = {.method = method, .path = path};

    return request(cli, &call, body, ret, err);
}

int cli_request_within(Cli *cli, const char *method, const char *path, int64_t timeout_us, json_t **ret,
                       Err *err) {
    HttpCall call = {.method = method, .path = path, .timeout_us = timeout_us};

    return request(cli, &call, NULL, ret, err);
}

/* Once a call may have been heard, a server that is away is worth some patience: it restarts. */
int cli_request_once(Cli *cli, const char *path, const Buf *body, json_t **ret, Err *err) {
    char uuid[ID_UUID_SIZE];
    const char *headers[] = {cli_accept_json[0], NULL, NULL};
    bool cut = false;
    int r;

    id_uuid(uuid);
    headers[1] = mem_printf(cli->mem, "Idempotency-Key: %s", uuid);
    for (int64_t pause = PAUSE_FIRST;; pause *= 2) {
        HttpCall call = {.method = "POST", .path = path, .headers = headers};

        r = request(cli, &call, body, ret, err);
        cut = cut || cli->cut;
        if (r >= 0 || !cut || pause > PAUSE_LAST || (r != -ERR_UNAVAILABLE && !cli->cut))
            return r;
        cli->hint = NULL;
        cli_pause(pause);
    }
}

int cli_answer_array(const json_t *answer, const char *key, json_t **ret, Err *err) {
    json_t *array = json_object_get(answer, key);

    if (!json_is_array(array))
        return err_set(err, ERR_UNAVAILABLE,
                       "the server's answer has no list \"%s\": is it Pelton, and not older?", key);
    *ret = array;
    return 0;
}

int cli_print(const Buf *out, Err *err) {
    if (file_write_all(STDOUT_FILENO, out->data ? out->data : "", out->len, err) == 0)
        return 0;
    if (err->sys == EPIPE)
        _exit(CLI_DONE);
    return err_wrap(err, "standard output");
}

int cli_print_json(const Cli *cli, json_t *value, Err *err) {
    size_t layout = cli->out.tty ? JSON_INDENT(2) : JSON_COMPACT | JSON_ENCODE_ANY;
    size_t digits = JSON_REAL_PRECISION(15); /* as many as a double keeps: 0.286228 stays so */
    _cleanup_buf_ Buf out = BUF_INIT;
    char *text = value ? json_dumps(value, layout | digits) : NULL;

    buf_adds(&out, text ? text : "{}");
    buf_addc(&out, '\n');
    free(text);
    return cli_print(&out, err);
}

int cli_print_text(const Cli *cli, const char *key, const Buf *text, Err *err) {
    _cleanup_json_ json_t *object = cli->json ? json_pack("{s:s%}", key, text->data, text->len) : NULL;

    return cli->json ? cli_print_json(cli, object, err) : cli_print(text, err);
}

int cli_build_id(Cli *cli, const char *text, int64_t *ret, Err *err) {
    if (str_to_i64(text[0] == '#' ? text + 1 : text, 1, INT64_MAX, ret))
        return 0;
    cli->hint = "pelton builds lists them";
    return err_set(err, ERR_INVALID, "\"%s\" is not the number of a build", text_clean(cli->mem, text));
}

void cli_note(const Cli *cli, const char *fmt, ...) {
    va_list args;

    if (cli->json)
        return;
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
}
