/* One file out of a multipart/form-data body (RFC 7578) as it comes, without keeping the rest of it. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

typedef struct Multipart Multipart;

/* names: of the parts that may be the file, NULL-terminated; the first that comes is taken. max: its bytes.
 * ERR_UNSUPPORTED: the content type is another, or names no boundary. In mem. */
_must_check_ int multipart_new(const void *mem, const char *content_type, const char *const *names,
                               size_t max, Multipart **ret, Err *err);
/* ERR_TOO_LARGE, ERR_INVALID. */
_must_check_ int multipart_feed(Multipart *m, const void *data, size_t len, Err *err);
/* After the last byte. ERR_INVALID: cut off, or none of the names was there. Owned by m; filename may be "".
 */
_must_check_ int multipart_file(const Multipart *m, const char **ret_filename, const Buf **ret_content,
                                Err *err);
