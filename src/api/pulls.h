/* Inside the room: builds of pull requests, asked for or told. */
#pragma once

#include "api/render.h"

#define SCHEMA_PULL                                                                                          \
    "{\"type\":\"object\",\"required\":[\"number\"],\"properties\":{\"number\":{\"type\":\"integer\","       \
    "\"minimum\":1},\"source\":{\"type\":\"string\"},\"target\":{\"type\":\"string\"},\"title\":{\"type\":"  \
    "\"string\"},\"author\":{\"type\":\"string\"},\"fork\":{\"type\":\"boolean\"},\"head\":{\"type\":"       \
    "\"string\"}}}"

/* The body's "pull_request": the request, whose project is set, is for its head: the commit that it says, or
 * refs/pull/N/head, or its source branch. ERR_INVALID names the field. Starts git. */
_must_check_ int pull_asked(HttpRequest *req, const json_t *body, const json_t *object, BuildRequest *request,
                            Err *err);
/* What the hook says of a pull request; *ret NULL: the ref is not the head of one, or it says nothing. */
_must_check_ int pull_told(HttpRequest *req, json_t *body, const char *ref, const PullRequest **ret,
                           Err *err);
/* A pull request of which no more is known than that this is its head. */
const PullRequest *pull_unknown(HttpRequest *req, const char *ref);
/* The fields of the object that is open. */
void render_pull(JsonWriter *w, const Build *build);
