#include "server/enrol.h"

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "http/client.h"
#include <sys/utsname.h>
#include <unistd.h>

#define TIMEOUT_US (30 * INT64_C(1000000))

static int ask(HttpClient *client, HttpCall *call, json_t **ret, Err *err) {
    int r = http_client_call(client, call, err);

    if (r >= 0)
        r = http_call_check(call, err);
    if (r >= 0)
        r = json_read(buf_str(&call->answer), call->answer.len, ret, err);
    buf_done(&call->answer);
    return r;
}

/* "runner", "registration", "admin" … */
static int role_of(HttpClient *client, const void *mem, const char **ret, Err *err) {
    HttpCall call = {.method = "GET", .path = "/api/me", .timeout_us = TIMEOUT_US};
    _cleanup_json_ json_t *answer = NULL;
    const char *role;
    int r = ask(client, &call, &answer, err);

    if (r >= 0)
        r = json_get_str(answer, "role", &role, err);
    if (r < 0)
        return r;
    *ret = mem_strdup(mem, role);
    return 0;
}

static void write_facts(const Enrolment *e, const char *name, const char *arch, Buf *out) {
    JsonWriter w = JSON_WRITER(out);

    jw_object(&w, NULL);
    jw_str(&w, "name", name);
    jw_str(&w, "arch", arch);
    jw_object(&w, "labels");
    jw_end_object(&w);
    jw_array(&w, "executors");
    for (size_t i = 0; e->executors[i]; i++)
        jw_str(&w, NULL, e->executors[i]);
    jw_end_array(&w);
    jw_int(&w, "slots", e->slots);
    jw_str(&w, "version", e->version);
    jw_end_object(&w);
}

static int register_self(const Enrolment *e, HttpClient *client, const void *mem, const char **ret_token,
                         Err *err) {
    HttpCall call = {.method = "POST",
                     .path = "/api/runner/register",
                     .content_type = "application/json",
                     .timeout_us = TIMEOUT_US};
    _cleanup_json_ json_t *answer = NULL;
    _cleanup_buf_ Buf body = BUF_INIT;
    struct utsname host;
    const char *name, *token;
    int r;

    uname(&host);
    name = e->name ? e->name : host.nodename;
    write_facts(e, name, host.machine, &body);
    call.body = body.data;
    call.body_len = body.len;
    r = ask(client, &call, &answer, err);
    if (r >= 0)
        r = json_get_str(answer, "token", &token, err);
    if (r < 0)
        return err_wrap(err, "register as %s", name);
    log_info("runner", "registered as %s", name);
    *ret_token = mem_strdup(mem, token);
    return 0;
}

static int own_token(const Enrolment *e, const void *mem, const char **ret, Err *err) {
    HttpClient *client;
    const char *role;
    int r = http_client_new(mem, e->server, e->token, &client, err);

    if (r >= 0)
        r = role_of(client, mem, &role, err);
    if (r < 0)
        return err_wrap(err, "ask %s about the token", e->server);
    if (str_eq(role, "registration") || str_eq(role, "admin"))
        return register_self(e, client, mem, ret, err);
    if (!str_eq(role, "runner"))
        return err_set(err, ERR_FORBIDDEN,
                       "a token of role '%s' is not for runners; make one with: pelton token create "
                       "--role registration",
                       role);
    *ret = e->token;
    return 0;
}

int runner_enrol(const Enrolment *e, const void *mem, const char **ret_file, Err *err) {
    const char *path = mem_printf(mem, "%s/token", e->dir), *token, *line;
    int r = file_mkdirs(e->dir, 0711, err);

    if (r < 0)
        return r;
    if (access(path, F_OK) != 0) {
        if (str_empty(e->token) || str_empty(e->server))
            return err_set(err, ERR_INVALID,
                           "%s is not there: the first time a runner needs --server and a registration "
                           "token (--token-file, PELTON_TOKEN or --token)",
                           path);
        r = own_token(e, mem, &token, err);
        if (r < 0)
            return r;
        line = mem_printf(mem, "%s\n", token);
        r = file_write_atomic(path, line, strlen(line), 0600, err);
        if (r < 0)
            return r;
    }
    *ret_file = path;
    return 0;
}
