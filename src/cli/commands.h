/* The verbs, a file a group; commands.c puts them in the order of the help. */
#pragma once

#include "cli/cli.h"

extern const Command command_login, command_logout;
extern const Command command_repo_create, command_repo_delete, command_repo_list, command_repo_show;
extern const Command command_build_approve, command_build_start, command_build_show, command_builds,
    command_cancel;
extern const Command command_logs, command_rerun;
extern const Command command_artifacts;
extern const Command command_deployment_stop, command_deployments, command_open;
extern const Command command_lint;
extern const Command command_plan;
extern const Command command_run;
extern const Command command_runners, command_runner_drain, command_runner_resume, command_runner_rm;
extern const Command command_queue, command_pause, command_resume;
extern const Command command_token_create, command_token_list, command_token_revoke;
extern const Command command_cache_list, command_cache_rm;
extern const Command command_secret_set, command_secret_list, command_secret_rm, command_secret_rotate;
extern const Command command_version, command_help, command_completion, command_complete;
extern const Command command_hook;

#define FLAGS(table) .flags = (table), .flag_count = ELEMENTS(table)
