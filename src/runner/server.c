#include "runner/server.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include <stdio.h>

#define PAUSE_FIRST_US (20 * US_PER_MS)
#define PAUSE_MAX_US (5 * US_PER_S)

int64_t server_retry_pause(ServerRetry *r) {
    int64_t pause = PAUSE_FIRST_US << MIN(r->failures, 8u);
    uint32_t random;

    r->failures++;
    pause = MIN(pause, r->longest_us ? r->longest_us : PAUSE_MAX_US);
    id_bytes(&random, sizeof(random));
    return pause / 2 + (int64_t)(random % (uint64_t)(pause / 2));
}

char *server_address(const char *server_file, const void *mem) {
    _cleanup_buf_ Buf text = BUF_INIT;
    _cleanup_json_ json_t *root = NULL;
    const char *url = NULL;
    Err err;

    if (!server_file || file_read(server_file, 65536, &text, &err) < 0 ||
        json_read(buf_str(&text), text.len, &root, &err) < 0 || json_opt_str(root, "url", &url, &err) < 0 ||
        !url)
        return NULL;
    return mem_strdup(mem, url);
}

void server_refresh(const char *server_file, char **server, const char *token, HttpClient **client) {
    void *mem = talloc_parent(*server);
    char *url = server_address(server_file, mem);
    HttpClient *fresh = NULL;
    Err err;

    if (!url || (str_eq(url, *server) && *client) || http_client_new(mem, url, token, &fresh, &err) < 0) {
        talloc_free(url);
        return;
    }
    log_info("runner", "the server is at %s now", url);
    talloc_free(*client);
    *client = fresh;
    talloc_free(*server);
    *server = url;
}

const char *server_error_word(const Buf *answer) {
    static _Thread_local char word[64];
    _cleanup_json_ json_t *root = NULL;
    const char *text = NULL;
    Err err;

    word[0] = '\0';
    if (json_read(buf_str(answer), answer->len, &root, &err) == 0 &&
        json_opt_str(root, "error", &text, &err) == 0 && text)
        snprintf(word, sizeof(word), "%s", text);
    return word;
}
