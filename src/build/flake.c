#include "build/flake.h"

#include "base/file.h"
#include "base/json.h"
#include "base/str.h"

#define SUMMARY_PATH ARTIFACTS_OWN "nix-summary.json"
#define SUMMARY_MAX INT64_C(8 * 1024 * 1024)

static int read_summary(Builds *b, const Artifact *a, json_t **ret, Err *err) {
    _cleanup_close_ int fd = -1;
    _cleanup_buf_ Buf text = BUF_INIT;
    int r = blob_object_open(b->blob, a->sha256, (uint64_t)a->size, &fd, err);

    if (r >= 0)
        r = file_read_open(fd, a->path, (size_t)SUMMARY_MAX, &text, err);
    return r < 0 ? r : json_read(buf_str(&text), text.len, ret, err);
}

/* A job could have written it itself: what is no summary is as none. */
const char *flake_offers(Builds *b, const Artifact *artifact, const void *mem) {
    _cleanup_json_ json_t *summary = NULL;
    _cleanup_free_ char *text = NULL;
    const json_t *flake;
    Err ignored;

    if (!str_eq(artifact->path, SUMMARY_PATH) || artifact->size > SUMMARY_MAX ||
        read_summary(b, artifact, &summary, &ignored) < 0)
        return NULL;
    flake = json_object_get(summary, "flake");
    text = json_is_object(flake) ? json_dumps(flake, JSON_COMPACT) : NULL;
    return text ? mem_strdup(mem, text) : NULL;
}
