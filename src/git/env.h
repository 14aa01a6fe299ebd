/* The environment of a git process, made anew and of nothing but this: no system or user configuration, no
 * prompts, http and https the only transports, any owner of a repository trusted, messages in English. */
#pragma once

#include "base/mem.h"

typedef struct GitEnv GitEnv;

GitEnv *git_env_new(const void *mem);
/* Further "K=V". */
void git_env_add(GitEnv *env, const char *fmt, ...) _printf_(2, 3);
/* A setting as by git -c, but out of sight of ps(1). */
void git_env_config(GitEnv *env, const char *key, const char *value);
/* What a process that talks to other machines needs: the proxies and certificate stores of our own
 * environment, and an end to transfers that have stalled. */
void git_env_network(GitEnv *env);
/* The vector for ProcOptions.envp, valid as long as env; nothing can be added any more. */
const char *const *git_env_vector(GitEnv *env);
