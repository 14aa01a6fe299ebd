#include "http/curl_lib.h"

#include "base/str.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>

CurlLib curl_lib;

static pthread_once_t lib_once = PTHREAD_ONCE_INIT;
static const char *lib_failure;

static void load(void) {
    void *handle = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);

    if (!handle) {
        lib_failure = "libcurl.so.4 is not installed (Debian: libcurl4)";
        return;
    }
#define LOAD(name)                                                                                           \
    *(void **)&curl_lib.name = dlsym(handle, #name);                                                         \
    if (!curl_lib.name)                                                                                      \
        lib_failure = "libcurl.so.4 is too old: it has no " #name;
    CURL_FUNCTIONS(LOAD)
#undef LOAD
    if (!lib_failure && curl_lib.curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        lib_failure = "libcurl cannot be initialised";
}

int curl_lib_load(Err *err) {
    pthread_once(&lib_once, load);
    return lib_failure ? err_set(err, ERR_UNSUPPORTED, "%s", lib_failure) : 0;
}

void curl_lib_trust(CURL *e) {
    const char *file = getenv("SSL_CERT_FILE"), *folder = getenv("SSL_CERT_DIR");

    if (!str_empty(file))
        curl_lib.curl_easy_setopt(e, CURLOPT_CAINFO, file);
    if (!str_empty(folder))
        curl_lib.curl_easy_setopt(e, CURLOPT_CAPATH, folder);
}
