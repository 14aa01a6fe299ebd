/* A release's specification: read from a deploy job's, kept as spec.json in the release's folder. */
#pragma once

#include "base/err.h"
#include "executor/cgroup.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct ReleaseSpec {
    const char *uuid, *slug, *commit;
    const char *start;
    const char *health_path;
    int64_t health_timeout_us;
    int64_t stop_us;        /* between SIGTERM and SIGKILL */
    const char *const *env; /* "K=V", NULL-terminated, without ours */
    CgroupLimits limits;
    uid_t uid; /* who the application is, when the server is root */
} ReleaseSpec;

/* The user of a release: SANDBOX_UID_BASE + 1000 and up, from its uuid. */
uid_t release_uid(const char *uuid);

/* Of a release's control groups; out has RELEASE_CGROUP_SIZE bytes. */
#define RELEASE_CGROUP_SIZE 64
void release_cgroup_name(const char *uuid, char *out);

/* From the JSON of a deploy job; only start, health, env, resources and network are looked at. In mem.
 * ERR_INVALID names the field. */
_must_check_ int release_spec_parse(const char *text, const void *mem, ReleaseSpec **ret, Err *err);
/* Sets "K=V" of more (may be NULL) over the specification's own. */
void release_spec_add_env(ReleaseSpec *spec, const char *const *more, const void *mem);
_must_check_ int release_spec_write(const ReleaseSpec *spec, const char *dir, Err *err);
/* ERR_NOT_FOUND: the release is not whole. */
_must_check_ int release_spec_read(const char *dir, const void *mem, ReleaseSpec **ret, Err *err);
