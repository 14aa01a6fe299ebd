/* Whether a shell would expand a variable at a place of a script. Within the room. It follows quotes,
 * comments and here-documents, and knows nothing of what the script means. */
#pragma once

#include "base/mem.h"
#include <stdbool.h>

#define SHELL_MAX_DEPTH 32
#define SHELL_MAX_WORD 64

typedef enum ShellIn { SHELL_PLAIN, SHELL_SINGLE, SHELL_DOUBLE, SHELL_COMMENT, SHELL_HERE } ShellIn;

typedef struct Shell {
    ShellIn in[SHELL_MAX_DEPTH]; /* command substitutions within each other */
    int depth;
    bool word;                 /* within a word: a # here begins no comment */
    bool escaped;              /* behind a backslash */
    const char *spoilt;        /* what stands before the place, and takes a variable's "$"; NULL: nothing */
    char here[SHELL_MAX_WORD]; /* the line that ends the here-document; "" when none is to come */
    bool here_quoted, here_tabs;
    bool line_start;
} Shell;

/* Goes on over the text of a script. A here-document's last line must be in one piece. */
void shell_feed(Shell *s, const char *text, size_t len);
/* NULL: a variable is expanded here. Else what it stands in: "single quotes". */
const char *shell_quoted(const Shell *s);
/* NULL: nothing before the place takes the "$" of a variable there. Else what does: "a backslash". */
const char *shell_spoilt(const Shell *s);
