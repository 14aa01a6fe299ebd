#include "http/mail.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"
#include "http/curl_lib.h"
#include <ctype.h>
#include <time.h>

#define TO_MAX 50

typedef struct Outgoing {
    Buf text;
    size_t sent;
} Outgoing;

static size_t give(char *buf, size_t one, size_t count, void *arg) {
    Outgoing *o = arg;
    size_t len = MIN(one * count, o->text.len - o->sent);

    memcpy(buf, o->text.data + o->sent, len);
    o->sent += len;
    return len;
}

/* One "@", and nothing that could end a line or begin another command (RFC 5321, section 4.1.2, without the
 * forms in quotes). */
static bool is_address(const char *text) {
    const char *at = strchr(text, '@');

    if (!at || at == text || !at[1] || strchr(at + 1, '@') || strlen(text) > 254)
        return false;
    for (const char *p = text; *p; p++)
        if (!isgraph((unsigned char)*p) || strchr("<>(),;:\\\"[]", *p))
            return false;
    return true;
}

static void free_list(struct curl_slist **list) {
    if (*list)
        curl_lib.curl_slist_free_all(*list);
}

/* The next of the addresses at *at, in mem; NULL behind the last one. */
static const char *next_recipient(const char **at, const void *mem) {
    const char *one = *at + strspn(*at, ", ");
    size_t len = strcspn(one, ", ");

    *at = one + len;
    return len ? mem_strndup(mem, one, len) : NULL;
}

static int check_recipients(const char *to, const void *mem, Err *err) {
    const char *one;
    size_t count = 0;

    while ((one = next_recipient(&to, mem)))
        if (!is_address(one) || ++count > TO_MAX)
            return err_set(err, ERR_INVALID, "\"%.60s\" is not an address for mail", one);
    return count ? 0 : err_set(err, ERR_INVALID, "no address for mail");
}

bool mail_is_to(const char *to) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    Err unused;

    return check_recipients(to, mem, &unused) == 0;
}

static int add_recipients(const char *to, struct curl_slist **list, const void *mem, Err *err) {
    const char *one;
    int r = check_recipients(to, mem, err);

    while (r == 0 && (one = next_recipient(&to, mem)))
        *list = curl_lib.curl_slist_append(*list, mem_printf(mem, "<%s>", one));
    return r;
}

/* Letters outside ASCII and line ends: as an encoded word (RFC 2047), in pieces of whole characters. */
static void add_subject(Buf *out, const char *subject) {
    size_t in_word = 0;
    bool plain = true;

    for (const char *p = subject; *p; p++)
        plain = plain && (unsigned char)*p >= ' ' && (unsigned char)*p < 0x7f;
    buf_adds(out, "Subject: ");
    if (plain) {
        buf_addf(out, "%.400s\r\n", subject);
        return;
    }
    for (const unsigned char *p = (const unsigned char *)subject; *p; p++) {
        if (in_word == 0)
            buf_adds(out, "=?UTF-8?Q?");
        if (isalnum(*p))
            buf_addc(out, (char)*p);
        else
            buf_addf(out, "=%02X", *p);
        in_word += 3;
        if (in_word > 45 && (p[1] & 0xc0) != 0x80) {
            buf_adds(out, "?=\r\n ");
            in_word = 0;
        }
    }
    buf_adds(out, in_word ? "?=\r\n" : "\r\n");
}

/* Lines end with CRLF; libcurl doubles dots itself. */
static void add_text(Buf *out, const char *text) {
    for (const char *p = text; *p; p++) {
        if (*p == '\n')
            buf_adds(out, "\r\n");
        else if (*p != '\r')
            buf_addc(out, *p);
    }
    buf_adds(out, "\r\n");
}

static void write_mail(const MailServer *server, const Mail *mail, Buf *out) {
    time_t now = (time_t)(clock_now() / US_PER_S);
    const char *domain = strchr(server->from, '@');
    char date[64];
    struct tm tm;

    gmtime_r(&now, &tm);
    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S +0000", &tm);
    buf_addf(out, "Date: %s\r\nFrom: Pelton <%s>\r\nTo: %s\r\n", date, server->from, mail->to);
    buf_addf(out, "Message-ID: <%s%s>\r\n", mail->id, domain ? domain : "@pelton");
    add_subject(out, mail->subject);
    buf_adds(out, "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
                  "Content-Transfer-Encoding: 8bit\r\nAuto-Submitted: auto-generated\r\n\r\n");
    add_text(out, mail->text);
}

static int failure(CURLcode code, long status, Err *err) {
    const char *why = curl_lib.curl_easy_strerror(code);

    if (code == CURLE_OPERATION_TIMEDOUT)
        return err_set(err, ERR_TIMEOUT, "the mail server did not answer in time");
    if (status >= 500)
        return err_set(err, ERR_FORBIDDEN, "the mail server refused: %ld: %s", status, why);
    return err_set(
        err, code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST ? ERR_UNAVAILABLE : ERR_IO,
        "mail server: %s", why);
}

static int perform(const MailServer *server, struct curl_slist *to, Outgoing *o, int64_t timeout_us,
                   Err *err) {
    _cleanup_talloc_ char *from = mem_printf(NULL, "<%s>", server->from);
    CURL *e = curl_lib.curl_easy_init();
    long status = 0;
    CURLcode code;

    if (!e)
        abort();
    curl_lib.curl_easy_setopt(e, CURLOPT_URL, server->url);
    curl_lib.curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    curl_lib_trust(e);
    curl_lib.curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_lib.curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)(timeout_us / US_PER_MS));
    curl_lib.curl_easy_setopt(e, CURLOPT_USE_SSL, (long)(server->user ? CURLUSESSL_ALL : CURLUSESSL_TRY));
    curl_lib.curl_easy_setopt(e, CURLOPT_MAIL_FROM, from);
    curl_lib.curl_easy_setopt(e, CURLOPT_MAIL_RCPT, to);
    curl_lib.curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
    curl_lib.curl_easy_setopt(e, CURLOPT_READFUNCTION, give);
    curl_lib.curl_easy_setopt(e, CURLOPT_READDATA, o);
    if (server->user) {
        curl_lib.curl_easy_setopt(e, CURLOPT_USERNAME, server->user);
        curl_lib.curl_easy_setopt(e, CURLOPT_PASSWORD, server->password ? server->password : "");
    }
    code = curl_lib.curl_easy_perform(e);
    curl_lib.curl_easy_getinfo(e, CURLINFO_RESPONSE_CODE, &status);
    curl_lib.curl_easy_cleanup(e);
    return code == CURLE_OK ? 0 : failure(code, status, err);
}

int mail_send(const MailServer *server, const Mail *mail, int64_t timeout_us, Err *err) {
    _cleanup_(free_list) struct curl_slist *to = NULL;
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    Outgoing o = {0};
    int r = curl_lib_load(err);

    if (r >= 0 && !is_address(server->from))
        r = err_set(err, ERR_INVALID, "\"%.60s\" is not an address to send mail from", server->from);
    if (r >= 0)
        r = add_recipients(mail->to, &to, mem, err);
    if (r < 0)
        return r;
    write_mail(server, mail, &o.text);
    r = perform(server, to, &o, timeout_us, err);
    buf_done(&o.text);
    return r;
}
