/* Credentials of registries, out of the text of a Docker config.json:
 * {"auths": {"registry.example.com": {"auth": "<base64 of user:password>"}}}. */
#include "base/str.h"
#include "executor/docker.h"

#define HUB "docker.io"
#define HUB_KEY "https://index.docker.io/v1/" /* how docker login writes it */
#define AUTH_MAX 8192

/* The first component is a host when it looks like one (the rule of Docker's own reference package). */
char *login_registry(const void *mem, const char *image) {
    size_t len = strcspn(image, "/");
    char *first = mem_strndup(mem, image, len);

    if (image[len] == '/' && (strpbrk(first, ".:") || str_eq(first, "localhost")))
        return first;
    talloc_free(first);
    return mem_strdup(mem, HUB);
}

static bool is_host(const char *text, size_t len, const char *host) {
    return strlen(host) == len && strncmp(text, host, len) == 0;
}

/* "https://registry.example.com/v1/" is the host, too. */
static bool is_key_of(const char *key, const char *registry) {
    const char *scheme = strstr(key, "://"), *host = scheme ? scheme + 3 : key;
    size_t len = strcspn(host, "/");

    if (str_eq(registry, HUB) && is_host(host, len, "index.docker.io"))
        return true;
    return is_host(host, len, registry);
}

static int read_auths(const char *login, json_t **ret_root, json_t **ret_auths, Err *err) {
    Err ignored;
    int r = json_read(login, strlen(login), ret_root, &ignored);

    if (r == 0)
        r = json_opt_object(*ret_root, "auths", ret_auths, &ignored);
    /* what jansson says could have a piece of the secret in it */
    if (r < 0)
        return err_set(err, ERR_INVALID, "DOCKER_AUTH_CONFIG is not a Docker config.json with \"auths\"");
    return 0;
}

static const char *text_of(const json_t *entry, const char *key) {
    const char *text = json_string_value(json_object_get(entry, key));

    return text ? text : "";
}

/* {"username", "password", "identitytoken", "serveraddress"}: what the engine takes. */
static void write_auth(JsonWriter *w, const char *key, const json_t *entry, const char *server) {
    char plain[AUTH_MAX];
    const char *auth = text_of(entry, "auth"), *user = text_of(entry, "username"),
               *password = text_of(entry, "password");
    ssize_t len = str_base64_decode(auth, strlen(auth), plain, sizeof(plain) - 1);
    char *colon;

    plain[MAX(len, 0)] = '\0';
    colon = strchr(plain, ':');
    if (colon) {
        *colon = '\0';
        user = plain;
        password = colon + 1;
    }
    jw_object(w, key);
    jw_str(w, "username", user);
    jw_str(w, "password", password);
    jw_str(w, "identitytoken", text_of(entry, "identitytoken"));
    jw_str(w, "serveraddress", server);
    jw_end_object(w);
}

/* Base64 with the URL's alphabet, which the engine wants here. */
static char *header(const void *mem, const char *name, const Buf *json) {
    char *text = str_base64_encode(mem, json->data, json->len);

    for (char *c = text; *c; c++)
        *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
    return mem_printf(mem, "%s: %s", name, text);
}

/* The entry for an image's registry; NULL: none. */
static json_t *entry_for(json_t *auths, const char *registry) {
    json_t *entry, *found = NULL;
    const char *key;

    json_object_foreach (auths, key, entry)
        if (is_key_of(key, registry))
            found = entry;
    return found;
}

bool login_has(const char *login, const char *image) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    _cleanup_json_ json_t *root = NULL;
    json_t *auths = NULL;
    Err ignored;

    return login && read_auths(login, &root, &auths, &ignored) == 0 &&
           entry_for(auths, login_registry(mem, image));
}

int login_header(const void *mem, const char *login, const char *image, char **ret, Err *err) {
    _cleanup_json_ json_t *root = NULL;
    _cleanup_buf_ Buf out = BUF_INIT;
    const char *registry = login_registry(mem, image);
    json_t *auths = NULL, *found;
    JsonWriter w = JSON_WRITER(&out);
    int r = login ? read_auths(login, &root, &auths, err) : 0;

    if (r < 0)
        return r;
    found = entry_for(auths, registry);
    if (found)
        write_auth(&w, NULL, found, str_eq(registry, HUB) ? HUB_KEY : registry);
    else
        buf_adds(&out, "{}");
    *ret = header(mem, "X-Registry-Auth", &out);
    return 0;
}

int login_config_header(const void *mem, const char *login, char **ret, Err *err) {
    _cleanup_json_ json_t *root = NULL;
    _cleanup_buf_ Buf out = BUF_INIT;
    json_t *auths = NULL, *entry;
    JsonWriter w = JSON_WRITER(&out);
    const char *key;
    int r = login ? read_auths(login, &root, &auths, err) : 0;

    if (r < 0)
        return r;
    jw_object(&w, NULL);
    json_object_foreach (auths, key, entry)
        write_auth(&w, key, entry, key);
    jw_end_object(&w);
    *ret = header(mem, "X-Registry-Config", &out);
    return 0;
}
