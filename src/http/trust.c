#include "base/file.h"
#include "base/str.h"
#include "http/client.h"
#include <errno.h>
#include <stdlib.h>

#define FILE_MAX ((size_t)16 << 20)

int http_trust_file(const void *mem, const char *file, const char **ret_file, Err *err) {
    _cleanup_buf_ Buf text = BUF_INIT;
    _cleanup_free_ char *path = realpath(file, NULL);
    int r;

    if (!path)
        return err_errno(err, "CA file %s", file);
    r = file_read(path, FILE_MAX, &text, err);
    if (r < 0)
        return err_wrap(err, "CA file");
    if (!strstr(buf_str(&text), "-----BEGIN CERTIFICATE-----"))
        return err_set(err, ERR_INVALID,
                       "CA file %s: no certificate in it; expected PEM, with -----BEGIN CERTIFICATE-----",
                       path);
    if (setenv("SSL_CERT_FILE", path, 1) < 0)
        return err_errno(err, "CA file %s", path);
    *ret_file = mem_strdup(mem, path);
    return 0;
}
