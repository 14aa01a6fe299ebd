/* The commands that the command line gets from the rooms above it. */
#pragma once

#include "cli/cli.h"

extern const Command command_server, command_runner, command_release;
