#include "base/file.h"
#include "base/sha256.h"
#include "base/str.h"
#include "runner/process.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#define LOOK_UP_EVERY (1 << 20) /* bytes: whether the job is to end meanwhile */
#define TIMEOUT_US (INT64_C(600) * 1000000)

/* A file on its way: hashed first, then read again from its start for each try. */
typedef struct Body {
    int fd;
    int64_t at;
} Body;

static ssize_t body_read(void *arg, void *buf, size_t size, Err *err) {
    Body *b = arg;
    ssize_t len;

    do
        len = pread(b->fd, buf, size, b->at);
    while (len < 0 && errno == EINTR);
    if (len < 0)
        return err_errno(err, "read");
    b->at += len;
    return len;
}

static int body_rewind(void *arg, Err *err) {
    (void)err;
    ((Body *)arg)->at = 0;
    return 0;
}

int send_temporary(const JobProcess *j, int *ret, Err *err) {
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/jobs", j->host->o.dir);
    *ret = open(path, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    return *ret < 0 ? err_errno(err, "make a file in %s", path) : 0;
}

bool send_run(JobProcess *j, void (*fn)(void *arg), void *arg) {
    j->ran = false;
    uploader_run(j->uploader, fn, arg);
    return watch_uploader(j, &j->ran);
}

static int hash_file(Uploader *u, int fd, char hex[SHA256_HEX], int64_t *ret_size, Err *err) {
    static unsigned char buffer[64 * 1024];
    Sha256 state;
    int64_t size = 0;
    ssize_t len;

    sha256_init(&state);
    while ((len = pread(fd, buffer, sizeof(buffer), size)) != 0) {
        if (len < 0 && errno == EINTR)
            continue;
        if (len < 0)
            return err_errno(err, "read");
        sha256_add(&state, buffer, (size_t)len);
        size += len;
        if (size % LOOK_UP_EVERY == 0 && uploader_go_on(u, err) < 0)
            return -(int)err->code;
    }
    sha256_end_hex(&state, hex);
    *ret_size = size;
    return 0;
}

int send_file(Uploader *u, const char *path, int fd, int64_t *ret_size, int *ret_status, Err *err) {
    char hex[SHA256_HEX], header[96];
    const char *headers[] = {header, NULL};
    Body body = {.fd = fd};
    int64_t size = 0;
    HttpCall call = {
        .method = "PUT",
        .path = path,
        .content_type = "application/octet-stream",
        .body_read = body_read,
        .arg = &body,
        .headers = headers,
        .timeout_us = TIMEOUT_US,
    };
    int r = hash_file(u, fd, hex, &size, err);

    if (r < 0)
        return r;
    call.body_len = (size_t)size;
    snprintf(header, sizeof(header), "X-Content-SHA256: %s", hex);
    r = uploader_call(u, &call, body_rewind, err);
    if (r == 0 && call.status / 100 != 2)
        r = http_call_check(&call, err);
    buf_done(&call.answer);
    *ret_size = size;
    *ret_status = call.status;
    return r;
}

/* ---- fetching ---- */

typedef struct Incoming {
    int fd;
    int64_t size, came;
    Checksum sum;
    Err broken; /* code 0: it can be kept */
} Incoming;

static int take(void *arg, const void *data, size_t len) {
    Incoming *in = arg;

    in->came += (int64_t)len;
    checksum_add(&in->sum, data, len);
    return in->came <= in->size ? file_write_all(in->fd, data, len, &in->broken) : 0;
}

static int take_again(void *arg, Err *err) {
    Incoming *in = arg;

    if (in->broken.code) {
        *err = in->broken;
        return err_wrap(err, "keep what came");
    }
    in->came = 0;
    checksum_init(&in->sum, in->sum.kind);
    if (lseek(in->fd, 0, SEEK_SET) < 0 || ftruncate(in->fd, 0) < 0)
        return err_errno(err, "empty a file");
    return 0;
}

static int check_whole(Incoming *in, const FetchFile *file, Err *err) {
    int r = 0;

    if (file->checksum && in->came != file->size)
        r = err_set(err, ERR_INVALID, "%lld bytes, expected %lld", (long long)in->came,
                    (long long)file->size);
    else if (file->checksum)
        r = checksum_check(&in->sum, file->checksum, err);
    return r < 0 ? err_wrap(err, "what came is damaged") : 0;
}

int fetch_file(Uploader *u, const FetchFile *file, int fd, Err *err) {
    Incoming in = {.fd = fd, .size = file->checksum ? file->size : INT64_MAX, .sum = {.kind = file->kind}};
    HttpCall call = {
        .method = "GET", .path = file->path, .on_data = take, .arg = &in, .timeout_us = TIMEOUT_US};
    int r = take_again(&in, err);

    if (r == 0)
        r = uploader_call(u, &call, take_again, err);
    if (r == 0)
        r = http_call_check(&call, err);
    buf_done(&call.answer);
    return r < 0 ? r : check_whole(&in, file, err);
}
