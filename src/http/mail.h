/* Mail by SMTP (libcurl, loaded when it is first needed). */
#pragma once

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct MailServer {
    const char *url;             /* "smtp://host:25", "smtps://host:465" */
    const char *user, *password; /* NULL: none */
    const char *from;            /* an address */
} MailServer;

typedef struct Mail {
    const char *to; /* one address, or several with commas between them */
    const char *subject, *text;
    const char *id; /* of the message, unique: the same mail sent twice can be recognised */
} Mail;

/* Whether mail can be sent to this: a Mail's `to`. */
bool mail_is_to(const char *to);

/* Blocks at most for timeout_us. ERR_INVALID: an address that is none. ERR_UNAVAILABLE, ERR_TIMEOUT, ERR_IO:
 * worth another try; ERR_FORBIDDEN: the server does not want it. */
_must_check_ int mail_send(const MailServer *server, const Mail *mail, int64_t timeout_us, Err *err);
