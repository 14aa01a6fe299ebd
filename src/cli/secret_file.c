#include "cli/secret_file.h"

#include "base/file.h"
#include "base/str.h"

#define FILE_MAX ((size_t)1024 * 1024)

int secret_put(Cli *cli, const char *path, const char *value, size_t len, json_t **ret_answer, Err *err) {
    _cleanup_buf_ Buf body = BUF_INIT;
    JsonWriter w = JSON_WRITER(&body);
    int r;

    jw_object(&w, NULL);
    jw_strn(&w, "value", value, len);
    jw_end_object(&w);
    r = cli_request(cli, "PUT", path, &body, ret_answer, err);
    explicit_bzero(body.data, body.len);
    return r;
}

/* In place: without its quotes, when it has them. False: they are not whole. */
static bool unquote(char *value) {
    size_t len = strlen(value), to = 0;

    if (value[0] != '"')
        return true;
    if (len < 2 || value[len - 1] != '"')
        return false;
    for (size_t i = 1; i < len - 1; i++) {
        char c = value[i];

        if (c == '\\' && i + 1 < len - 1) {
            c = value[++i];
            c = c == 'n' ? '\n' : c;
        }
        value[to++] = c;
    }
    value[to] = '\0';
    return true;
}

static int send_line(Cli *cli, const char *repo, char *line, const char *file, size_t number, Err *err) {
    _cleanup_json_ json_t *answer = NULL;
    char *value = strchr(line, '=');
    const char *path;
    int r;

    if (line[0] == '#' || line[strspn(line, " \t\r")] == '\0')
        return 0;
    line[strcspn(line, "\r")] = '\0';
    if (!value || !unquote(value + 1))
        return err_set(err, ERR_INVALID, "%s:%zu: expected NAME=VALUE or NAME=\"VALUE\"", file, number);
    *value++ = '\0';
    path = mem_printf(cli->mem, "/api/repos/%s/secrets/%s", str_url_encode(cli->mem, repo, false),
                      str_url_encode(cli->mem, line, false));
    r = secret_put(cli, path, value, strlen(value), &answer, err);
    return r < 0 ? err_wrap(err, "%s:%zu", file, number) : 0;
}

int secret_file_send(Cli *cli, const char *repo, const char *file, Err *err) {
    _cleanup_buf_ Buf text = BUF_INIT;
    char *rest, *line;
    size_t number = 1;
    int r = file_read(file, FILE_MAX, &text, err);

    if (r < 0)
        return err_wrap(err, "secret file");
    buf_addc(&text, '\n');
    rest = text.data;
    while (r == 0 && (line = strsep(&rest, "\n")))
        r = send_line(cli, repo, line, file, number++, err);
    if (text.data)
        explicit_bzero(text.data, text.len);
    return r;
}
