/* https://, by libcurl. */
#include "base/clock.h"
#include "base/str.h"
#include "http/client_impl.h"
#include "http/curl_lib.h"
#include <sys/socket.h>

typedef struct CurlState {
    CURL *easy;
    CURLM *multi;
    char why[CURL_ERROR_SIZE]; /* what libcurl says of the call's failure */
} CurlState;

typedef struct CurlExchange {
    HttpClient *client;
    HttpCall *call;
    CallSink sink;
    size_t sent;
    int64_t deadline;
    int64_t idle_at; /* when on_idle is due, if nothing comes until then */
    bool allowed;    /* an address that may be spoken with was tried */
    int r;           /* a callback's failure, with *err */
    Err *err;
} CurlExchange;

static void progress(CurlExchange *x) {
    int64_t now = clock_mono();

    if (x->call->stream && x->call->timeout_us)
        x->deadline = now + x->call->timeout_us;
    x->idle_at = now + x->call->idle_us;
}

static size_t on_write(char *data, size_t one, size_t len, void *arg) {
    CurlExchange *x = arg;
    const char *type = NULL;
    long status = 0;

    curl_lib.curl_easy_getinfo(x->client->curl->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_lib.curl_easy_getinfo(x->client->curl->easy, CURLINFO_CONTENT_TYPE, &type);
    if (!x->call->answer_type)
        client_set_type(x->client, x->call, type);
    progress(x);
    x->r = client_take(&x->sink, (int)status, data, one * len, x->err);
    return x->r < 0 ? 0 : one * len;
}

static size_t on_read(char *buf, size_t one, size_t count, void *arg) {
    CurlExchange *x = arg;
    size_t size = x->call->trailer ? one * count : MIN(one * count, x->call->body_len - x->sent);
    ssize_t n;

    progress(x);
    if (size == 0)
        return 0;
    if (x->call->body) {
        memcpy(buf, (const char *)x->call->body + x->sent, size);
        n = (ssize_t)size;
    } else {
        n = x->call->body_read(x->call->arg, buf, size, x->err);
        if (n == 0 && !x->call->trailer)
            n = err_set(x->err, ERR_INVALID, "the body ended too early");
    }
    if (n < 0) {
        x->r = (int)n;
        return CURL_READFUNC_ABORT;
    }
    x->sent += (size_t)n;
    return (size_t)n;
}

static struct curl_slist *add(struct curl_slist *list, const char *line) {
    struct curl_slist *longer = curl_lib.curl_slist_append(list, line);

    if (!longer)
        abort();
    return longer;
}

static int on_trailer(struct curl_slist **list, void *arg) {
    CurlExchange *x = arg;

    *list = add(*list, x->call->trailer(x->call->arg));
    return CURL_TRAILERFUNC_OK;
}

static int on_seek(void *arg, curl_off_t offset, int origin) {
    CurlExchange *x = arg;

    if (!x->call->body || origin != SEEK_SET)
        return CURL_SEEKFUNC_CANTSEEK;
    x->sent = (size_t)offset;
    return CURL_SEEKFUNC_OK;
}

static struct curl_slist *make_headers(const HttpClient *c, const HttpCall *call) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    struct curl_slist *list = add(NULL, "Expect:");

    if (c->token)
        list = add(list, mem_printf(mem, "Authorization: Bearer %s", c->token));
    list = add(list, call->content_type ? mem_printf(mem, "Content-Type: %s", call->content_type)
                                        : "Content-Type:");
    if (call->trailer)
        list = add(list, "Transfer-Encoding: chunked");
    for (size_t i = 0; call->headers && call->headers[i]; i++)
        list = add(list, call->headers[i]);
    return list;
}

