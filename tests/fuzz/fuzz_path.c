/* Paths and patterns from outside: percent-decoding, the path check, the glob. The input is a pattern, a line
 * feed, and a path. */
#include "base/file.h"
#include "base/str.h"
#include "fuzz.h"

#include <assert.h>
#include <string.h>

/* What file_check_path says, said in another way. */
static bool is_safe(const char *path) {
    size_t len = strlen(path);
    _cleanup_talloc_ char *framed = mem_printf(NULL, "/%s/", path);

    for (size_t i = 0; i < len; i++)
        if ((unsigned char)path[i] < 0x20 || path[i] == 0x7f)
            return false;
    return len > 0 && len <= 1024 && !strstr(framed, "//") && !strstr(framed, "/./") &&
           !strstr(framed, "/../") && str_utf8_valid(path, len);
}

static void check_decoding(const char *text) {
    _cleanup_talloc_ char *encoded = str_url_encode(NULL, text, true);
    _cleanup_talloc_ char *decoded = mem_strdup(NULL, text);

    if (str_url_decode(decoded))
        assert(strlen(decoded) <= strlen(text) && is_safe(decoded) == (file_check_path(decoded, NULL) == 0));
    assert(str_url_decode(encoded));
    assert(str_eq(encoded, text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _cleanup_talloc_ char *input = mem_strndup(NULL, size ? (const char *)data : "", size);
    char *path = strchr(input, '\n');

    if (!path)
        path = input + strlen(input);
    else
        *path++ = '\0';
    assert(is_safe(path) == (file_check_path(path, NULL) == 0));
    check_decoding(path);
    if (str_glob(input, path))
        assert(str_glob("**", path));
    if (strlen(input) <= 1024 && !strpbrk(input, "*?[\\"))
        assert(str_glob(input, path) == str_eq(input, path));
    return 0;
}
