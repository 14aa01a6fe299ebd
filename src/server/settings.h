/* The server's settings: one table for the file, the environment, the flags, the help and --print-config. */
#pragma once

#include "base/config.h"

#define SETTINGS_OFF "off" /* in the place of the ingress's address: nothing is deployed */

typedef struct Settings {
    const char *config; /* the file that was read */
    const char *state;  /* folder of everything that is kept */
    const char *listen, *ingress, *domain, *url, *ingress_url;
    const char *log_level, *database_sync;
    const char **allow_executor, **notify_allow, **trusted_proxy, **runner_label;
    const char *smtp, *smtp_from, *smtp_user, *smtp_password_file;
    int64_t runners, slots, threads, workers, connections, max_attempts;
    uint64_t cache_project, cache_total;
    int64_t artifact_keep;
    uint64_t max_body, min_free_space;
    int64_t lease, job_timeout, idle_timeout, request_timeout, session, drain_grace, cancel_grace,
        cleanup_time, compare_refs;
    bool access_log, print_config, json;
} Settings;

#define SERVER_SETTINGS 40
extern const Setting server_settings[SERVER_SETTINGS];

/* File, environment, flags, in that order, then checks between them. *ret_print (when asked for): what holds,
 * as text. ERR_INVALID names the place. */
_must_check_ int settings_read(int argc, char **argv, const void *mem, Settings *ret, Buf *ret_print,
                               Err *err);
