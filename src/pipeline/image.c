/* Names of images, as the reference package of distribution (distribution/reference) has them. */
#include "pipeline/lang.h"

#include "base/str.h"
#include <ctype.h>

#define NAME_MAX_LEN 255
#define TAG_MAX_LEN 128
#define DIGEST_MIN_LEN 32

static bool is_lower(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* How long the separator is that stands there: ".", "_", "__" or dashes. */
static size_t separator(const char *s, size_t len) {
    size_t n = 0;

    while (n < len && s[n] == '-')
        n++;
    if (n || len == 0 || (*s != '.' && *s != '_'))
        return n;
    return *s == '_' && len > 1 && s[1] == '_' ? 2 : 1;
}

static bool is_component(const char *s, size_t len) {
    size_t i = 0;

    while (i < len && is_lower(s[i])) {
        while (i < len && is_lower(s[i]))
            i++;
        if (i == len)
            return true;
        i += separator(s + i, len - i);
    }
    return false;
}

/* The first component of several is a host when it looks like one. */
static bool is_host(const char *s, size_t len) {
    static const char localhost[] = "localhost";
    bool looks = len == sizeof(localhost) - 1 && memcmp(s, localhost, len) == 0;

    for (size_t i = 0; i < len; i++) {
        if (!isalnum((unsigned char)s[i]) && !strchr(".-:[]", s[i]))
            return false;
        looks = looks || s[i] == '.' || s[i] == ':' || isupper((unsigned char)s[i]);
    }
    return looks && s[0] != '-' && s[0] != '.' && s[0] != ':' && s[len - 1] != '.' && s[len - 1] != '-';
}

static bool is_path(const char *s, size_t len) {
    const char *slash = memchr(s, '/', len), *end = s + len;

    if (len == 0 || len > NAME_MAX_LEN)
        return false;
    if (slash && slash > s && is_host(s, (size_t)(slash - s)))
        s = slash + 1;
    for (;; s = slash + 1) {
        slash = memchr(s, '/', (size_t)(end - s));
        if (!is_component(s, (size_t)((slash ? slash : end) - s)))
            return false;
        if (!slash)
            return true;
    }
}

static bool is_tag(const char *s, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)s[i]) && s[i] != '_' && (i == 0 || (s[i] != '.' && s[i] != '-')))
            return false;
    return len > 0 && len <= TAG_MAX_LEN;
}

static bool is_digest(const char *s) {
    const char *hex = strchr(s, ':');

    return hex && hex > s && strspn(hex + 1, "0123456789abcdefABCDEF") == strlen(hex + 1) &&
           strlen(hex + 1) >= DIGEST_MIN_LEN;
}

bool lang_is_image(const char *text, bool is_new) {
    const char *digest = strchr(text, '@'), *end = digest ? digest : text + strlen(text);
    const char *slash = memrchr(text, '/', (size_t)(end - text)), *from = slash ? slash : text;
    const char *colon = memchr(from, ':', (size_t)(end - from));

    if (digest && (is_new || !is_digest(digest + 1)))
        return false;
    if (colon && !is_tag(colon + 1, (size_t)(end - colon - 1)))
        return false;
    return is_path(text, (size_t)((colon ? colon : end) - text));
}
