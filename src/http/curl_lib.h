/* libcurl, loaded when it is first needed: it and the libraries behind it cost more to load than a whole job
 * does. */
#pragma once

#include "base/err.h"
#include <curl/curl.h>

#define CURL_FUNCTIONS(X)                                                                                    \
    X(curl_global_init)                                                                                      \
    X(curl_easy_init)                                                                                        \
    X(curl_easy_setopt)                                                                                      \
    X(curl_easy_getinfo)                                                                                     \
    X(curl_easy_perform)                                                                                     \
    X(curl_easy_reset)                                                                                       \
    X(curl_easy_cleanup)                                                                                     \
    X(curl_easy_strerror)                                                                                    \
    X(curl_multi_init)                                                                                       \
    X(curl_multi_cleanup)                                                                                    \
    X(curl_multi_add_handle)                                                                                 \
    X(curl_multi_remove_handle)                                                                              \
    X(curl_multi_perform)                                                                                    \
    X(curl_multi_poll)                                                                                       \
    X(curl_multi_info_read)                                                                                  \
    X(curl_slist_append)                                                                                     \
    X(curl_slist_free_all)

/* the checking macros of curl.h stand in the way of pointers of these names */
#undef curl_easy_setopt
#undef curl_easy_getinfo

typedef struct CurlLib {
#define CURL_FIELD(name) __typeof__(name) *name;
    CURL_FUNCTIONS(CURL_FIELD)
#undef CURL_FIELD
} CurlLib;

/* Filled in by curl_lib_load, then only read. */
extern CurlLib curl_lib;
/* ERR_UNSUPPORTED: it is not installed. Any thread. */
_must_check_ int curl_lib_load(Err *err);
/* Whose certificates are believed: SSL_CERT_FILE's and SSL_CERT_DIR's, as OpenSSL and most programs have it;
 * libcurl itself reads neither. Where one is not set, the machine's own. */
void curl_lib_trust(CURL *e);
