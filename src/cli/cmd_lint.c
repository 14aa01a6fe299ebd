#include "base/json.h"
#include "base/str.h"
#include "cli/commands.h"
#include "cli/planned.h"

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
    if (plan->why) {
        buf_addf(out, "  %s: no job for this push: %s; pelton plan --event EVENT shows others\n", file,
                 text_clean(cli->mem, plan->why));
        return;
    }
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

static int report(Cli *cli, const Planned *p, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    int r;

    if (cli->json) {
        jw_object(&w, NULL);
        jw_str(&w, "file", p->file);
        jw_bool(&w, "ok", p->plan != NULL);
        problems_json(&w, p->problems, p->file);
        plan_json(&w, p->plan);
        planned_schedules_json(&w, p->plan);
        jw_end_object(&w);
        buf_addc(&out, '\n');
    } else if (p->plan) {
        print_plan(cli, p->plan, p->file, &out);
        planned_schedules(cli, p->plan, &out);
    } else {
        planned_problems(cli, p, &out);
    }
    r = cli_print(&out, err);
    return r < 0 ? r : p->plan ? CLI_DONE : CLI_FAILED;
}

static int lint_run(Cli *cli, void *arg, Err *err) {
    const LintOptions *options = arg;
    PlanContext context = {
        .project = "lint",
        .branch = options->branch,
        .ref = mem_printf(cli->mem, "refs/heads/%s", options->branch),
        .commit = "here",
        .event = "push",
    };
    int result = CLI_DONE;

    for (size_t i = 0; i < MAX(cli->arg_count, (size_t)1); i++) {
        Planned planned;
        int r = planned_read(cli, cli->arg_count > 0 ? cli->args[i] : NULL, &context, &planned, err);

        if (r >= 0)
            r = report(cli, &planned, err);
        if (r < 0)
            return r;
        result = MAX(result, r);
    }
    return result;
}

static const char *const lint_examples[] = {
    "pelton lint",
    "check .pelton.yml here, without a server",
    "pelton lint ci/new.yml && echo good",
    "another file, in a script; exit 1 when it has mistakes",
    "pelton lint */.pelton.yml --json",
    "several, as a hook of git may name them; an object a line",
    "git show HEAD:.pelton.yml | pelton lint -",
    "what a commit holds",
    NULL,
};

const Command command_lint = {
    .name = "lint",
    .brief = "check pipeline files",
    .usage = "lint [--branch NAME] [FILE …]",
    .about = "Shows every mistake with its line and a caret under its place; needs no server. The default is "
             "what a server would\n"
             "look for here: .pelton.yml, else a Makefile.",
    FLAGS(lint_flags),
    .options_size = sizeof(LintOptions),
    .examples = lint_examples,
    .max_args = 10000,
    .operand = "file",
    .run = lint_run,
};
