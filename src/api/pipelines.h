/* Inside the room: what the routes of document 4's pipelines and executions share. */
#pragma once

#include "api/render.h"
#include "build/pipelines.h"

/* {"error","message","details","suggestions","status","timestamp"}. */
extern const HttpFamily family_pipelines;
/* The same for a pipeline's mistakes: the first as the message, all with their places as details. */
void reply_problems(HttpRequest *req, const PlanProblems *problems);

/* The {id} of the path: ERR_INVALID when it is no UUID. */
_must_check_ int pipeline_param(HttpRequest *req, Pipeline **ret, Err *err);
bool is_uuid(const char *text);
/* {"execution_id","message"} */
void reply_started(HttpRequest *req, const PipelineStarted *started, const char *message);

/* Follows a build's log as a WebSocket; word says what a state is called there, NULL: as it is. */
typedef const char *(*StateWord)(const char *state, const char *reason, bool begun);
void logs_follow(HttpRequest *req, int64_t build_id, StateWord word);

#define PIPELINE_MAX_JSON (24 * 1024 * 1024) /* 10 MiB of YAML, escaped */
