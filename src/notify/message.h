/* Inside the room: what is said. */
#pragma once

#include "base/json.h"
#include "store/notice.h"
#include "store/pipeline.h"

/* A build that something is to be said of. */
typedef struct Subject {
    const Build *build;
    const Execution *execution; /* NULL: of no stored pipeline */
    const char *moment;         /* "start", "success", "failure" */
    const char *url;            /* of the build's page */
} Subject;

/* "hello #7 failed: job test: exit status 1", in mem. */
const char *message_line(const Subject *s, const void *mem);
/* Some lines more, for mail. */
const char *message_text(const Subject *s, const void *mem);
/* The body for a webhook of somebody's own. */
void message_json(const Subject *s, Buf *out);
/* For chats that take Slack's form: {"text":…}, with a channel (NULL: none). */
void message_chat(const Subject *s, const char *channel, Buf *out);
/* A commit's status, as GitHub takes it. */
void message_status(const Subject *s, Buf *out);