/* libcurl asks for a socket for each address that it tries. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address) {
    CurlExchange *x = arg;
    const HttpGuard *guard = &x->client->wire.guard;

    if (guard->allow && !guard->allow(guard->arg, &address->addr)) {
        if (!x->allowed) /* else that one's failure is what there is to tell */
            x->r = err_set(x->err, ERR_FORBIDDEN, "this address is not allowed");
        return CURL_SOCKET_BAD;
    }
    x->allowed = true;
    x->r = 0; /* this one may be spoken with, whatever another of the name's addresses is */
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static void set_body(CurlExchange *x) {
    CURL *e = x->client->curl->easy;
    const HttpCall *call = x->call;

    curl_lib.curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
    curl_lib.curl_easy_setopt(e, CURLOPT_INFILESIZE_LARGE,
                              call->trailer ? (curl_off_t)-1 : (curl_off_t)call->body_len);
    curl_lib.curl_easy_setopt(e, CURLOPT_READFUNCTION, on_read);
    curl_lib.curl_easy_setopt(e, CURLOPT_READDATA, x);
    curl_lib.curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, on_seek);
    curl_lib.curl_easy_setopt(e, CURLOPT_SEEKDATA, x);
    if (call->trailer) {
        curl_lib.curl_easy_setopt(e, CURLOPT_TRAILERFUNCTION, on_trailer);
        curl_lib.curl_easy_setopt(e, CURLOPT_TRAILERDATA, x);
    }
}

/* HTTP/1.1 also where the peer has HTTP/2: one call at a time gains nothing by that, and libcurl sends
 * trailers in chunks only (CURLOPT_TRAILERFUNCTION(3)). */
static void set_options(CurlExchange *x, const char *url, struct curl_slist *headers) {
    CURL *e = x->client->curl->easy;
    HttpCall *call = x->call;
    bool body = call->body || call->body_read || call->body_len || strcmp(call->method, "POST") == 0 ||
                strcmp(call->method, "PUT") == 0 || strcmp(call->method, "PATCH") == 0;

    curl_lib.curl_easy_setopt(e, CURLOPT_URL, url);
    curl_lib.curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "https");
    curl_lib.curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_lib_trust(e);
    curl_lib.curl_easy_setopt(e, CURLOPT_ERRORBUFFER, x->client->curl->why);
    curl_lib.curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_lib.curl_easy_setopt(e, CURLOPT_HTTPHEADER, headers);
    curl_lib.curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_write);
    curl_lib.curl_easy_setopt(e, CURLOPT_WRITEDATA, x);
    curl_lib.curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_lib.curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, x);
    if (body)
        set_body(x);
    if (strcmp(call->method, "HEAD") == 0)
        curl_lib.curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
    curl_lib.curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, call->method);
}

/* ---- what went wrong ---- */

/* The words are OpenSSL's, which know best, and name what the certificate has. */
static int distrusted(CurlExchange *x, const char *why, Err *err) {
    static const struct {
        const char *words, *advice;
    } advices[] = {
        {"subject name", "Ask for the server by a name that its certificate has"},
        {"expired", "Renew it at the server; if it is good, set this machine's clock"},
        {"not yet valid", "Set this machine's clock"},
        {"", "If the server's CA is your own, name the file of its certificate: --ca-file FILE, "
             "PELTON_CA_FILE or SSL_CERT_FILE"},
    };
    size_t i = 0;

    x->call->untrusted = true;
    while (!strstr(why, advices[i].words))
        i++;
    return err_set_(err, ERR_HERE, ERR_UNAVAILABLE, CURLE_PEER_FAILED_VERIFICATION,
                    "the certificate is not accepted, and nothing was sent: %s. %s", why, advices[i].advice);
}

/* A server without TLS hangs up, or says what is no TLS, as it comes; only one with TLS sends an alert. */
static int no_tls(CurlExchange *x, const char *why, Err *err) {
    x->call->untrusted = true;
    return err_set_(err, ERR_HERE, ERR_UNAVAILABLE, CURLE_SSL_CONNECT_ERROR,
                    "no TLS with what answers there, and nothing was sent: %s%s", why,
                    strstr(why, "alert") || x->client->answered ? "" : ". Is its address http://?");
}

static int curl_failure(CurlExchange *x, CURLcode code, Err *err) {
    const char *why = x->client->curl->why[0] ? x->client->curl->why : curl_lib.curl_easy_strerror(code);

    switch (code) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
        return err_set_(err, ERR_HERE, ERR_UNAVAILABLE, (int)code, "%s", why);
    case CURLE_SSL_CONNECT_ERROR:
        return no_tls(x, why, err);
    case CURLE_PEER_FAILED_VERIFICATION:
        return distrusted(x, why, err);
    case CURLE_SSL_CACERT_BADFILE:
        return err_set_(err, ERR_HERE, ERR_INVALID, (int)code, "%s", why);
    case CURLE_OPERATION_TIMEDOUT:
        return err_set_(err, ERR_HERE, ERR_TIMEOUT, (int)code, "no answer in time");
    default:
        return err_set_(err, ERR_HERE, ERR_IO, (int)code, "%s", why);
    }
}

