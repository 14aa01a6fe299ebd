#include "cli/commands.h"

const Command *const cli_commands[] = {
    &command_login,        &command_logout,        &command_repo_create,
    &command_repo_list,    &command_repo_show,     &command_build_start,
    &command_build_show,   &command_builds,        &command_logs,
    &command_cancel,       &command_artifacts,     &command_deployments,
    &command_open,         &command_lint,          &command_queue,
    &command_pause,        &command_resume,        &command_runners,
    &command_runner_drain, &command_runner_resume, &command_token_create,
    &command_token_list,   &command_token_revoke,  &command_secret_set,
    &command_secret_list,  &command_secret_rm,     &command_secret_rotate,
    &command_version,      &command_help,          &command_completion,
    &command_complete,     &command_hook,          NULL,
};
