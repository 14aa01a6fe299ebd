/* Inside of the docker executor: the Engine API of Docker and of Podman over the engine's Unix socket
 * (https://docs.docker.com/engine/api/v1.41/). Everything here blocks; it runs in children that a cancel
 * kills, or with a time limit. */
#pragma once

#include "base/buf.h"
#include "base/json.h"
#include "executor/executor.h"
#include "http/client.h"

#define ENGINE_SHORT_US (10 * INT64_C(1000000)) /* for calls from the job process or the runner */
#define DOCKER_SCRIPTS                                                                                       \
    "/.pelton" /* where a container sees the script of its step; the same beneath `scratch` */
#define DOCKER_STEP "step"

/* ---- docker_engine.c: calls ---- */

/* A client of the engine: where DOCKER_HOST says, else at the usual places. ERR_UNSUPPORTED: there is none.
 */
_must_check_ int engine_open(const void *mem, HttpClient **ret, Err *err);
/* Whether it answers; ERR_UNSUPPORTED says what is missing. */
_must_check_ int engine_available(Err *err);

typedef struct EngineCall {
    const char *method, *path; /* the path with its query, encoded */
    const Buf *body;           /* JSON, or NULL */
    const char *const *headers;
    int64_t timeout_us; /* 0: none */
} EngineCall;

/* Performs it. ret (may be NULL): the answer's JSON, NULL when it has none; the caller drops it. The errors
 * carry the engine's own words, and the status as Err.sys. */
_must_check_ int engine_call(HttpClient *c, const EngineCall *call, json_t **ret, Err *err);
_must_check_ int engine_get(HttpClient *c, const char *path, json_t **ret, Err *err);
_must_check_ int engine_post(HttpClient *c, const char *path, const Buf *body, json_t **ret, Err *err);

/* The query for `filters`: those that have all of the labels, encoded. */
char *engine_label_filter(const void *mem, const char *const *labels);
/* "K=V" labels that everything of a job has. */
void engine_write_labels(JsonWriter *w, const ExecutorJob *job);
/* The name of the job's container, and with "-net" of its network: one a slot. */
char *engine_job_name(const void *mem, const ExecutorJob *job, const char *suffix);

/* ---- docker_stream.c ---- */

/* Copies the output of a container or an exec to `out` until it ends. `started` (may be NULL) is called once
 * the engine listens. */
_must_check_ int engine_attach(HttpClient *c, const EngineCall *call, int out,
                               int (*started)(void *arg, Err *err), void *arg, Err *err);
/* Follows an answer of JSON lines: `line` is called for each. The call's body is body_len bytes of body_fd,
 * -1: none. */
_must_check_ int engine_lines(HttpClient *c, HttpCall *call, int body_fd,
                              int (*line)(void *arg, json_t *line, Err *err), void *arg, Err *err);

/* ---- docker_image.c ---- */

/* The image's inspection; pulled first when it is missing, or the policy says so. */
_must_check_ int image_ensure(HttpClient *c, const ExecutorContainer *container, const char *image, int out,
                              json_t **ret, Err *err);
_must_check_ int image_push(HttpClient *c, const char *login, const char *image, int out, Err *err);

/* ---- docker_login.c ---- */

/* The host of the registry that an image is in: "docker.io" when it names none. */
char *login_registry(const void *mem, const char *image);
/* Whether there are credentials for it. */
bool login_has(const char *login, const char *image);
/* The header "X-Registry-Auth: …" for an image (with an empty login when there is none), or
 * "X-Registry-Config: …" with all. ERR_INVALID: the login is not a config.json. login may be NULL. */
_must_check_ int login_header(const void *mem, const char *login, const char *image, char **ret, Err *err);
_must_check_ int login_config_header(const void *mem, const char *login, char **ret, Err *err);

/* ---- docker_container.c ---- */

/* Makes the job's container, unstarted, in the network ("" : the engine's default). */
_must_check_ int container_create(HttpClient *c, const ExecutorJob *job, const json_t *image,
                                  const char *network, Err *err);
/* The uid and gid that the container's processes get. */
_must_check_ int container_user(HttpClient *c, const ExecutorJob *job, const json_t *image, uid_t *uid,
                                gid_t *gid, Err *err);
/* Runs the step in it; gives its exit status. */
_must_check_ int container_run(HttpClient *c, ExecutorJob *job, const ExecutorStep *step, Err *err);

/* ---- docker_services.c ---- */

/* Makes the job's network, when it has services, and starts them; returns when they are ready. */
_must_check_ int services_start(HttpClient *c, const ExecutorJob *job, int out, Err *err);
/* The last lines of what they said. */
void services_show(HttpClient *c, const ExecutorJob *job, int out);
/* Says of each that has ended how it has, if nobody was told. */
_must_check_ int services_tell(HttpClient *c, const ExecutorJob *job,
                               void (*say)(void *arg, const char *line), void *arg, Err *err);

/* ---- docker_sweep.c ---- */
void docker_sweep(const char *runner, bool (*keep)(void *arg, int slot), void *arg);
/* One slot of the job's runner. */
void docker_sweep_slot(const ExecutorJob *job);

/* ---- docker_build.c ---- */
_must_check_ int docker_build(HttpClient *c, ExecutorJob *job, const ExecutorBuild *build, int out, Err *err);
