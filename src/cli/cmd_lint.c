#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "base/yaml.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "pipeline/pipeline.h"

#include <libgen.h>

typedef struct LintOptions {
    const char *branch;
} LintOptions;

static const Setting lint_flags[] = {
    {.name = "branch",
     .type = SETTING_STRING,
     .offset = offsetof(LintOptions, branch),
     .fallback = "main",
     .arg = "NAME",
     .help = "plan as for a push to this branch"},
};

/* What a planner would see of a commit. */
typedef struct Files {
    const char **contents;
    size_t *lens;
    size_t first; /* the first one that is there */
} Files;

static size_t plan_file_count(void) {
    size_t count = 0;

    while (plan_files[count])
        count++;
    return count;
}

static int read_one(Cli *cli, const char *path, Files *files, size_t at, Err *err) {
    Buf text = BUF_INIT;
    int r = file_read(path, YAML_MAX_BYTES, &text, err);

    if (r >= 0) {
        files->contents[at] = mem_strndup(cli->mem, buf_str(&text), text.len);
        files->lens[at] = text.len;
        files->first = MIN(files->first, at);
    }
    buf_done(&text);
    return r;
}

/* Which planner reads a file of this name; a name of its own is a pipeline file. */
static size_t index_of(Cli *cli, const char *path) {
    const char *name = basename(mem_strdup(cli->mem, path));

    for (size_t i = 0; plan_files[i]; i++)
        if (str_eq(plan_files[i], name))
            return i;
    return 0;
}

static int read_files(Cli *cli, const char *path, Files *files, Err *err) {
    size_t count = plan_file_count();

    *files =
        (Files){mem_array(cli->mem, const char *, count + 1), mem_array(cli->mem, size_t, count + 1), count};
    if (path) {
        int r = read_one(cli, str_eq(path, "-") ? "/dev/stdin" : path, files, index_of(cli, path), err);

        return r < 0 ? err_wrap(err, "lint") : 0;
    }
    for (size_t i = 0; i < count; i++) {
        Err why = {0};

        if (read_one(cli, plan_files[i], files, i, &why) < 0 && why.code != ERR_NOT_FOUND) {
            *err = why;
            return err_wrap(err, "lint");
        }
    }
    return 0;
}

static void problems_json(JsonWriter *w, const PlanProblems *problems, const char *file) {
    jw_array(w, "problems");
    for (size_t i = 0; problems && i < problems->count; i++) {
        jw_object(w, NULL);
        jw_str(w, "file", problems->items[i].file ? problems->items[i].file : file);
        jw_int(w, "line", problems->items[i].line);
        jw_int(w, "column", problems->items[i].column);
        jw_str(w, "message", problems->items[i].message);
        jw_end_object(w);
    }
    jw_end_array(w);
}

static void plan_json(JsonWriter *w, const Plan *plan) {
    jw_array(w, "jobs");
    for (size_t i = 0; plan && i < plan->count; i++) {
        const PlanJob *job = &plan->jobs[i];

        jw_object(w, NULL);
        jw_str(w, "name", job->name);
        jw_str(w, "kind", job->kind);
        jw_str(w, "executor", job->fit.executor);
        jw_bool(w, "skip", job->skip);
        jw_array(w, "needs");
        for (size_t j = 0; j < job->need_count; j++)
            jw_str(w, NULL, plan->jobs[job->needs[j]].name);
        jw_end_array(w);
        jw_end_object(w);
    }
    jw_end_array(w);
}

static void print_plan(const Cli *cli, const Plan *plan, const char *file, Buf *out) {
    term_add(&cli->out, out, STYLE_GREEN, "ok");
    buf_addf(out, "  %s: %zu job%s%s\n", file, plan->count, plan->count == 1 ? "" : "s",
             plan->nothing ? ", none for this branch" : "");
    for (size_t i = 0; i < plan->count; i++) {
        const PlanJob *job = &plan->jobs[i];

        buf_addf(out, "  %s", text_clean(cli->mem, job->name));
        for (size_t j = 0; j < job->need_count; j++)
            buf_addf(out, "%s%s", j ? ", " : " <- ", text_clean(cli->mem, plan->jobs[job->needs[j]].name));
        buf_adds(out, job->skip ? "  (skipped here)\n" : "\n");
    }
}

static int report(Cli *cli, const char *file, const Files *files, const Plan *plan,
                  const PlanProblems *problems, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    int r;

    if (cli->json) {
        jw_object(&w, NULL);
        jw_str(&w, "file", file);
        jw_bool(&w, "ok", plan != NULL);
        problems_json(&w, problems, file);
        plan_json(&w, plan);
        jw_end_object(&w);
        buf_addc(&out, '\n');
    } else if (plan) {
        print_plan(cli, plan, file, &out);
    } else {
        plan_problems_print(problems, file, files->contents[files->first], files->lens[files->first],
                            cli->out.colour, &out);
    }
    r = cli_print(&out, err);
    return r < 0 ? r : plan ? CLI_DONE : CLI_FAILED;
}

/* What is included lies where the command runs, as at the root of a commit. */
static int file_here(void *data, const char *path, const void *mem, const char **ret, size_t *ret_len,
                     Err *err) {
    _cleanup_buf_ Buf text = BUF_INIT;
    int r = file_read(path, YAML_MAX_BYTES, &text, err);

    if (r < 0)
        return r;
    *ret = mem_strndup(mem, buf_str(&text), text.len);
    *ret_len = text.len;
    return 0;
}

static const PlanSource source_here = {.file = file_here};

static int lint_run(Cli *cli, void *arg, Err *err) {
    const LintOptions *options = arg;
    PlanContext context = {
        .project = "lint",
        .branch = options->branch,
        .ref = mem_printf(cli->mem, "refs/heads/%s", options->branch),
        .commit = "here",
        .event = "push",
        .source = &source_here,
        .allow_shell = true, /* whether the server allows it is the server's to say */
    };
    const char *path = cli->arg_count > 0 ? cli->args[0] : NULL, *file;
    PlanProblems *problems = NULL;
    Plan *plan = NULL;
    Files files;
    int r = read_files(cli, path, &files, err);

    if (r < 0)
        return r;
    r = plan_make(files.contents, files.lens, &context, cli->mem, &plan, &problems, err);
    file = path ? path : plan ? plan->file : plan_files[files.first];
    if (r < 0 && (r != -ERR_INVALID || !problems || problems->count == 0))
        return r;
    return report(cli, text_clean(cli->mem, file), &files, r < 0 ? NULL : plan, problems, err);
}

static const char *const lint_examples[] = {
    "pelton lint",
    "check .pelton.yml here, without a server",
    "pelton lint ci/new.yml && echo good",
    "another file, in a script; exit 1 when it has mistakes",
    "git show HEAD:.pelton.yml | pelton lint -",
    "what a commit holds",
    NULL,
};

const Command command_lint = {
    .name = "lint",
    .brief = "check a pipeline file",
    .usage = "lint [FILE] [--branch NAME]",
    .about = "Shows every mistake with its line and a caret under its place; needs no server. The default is "
             "what a server would\n"
             "look for here: .pelton.yml, else a Makefile.",
    FLAGS(lint_flags),
    .options_size = sizeof(LintOptions),
    .examples = lint_examples,
    .max_args = 1,
    .operand = "file",
    .run = lint_run,
};
