/* Secrets on their way to the server. */
#pragma once

#include "cli/call.h"

/* path: the secret's resource. The answer is the caller's. */
_must_check_ int secret_put(Cli *cli, const char *path, const char *value, size_t len, json_t **ret_answer,
                            Err *err);
/* Sets the repository's secrets to those of the file: lines NAME=VALUE; empty ones and those with a # in
 * front do not count; a value in double quotes may hold \n, \" and \\. ERR_INVALID names the line, never a
 * value. */
_must_check_ int secret_file_send(Cli *cli, const char *repo, const char *file, Err *err);
