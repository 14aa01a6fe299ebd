/* Speaking to the server: where it is, with which token, and what its errors mean to a person. */
#pragma once

#include "base/json.h"
#include "cli/cli.h"
#include "http/client.h"

#define CLI_DEFAULT_URL "http://127.0.0.1:8080"

/* What login keeps. */
typedef struct CliConfig {
    const char *url;
    const char *token;
    const char *ca_file;
} CliConfig;

/* PELTON_CONFIG, or pelton/config.yml in XDG_CONFIG_HOME or ~/.config. */
const char *cli_config_path(const void *mem);
_must_check_ int cli_config_read(Cli *cli, CliConfig *ret, Err *err);
/* Atomically, 0600; makes its folder (0700). */
_must_check_ int cli_config_write(Cli *cli, const CliConfig *config, Err *err);

/* HttpCall.headers: some families of routes word their errors in plain text for who does not ask for JSON. */
extern const char *const cli_accept_json[];

/* Fills cli->url, token and client: --url, then PELTON_URL, then the file, then CLI_DEFAULT_URL; the token
 * PELTON_TOKEN, then the file's, which goes to the file's server only. Does nothing the second time. */
_must_check_ int cli_connect(Cli *cli, Err *err);
/* A call whose status is 2xx; anything else is an error in words, with cli->hint where there is something to
 * do. A lost connection is ERR_UNAVAILABLE. The caller frees call->answer. */
_must_check_ int cli_call(Cli *cli, HttpCall *call, Err *err);
/* A request with an optional JSON body, and the answer read as JSON (*ret may be NULL when the answer is
 * empty). */
_must_check_ int cli_request(Cli *cli, const char *method, const char *path, const Buf *body, json_t **ret,
                             Err *err);
/* The same for what may take its time. */
_must_check_ int cli_request_within(Cli *cli, const char *method, const char *path, int64_t timeout_us,
                                    json_t **ret, Err *err);
/* A POST that counts once however often it is sent: it carries a key, and is tried again for some seconds
 * when its answer was cut off. */
_must_check_ int cli_request_once(Cli *cli, const char *path, const Buf *body, json_t **ret, Err *err);
void cli_pause(int64_t us);
/* The array of the answer's field, or an error that says that the answer is not as expected. Borrowed. */
_must_check_ int cli_answer_array(const json_t *answer, const char *key, json_t **ret, Err *err);

/* Prints all of out to standard output; a closed pipe ends the process quietly, as for any filter. */
_must_check_ int cli_print(const Buf *out, Err *err);
/* A text; with --json the value of the field. */
_must_check_ int cli_print_text(const Cli *cli, const char *key, const Buf *text, Err *err);
/* The answer as JSON and a newline: indented on a terminal. */
_must_check_ int cli_print_json(const Cli *cli, json_t *value, Err *err);
/* An operand that must be a build's number. */
_must_check_ int cli_build_id(Cli *cli, const char *text, int64_t *ret, Err *err);
/* A line to standard error that is no result: what was done, what to do next. */
void cli_note(const Cli *cli, const char *fmt, ...) _printf_(2, 3);
