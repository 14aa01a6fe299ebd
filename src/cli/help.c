#include "cli/help.h"

#include "base/str.h"
#include "base/version.h"
#include "cli/args.h"

bool help_in_group(const Command *command, const char *group) {
    const char *rest = str_after(command->name, group);

    return rest && *rest == ' ';
}

const char **help_verbs(const Command *const *commands, const void *mem) {
    const char **verbs = NULL;
    size_t count = 0;

    for (; *commands; commands++) {
        const char *name = (*commands)->name;
        size_t len = strcspn(name, " ");
        bool known = false;

        for (size_t i = 0; i < count && !known; i++)
            known = strlen(verbs[i]) == len && strncmp(verbs[i], name, len) == 0;
        if (!known && !(*commands)->hidden)
            mem_append(mem, verbs, count, mem_strndup(mem, name, len));
    }
    mem_append(mem, verbs, count, NULL);
    return verbs;
}

static void list_commands(const Command *const *commands, const char *group, Buf *out) {
    for (; *commands; commands++)
        if (!(*commands)->hidden && (!group || help_in_group(*commands, group)))
            buf_addf(out, "  %-18s %s\n", (*commands)->name, (*commands)->brief);
}

void help_overview(const Command *const *commands, const Term *term, Buf *out) {
    buf_adds(out, "Pelton turns a push into running software.\n\n");
    term_add(term, out, STYLE_BOLD, "Usage:");
    buf_adds(out, " pelton VERB [ARGUMENTS]\n\n");
    list_commands(commands, NULL, out);
    buf_adds(out, "\nEvery verb has --help with examples, --json, and --url to speak to another server.\n\n");
    term_add(term, out, STYLE_BOLD, "Environment:");
    buf_adds(out,
             "\n"
             "  PELTON_URL     the server (default: the one of pelton login, else http://127.0.0.1:8080)\n"
             "  PELTON_TOKEN   the token\n"
             "  PELTON_CA_FILE the certificate of a CA of your own, for an https:// server\n"
             "  PELTON_CONFIG  where login keeps both (default ~/.config/pelton/config.yml)\n"
             "  NO_COLOR       no colours\n\n");
    term_add(term, out, STYLE_BOLD, "Exit status:");
    buf_addc(out, '\n');
    for (int i = 0; i < CLI_EXITS; i++)
        buf_addf(out, "  %d  %s\n", i, cli_exits[i]);
}

bool help_group(const Command *const *commands, const char *group, const Term *term, Buf *out) {
    bool found = false;

    for (size_t i = 0; commands[i]; i++)
        found = found || (help_in_group(commands[i], group) && !commands[i]->hidden);
    if (!found)
        return false;
    term_add(term, out, STYLE_BOLD, "Usage:");
    buf_addf(out, " pelton %s VERB [ARGUMENTS]\n\n", group);
    list_commands(commands, group, out);
    return true;
}

static void help_flag(const Command *command, const Setting *s, Buf *out) {
    char letter = args_short(command, s->name);
    size_t start = out->len, used;

    if (letter)
        buf_addf(out, "  -%c, --%s", letter, s->name);
    else
        buf_addf(out, "      --%s", s->name);
    if (s->type != SETTING_BOOL)
        buf_addf(out, " %s", s->arg ? s->arg : "VALUE");
    used = out->len - start;
    buf_addf(out, "%*s  %s", used < 28 ? (int)(28 - used) : 0, "", s->help ? s->help : "");
    for (size_t i = 0; s->words && s->words[i]; i++)
        buf_addf(out, "%s%s", i ? "|" : ": ", s->words[i]);
    if (s->fallback && !s->secret)
        buf_addf(out, " (default %s)", s->fallback);
    buf_addc(out, '\n');
}

void help_command(const Command *command, const Term *term, Buf *out) {
    term_add(term, out, STYLE_BOLD, "Usage:");
    buf_addf(out, " pelton %s\n\n%c%s.\n", command->usage, command->brief[0] - ('a' - 'A'),
             command->brief + 1);
    if (command->about)
        buf_addf(out, "\n%s\n", command->about);
    buf_addc(out, '\n');
    term_add(term, out, STYLE_BOLD, "Flags:");
    buf_addc(out, '\n');
    for (size_t i = 0; i < command->flag_count; i++)
        help_flag(command, &command->flags[i], out);
    for (size_t i = command->raw ? ARGS_COMMON - 1 : 0; i < ARGS_COMMON; i++)
        help_flag(command, &args_common[i], out);
    buf_addc(out, '\n');
    term_add(term, out, STYLE_BOLD, "Examples:");
    buf_addc(out, '\n');
    for (size_t i = 0; command->examples && command->examples[i]; i += 2) {
        buf_addf(out, "  %s\n      ", command->examples[i]);
        term_add(term, out, STYLE_DIM, command->examples[i + 1]);
        buf_addc(out, '\n');
    }
}

