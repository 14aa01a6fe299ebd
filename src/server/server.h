/* The control plane, put together. */
#pragma once

#include "server/settings.h"

/* Runs until SIGTERM or SIGINT; gives when everything is handed over. program: absolute path of this binary.
 */
_must_check_ int server_run(const Settings *settings, const char *program, const char *version, Err *err);
