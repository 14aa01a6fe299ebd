/* What a container engine, a builder and nix say: the first byte chooses whose words the rest is. */
#include "fuzz.h"

#include "base/str.h"
#include "executor/docker.h"
#include "executor/docker_context.h"
#include "executor/docker_trace.h"
#include "executor/nix_log.h"

static void fuzz_trace(const void *mem, const char *text, size_t len) {
    Trace trace = {.mem = mem};
    _cleanup_buf_ Buf out = BUF_INIT;
    Err err = {0};

    /* twice: the second time all is known already */
    for (int i = 0; i < 2; i++)
        if (trace_take(&trace, text, len, &out, &err) < 0 && !err.code)
            abort();
    trace_done(&trace);
}

static void fuzz_nix(void *mem, const char *text, size_t len) {
    NixLog log = {.mem = mem, .check = true};
    _cleanup_buf_ Buf out = BUF_INIT, summary = BUF_INIT;
    _cleanup_json_ json_t *read = NULL;
    JsonWriter w = JSON_WRITER(&summary);
    Err err = {0};

    for (const char *end, *at = text; at <= text + len; at = end + 1) {
        end = memchr(at, '\n', (size_t)(text + len - at));
        end = end ? end : text + len;
        nix_log_line(&log, at, (size_t)(end - at), 1, &out);
    }
    jw_object(&w, NULL);
    nix_log_summary(&log, &w);
    jw_end_object(&w);
    if (json_read(summary.data, summary.len, &read, &err) < 0)
        abort();
}

static void fuzz_ignore(const void *mem, const char *text) {
    Ignore ignore;

    ignore_read(text, mem, &ignore);
    ignore_match(&ignore, "a/b/c.log");
    ignore_match(&ignore, text);
}

static void fuzz_login(const void *mem, const char *text) {
    char *header;
    Err err = {0};

    if (login_header(mem, text, "registry.example.com:5000/a", &header, &err) == 0 && strpbrk(header, "\r\n"))
        abort();
    if (login_config_header(mem, text, &header, &err) == 0 && strpbrk(header, "\r\n"))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    char *text;

    if (size < 1 || size > 4096)
        return 0;
    text = mem_strndup(mem, (const char *)data + 1, size - 1);
    if (data[0] % 4 == 0)
        fuzz_trace(mem, (const char *)data + 1, size - 1);
    else if (data[0] % 4 == 1)
        fuzz_nix(mem, text, strlen(text));
    else if (data[0] % 4 == 2)
        fuzz_ignore(mem, text);
    else
        fuzz_login(mem, text);
    return 0;
}
