/* Man pages in the macros of man(7), from the command table. */
#include "cli/help.h"

#include "base/str.h"
#include "base/version.h"
#include "cli/args.h"

#include <ctype.h>

/* Text for roff: a backslash, a dash and a quote that mean themselves, and no line that begins with a
 * request. */
static void man_text(Buf *out, const char *s) {
    bool start = true;

    for (; *s; s++) {
        if (start && (*s == '.' || *s == '\''))
            buf_adds(out, "\\&");
        if (*s == '\\')
            buf_adds(out, "\\e");
        else if (*s == '-')
            buf_adds(out, "\\-");
        else
            buf_addc(out, *s);
        start = *s == '\n';
    }
}

static void man_title(Buf *out, const char *page) {
    buf_adds(out, ".TH \"");
    for (const char *p = page; *p; p++)
        buf_addc(out, (char)toupper((unsigned char)*p));
    buf_adds(out, "\" 1 \"\" \"Pelton " PELTON_VERSION "\" \"Pelton\"\n.SH NAME\n");
}

static void man_flag(const Command *command, const Setting *s, Buf *out) {
    char letter = args_short(command, s->name);

    buf_adds(out, ".TP\n\\fB");
    if (letter)
        buf_addf(out, "\\-%c\\fR, \\fB", letter);
    buf_adds(out, "\\-\\-");
    man_text(out, s->name);
    buf_adds(out, "\\fR");
    if (s->type != SETTING_BOOL)
        buf_addf(out, " \\fI%s\\fR", s->arg ? s->arg : "VALUE");
    buf_addc(out, '\n');
    man_text(out, s->help ? s->help : "");
    for (size_t i = 0; s->words && s->words[i]; i++)
        buf_addf(out, "%s%s", i ? "|" : ": ", s->words[i]);
    if (s->fallback && !s->secret) {
        buf_adds(out, " (default ");
        man_text(out, s->fallback);
        buf_addc(out, ')');
    }
    buf_addc(out, '\n');
}

static void man_command_body(const Command *command, Buf *out) {
    man_text(out, command->brief);
    buf_adds(out, ".\n");
    if (command->about) {
        buf_adds(out, ".PP\n");
        man_text(out, command->about);
        buf_addc(out, '\n');
    }
    for (size_t i = 0; i < command->flag_count; i++)
        man_flag(command, &command->flags[i], out);
    for (size_t i = command->raw ? ARGS_COMMON - 1 : 0; i < ARGS_COMMON; i++)
        man_flag(command, &args_common[i], out);
}

static void man_examples(const Command *command, Buf *out) {
    for (size_t i = 0; command->examples && command->examples[i]; i += 2) {
        buf_adds(out, ".TP\n\\fB");
        man_text(out, command->examples[i]);
        buf_adds(out, "\\fR\n");
        man_text(out, command->examples[i + 1]);
        buf_addc(out, '\n');
    }
}

static void man_common_end(Buf *out) {
    buf_adds(out, ".SH EXIT STATUS\n");
    for (int i = 0; i < CLI_EXITS; i++)
        buf_addf(out, "%s%d %s", i ? ", " : "", i, cli_exits[i]);
    buf_adds(out,
             ".\n.SH ENVIRONMENT\n"
             ".TP\n.B PELTON_URL\nThe server; by default that of \\fBpelton login\\fR, else "
             "http://127.0.0.1:8080.\n"
             ".TP\n.B PELTON_TOKEN\nThe token.\n"
             ".TP\n.B PELTON_CA_FILE\nThe certificate (PEM) of a CA of your own, for an https:// server.\n"
             ".TP\n.B PELTON_CONFIG\nWhere login keeps both; by default ~/.config/pelton/config.yml.\n"
             ".TP\n.B NO_COLOR\nNo colours when it is set and not empty.\n");
}

static void man_program(const Command *const *commands, Buf *out) {
    man_title(out, "pelton");
    buf_adds(out, "pelton \\- build, test and deploy what is pushed\n"
                  ".SH SYNOPSIS\n\\fBpelton\\fR \\fIVERB\\fR [\\fIARGUMENTS\\fR]\n"
                  ".SH DESCRIPTION\nPelton hosts git repositories, runs their pipelines isolated, keeps logs "
                  "and artifacts, "
                  "and puts the result live behind a URL. It is one program: the server, its runners and "
                  "this command line.\n"
                  ".SH VERBS\n");
    for (size_t i = 0; commands[i]; i++) {
        if (commands[i]->hidden)
            continue;
        buf_adds(out, ".TP\n\\fB");
        man_text(out, commands[i]->usage);
        buf_adds(out, "\\fR\n");
        man_text(out, commands[i]->brief);
        buf_addc(out, '\n');
    }
    man_common_end(out);
    buf_adds(out, ".SH SEE ALSO\n");
    {
        _cleanup_talloc_ void *mem = talloc_new(NULL);
        const char **verbs = help_verbs(commands, mem);

        for (size_t i = 0; verbs[i]; i++)
            buf_addf(out, "%s\\fBpelton\\-%s\\fR(1)", i ? ", " : "", verbs[i]);
        buf_addc(out, '\n');
    }
}

static bool of_page(const Command *command, const char *verb) {
    return str_eq(command->name, verb) || help_in_group(command, verb);
}

bool help_man(const Command *const *commands, const char *verb, Buf *out) {
    _cleanup_talloc_ char *page = mem_printf(NULL, "pelton-%s", verb);
    const Command *first = NULL;
    size_t count = 0;

    if (str_eq(verb, "pelton")) {
        man_program(commands, out);
        return true;
    }
    for (size_t i = 0; commands[i]; i++)
        if (of_page(commands[i], verb) && count++ == 0)
            first = commands[i];
    if (!first)
        return false;
    man_title(out, page);
    man_text(out, page);
    buf_adds(out, " \\- ");
    man_text(out, first->brief);
    for (size_t i = 0; count > 1 && commands[i]; i++)
        if (of_page(commands[i], verb) && commands[i] != first) {
            buf_adds(out, "; ");
            man_text(out, commands[i]->brief);
        }
    buf_adds(out, "\n.SH SYNOPSIS\n");
    for (size_t i = 0; commands[i]; i++)
        if (of_page(commands[i], verb)) {
            buf_adds(out, "\\fBpelton\\fR ");
            man_text(out, commands[i]->usage);
            buf_adds(out, "\n.br\n");
        }
    buf_adds(out, ".SH DESCRIPTION\n");
    for (size_t i = 0; commands[i]; i++)
        if (of_page(commands[i], verb)) {
            if (count > 1)
                buf_addf(out, ".SS pelton %s\n", commands[i]->name);
            man_command_body(commands[i], out);
        }
    buf_adds(out, ".SH EXAMPLES\n");
    for (size_t i = 0; commands[i]; i++)
        if (of_page(commands[i], verb))
            man_examples(commands[i], out);
    man_common_end(out);
    buf_adds(out, ".SH SEE ALSO\n\\fBpelton\\fR(1)\n");
    return true;
}
