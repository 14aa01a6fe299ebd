/* Says what is to be said of builds: works off the outbox (store/notice.h) in a thread of its own, so that no
 * request and no build waits for a mail server. What fails is tried again, with growing pauses; a row is done
 * when its receiver has taken it, so a crash in between may say a thing twice, and loses nothing. */
#pragma once

#include "build/build.h"
#include "http/mail.h"

typedef struct Notify Notify;

typedef struct NotifyOptions {
    MailServer mail;          /* url NULL: there is none */
    const char *const *allow; /* addresses and names of this machine and its link that may be called all the
                               * same, NULL-terminated; or NULL */
    const char *url;          /* of this server, for links */
} NotifyOptions;

/* The options' texts live longer. */
_must_check_ int notify_start(Builds *b, const NotifyOptions *options, Notify **ret, Err *err);
/* Ends what it does. NULL is fine. */
void notify_stop(Notify *n);
