/* What the tables say: --help, the list of verbs, man pages (man(7)), the completion of bash. */
#pragma once

#include "cli/cli.h"

void help_overview(const Command *const *commands, const Term *term, Buf *out);
/* The --help of one verb. */
void help_command(const Command *command, const Term *term, Buf *out);
/* The verbs of a group ("repo"); false when there is no such group. */
bool help_group(const Command *const *commands, const char *group, const Term *term, Buf *out);
/* The page of a verb or a group ("logs", "repo"), or with "pelton" the program's; false when there is no such
 * verb. */
bool help_man(const Command *const *commands, const char *verb, Buf *out);
/* The words of "completion bash". */
void help_completion_bash(const Command *const *commands, Buf *out);
/* Whether the name's first word is `group` and more follows. */
bool help_in_group(const Command *command, const char *group);
/* The first words of all names that are not hidden, each once, NULL-terminated. */
const char **help_verbs(const Command *const *commands, const void *mem);