/* Waits until something can go on. */
static int wait_multi(CurlExchange *x, Err *err) {
    struct curl_waitfd extra = {.fd = x->client->wire.interrupt_fd, .events = CURL_WAIT_POLLIN};
    int64_t now = clock_mono(), left = x->deadline ? x->deadline - now : 60 * US_PER_S;
    uint64_t count;

    if (left <= 0)
        return err_set(err, ERR_TIMEOUT, "no answer in time");
    if (x->call->on_idle && now >= x->idle_at) {
        x->call->on_idle(x->call->arg);
        x->idle_at = clock_mono() + x->call->idle_us;
    }
    if (x->call->on_idle)
        left = MAX(MIN(left, x->idle_at - now), (int64_t)0);
    curl_lib.curl_multi_poll(x->client->curl->multi, &extra, 1, (int)MIN(left / 1000 + 1, INT64_C(60000)),
                             NULL);
    if (read(x->client->wire.interrupt_fd, &count, sizeof(count)) > 0)
        return err_set(err, ERR_CANCELLED, "interrupted");
    return 0;
}

static int run_multi(CurlExchange *x, Err *err) {
    CURLM *multi = x->client->curl->multi;
    int running = 1, queued, r;

    while (curl_lib.curl_multi_perform(multi, &running) == CURLM_OK && running) {
        r = wait_multi(x, err);
        if (r < 0)
            return r;
    }
    for (CURLMsg *m; (m = curl_lib.curl_multi_info_read(multi, &queued));)
        if (m->msg == CURLMSG_DONE && m->data.result != CURLE_OK)
            return x->r < 0 ? x->r : curl_failure(x, m->data.result, err);
    return 0;
}

static int prepare(HttpClient *c, Err *err) {
    int r = curl_lib_load(err);

    if (r < 0)
        return r;
    if (c->curl) {
        curl_lib.curl_easy_reset(c->curl->easy);
        return 0;
    }
    c->curl = mem_new(c, CurlState);
    c->curl->easy = curl_lib.curl_easy_init();
    c->curl->multi = curl_lib.curl_multi_init();
    if (!c->curl->easy || !c->curl->multi)
        abort();
    return 0;
}

int curl_call(HttpClient *c, HttpCall *call, Err *err) {
    CurlExchange x = {.client = c, .call = call, .err = err};
    _cleanup_talloc_ char *url = mem_printf(NULL, "%s%s", c->url, call->path);
    struct curl_slist *headers;
    const char *type = NULL;
    long status = 0;
    int r = prepare(c, err);

    if (r < 0)
        return r;
    x.sink = (CallSink){call, call->max_answer ? call->max_answer : (size_t)16 * 1024 * 1024};
    x.deadline = call->timeout_us ? clock_mono() + call->timeout_us : 0;
    progress(&x);
    headers = make_headers(c, call);
    c->curl->why[0] = '\0';
    set_options(&x, url, headers);
    curl_lib.curl_multi_add_handle(c->curl->multi, c->curl->easy);
    r = run_multi(&x, err);
    curl_lib.curl_easy_getinfo(c->curl->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_lib.curl_easy_getinfo(c->curl->easy, CURLINFO_CONTENT_TYPE, &type);
    call->status = (int)status;
    client_set_type(c, call, type);
    curl_lib.curl_multi_remove_handle(c->curl->multi, c->curl->easy);
    curl_lib.curl_slist_free_all(headers);
    return r < 0 ? err_wrap(err, "%s", c->url) : 0;
}

void curl_done(HttpClient *c) {
    curl_lib.curl_easy_cleanup(c->curl->easy);
    curl_lib.curl_multi_cleanup(c->curl->multi);
    c->curl = NULL;
}

void curl_forget(HttpClient *c) {
    c->curl = NULL; /* what libcurl holds is the parent's; the child leaves it alone */
}