/* ---- bash ---- */

/* The flags of a command as completion words. */
static void bash_flags(const Command *command, Buf *out) {
    for (size_t i = 0; i < command->flag_count; i++)
        buf_addf(out, "--%s ", command->flags[i].name);
    if (!command->raw)
        buf_adds(out, "--json --url ");
    buf_adds(out, "--help");
}

/* "'repo') subs='create list show' ;;" for each group. */
static void bash_groups(const Command *const *commands, Buf *out) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    const char **verbs = help_verbs(commands, mem);

    for (; *verbs; verbs++) {
        size_t start = out->len;
        bool first = true;

        buf_addf(out, "    '%s') subs='", *verbs);
        for (size_t i = 0; commands[i]; i++)
            if (help_in_group(commands[i], *verbs) && !commands[i]->hidden) {
                buf_addf(out, "%s%s", first ? "" : " ", commands[i]->name + strlen(*verbs) + 1);
                first = false;
            }
        buf_adds(out, "' ;;\n");
        if (first) {
            out->len = start;
            out->data[start] = 0;
        }
    }
}

void help_completion_bash(const Command *const *commands, Buf *out) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);

    buf_adds(out,
             "# bash completion of pelton " PELTON_VERSION "; load it by: source <(pelton completion bash)\n"
             "_pelton() {\n"
             "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb= subs= flags= "
             "operand= w i\n"
             "  COMPREPLY=()\n"
             "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
             "    w=${COMP_WORDS[i]}\n"
             "    [[ $w == -* ]] && continue\n"
             "    if [[ -z $verb ]]; then verb=$w; elif [[ $verb != *' '* ]]; then verb+=\" $w\"; fi\n"
             "  done\n"
             "  if [[ -z $verb && $cur != -* ]]; then\n    COMPREPLY=($(compgen -W '");
    for (const char **verb = help_verbs(commands, mem); *verb; verb++)
        buf_addf(out, "%s ", *verb);
    buf_adds(out, "' -- \"$cur\"))\n    return\n  fi\n  case $verb in\n");
    bash_groups(commands, out);
    buf_adds(out, "  esac\n  if [[ -n $subs ]]; then COMPREPLY=($(compgen -W \"$subs --help\" -- \"$cur\")); "
                  "return; fi\n"
                  "  case $verb in\n");
    for (; *commands; commands++) {
        const Command *c = *commands;

        if (c->hidden)
            continue;
        buf_addf(out, "    '%s'%s%s%s) operand='%s' flags='", c->name, strchr(c->name, ' ') ? "" : "|'",
                 strchr(c->name, ' ') ? "" : c->name, strchr(c->name, ' ') ? "" : " '*",
                 c->operand ? c->operand : "");
        bash_flags(c, out);
        buf_adds(out, "' ;;\n");
    }
    buf_adds(
        out,
        "  esac\n"
        "  case $prev in\n"
        "    --repo) operand=repo ;;\n"
        "    --output|-o|--token-file|--config) operand=file ;;\n"
        "    --state|--dir) COMPREPLY=($(compgen -d -- \"$cur\")); return ;;\n"
        "    *) if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W \"$flags\" -- \"$cur\")); return; fi ;;\n"
        "  esac\n"
        "  case $operand in\n"
        "    file) COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n"
        "    verb) COMPREPLY=($(compgen -W \"$(\"${COMP_WORDS[0]}\" __complete verb 2>/dev/null)\" -- "
        "\"$cur\")) ;;\n"
        "    repo|build) COMPREPLY=($(compgen -W \"$(\"${COMP_WORDS[0]}\" __complete $operand 2>/dev/null)\" "
        "-- "
        "\"$cur\")) ;;\n"
        "    ?*) COMPREPLY=($(compgen -W \"$operand\" -- \"$cur\")) ;;\n"
        "  esac\n"
        "}\n"
        "complete -o bashdefault -F _pelton pelton\n");
}
