#include "base/json.h"
#include "base/str.h"
#include "cli/commands.h"
#include "cli/planned.h"
#include "cli/start.h"

typedef struct PlanOptions {
    const char *branch, *event, *schedule, *target;
    const char **inputs;
    bool dot;
} PlanOptions;

static const char *const events[] = {"push", "pull_request", "tag", "manual", "schedule", NULL};

static const Setting plan_flags[] = {
    {.name = "branch",
     .type = SETTING_STRING,
     .offset = offsetof(PlanOptions, branch),
     .fallback = "main",
     .arg = "NAME",
     .help = "plan for this branch; with --event tag, for this tag"},
    {.name = "event",
     .type = SETTING_STRING,
     .offset = offsetof(PlanOptions, event),
     .fallback = "push",
     .arg = "EVENT",
     .help = "what starts the build: push, pull_request, tag, manual, schedule"},
    {.name = "schedule",
     .type = SETTING_STRING,
     .offset = offsetof(PlanOptions, schedule),
     .arg = "NAME",
     .help = "with --event schedule: the one that starts the build; the first one of the file"},
    {.name = "target",
     .type = SETTING_STRING,
     .offset = offsetof(PlanOptions, target),
     .fallback = "main",
     .arg = "NAME",
     .help = "with --event pull_request: the branch that it is for"},
    {.name = "input",
     .type = SETTING_WORDS,
     .offset = offsetof(PlanOptions, inputs),
     .arg = "K=V",
     .help = "an input of the pipeline; may be repeated"},
    {.name = "dot",
     .type = SETTING_BOOL,
     .offset = offsetof(PlanOptions, dot),
     .help = "the graph for Graphviz"},
};

/* ---- text: the jobs by the stage at which they can start at the earliest ---- */

static size_t *stages_of(const Plan *plan, const void *mem, size_t *ret_most) {
    size_t *stage = mem_array(mem, size_t, plan->count);

    *ret_most = 0;
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < plan->count; i++)
            for (size_t k = 0; k < plan->jobs[i].need_count; k++)
                if (stage[i] <= stage[plan->jobs[i].needs[k]]) {
                    stage[i] = stage[plan->jobs[i].needs[k]] + 1;
                    *ret_most = MAX(*ret_most, stage[i]);
                    more = true;
                }
    }
    return stage;
}

static void print_job(const Cli *cli, const Plan *plan, const PlanJob *job, Buf *out) {
    buf_addf(out, "  %s", text_clean(cli->mem, job->name));
    for (size_t k = 0; k < job->need_count && k < 5; k++)
        buf_addf(out, "%s%s", k ? ", " : " <- ", text_clean(cli->mem, plan->jobs[job->needs[k]].name));
    if (job->need_count > 5)
        buf_addf(out, " and %zu more", job->need_count - 5);
    if (job->skip)
        buf_adds(out, "  (skipped)");
    else if (!str_empty(job->condition))
        buf_addf(out, "  (if %s)", text_clean(cli->mem, job->condition));
    buf_addc(out, '\n');
}

/* schedule: what starts the build; NULL: nothing of that kind. */
static void print_text(const Cli *cli, const Plan *plan, const char *schedule, Buf *out) {
    size_t most, *stage = stages_of(plan, cli->mem, &most);

    if (schedule)
        buf_addf(out, "schedule %s\n", text_clean(cli->mem, schedule));
    if (plan->why)
        buf_addf(out, "nothing to build: %s\n", text_clean(cli->mem, plan->why));
    for (size_t s = 0; s <= most && plan->count; s++) {
        buf_addf(out, "%zu\n", s + 1);
        for (size_t i = 0; i < plan->count; i++)
            if (stage[i] == s)
                print_job(cli, plan, &plan->jobs[i], out);
    }
}

/* ---- https://graphviz.org/doc/info/lang.html ---- */

static void add_dot_text(const Cli *cli, const char *text, Buf *out) {
    buf_addc(out, '"');
    for (const char *s = text_clean(cli->mem, text); *s; s++) {
        if (*s == '"' || *s == '\\')
            buf_addc(out, '\\');
        buf_addc(out, *s);
    }
    buf_addc(out, '"');
}

static void print_dot(const Cli *cli, const Plan *plan, Buf *out) {
    buf_adds(out, "digraph pipeline {\n  rankdir=LR;\n  node [shape=box];\n");
    for (size_t i = 0; i < plan->count; i++) {
        buf_adds(out, "  ");
        add_dot_text(cli, plan->jobs[i].name, out);
        buf_adds(out, plan->jobs[i].skip ? " [style=dashed];\n" : ";\n");
    }
    for (size_t i = 0; i < plan->count; i++)
        for (size_t k = 0; k < plan->jobs[i].need_count; k++) {
            buf_adds(out, "  ");
            add_dot_text(cli, plan->jobs[plan->jobs[i].needs[k]].name, out);
            buf_adds(out, " -> ");
            add_dot_text(cli, plan->jobs[i].name, out);
            buf_adds(out, ";\n");
        }
    buf_adds(out, "}\n");
}

/* ---- JSON ---- */

static void json_job(JsonWriter *w, const Plan *plan, const PlanJob *job) {
    jw_object(w, NULL);
    jw_str(w, "name", job->name);
    jw_str(w, "kind", job->kind);
    jw_str(w, "executor", job->fit.executor);
    jw_str(w, "arch", job->fit.arch);
    jw_int(w, "priority", job->priority);
    jw_bool(w, "skip", job->skip);
    jw_bool(w, "allow_failure", job->allow_failure);
    jw_str(w, "if", job->condition);
    jw_array(w, "needs");
    for (size_t k = 0; k < job->need_count; k++)
        jw_str(w, NULL, plan->jobs[job->needs[k]].name);
    jw_end_array(w);
    jw_raw(w, "spec", job->spec, strlen(job->spec));
    jw_end_object(w);
}

static void print_json(const Planned *p, Buf *out) {
    JsonWriter w = JSON_WRITER(out);

    jw_object(&w, NULL);
    jw_str(&w, "file", p->file);
    jw_str(&w, "planner", p->plan->planner);
    jw_str(&w, "nothing", p->plan->why);
    jw_str(&w, "group", p->plan->concurrency.group);
    jw_array(&w, "jobs");
    for (size_t i = 0; i < p->plan->count; i++)
        json_job(&w, p->plan, &p->plan->jobs[i]);
    jw_end_array(&w);
    planned_schedules_json(&w, p->plan);
    jw_end_object(&w);
    buf_addc(out, '\n');
}

/* ---- the command ---- */

static int inputs_text(Cli *cli, const char **pairs, const char **ret, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    int r = start_pairs(&w, NULL, "--input", pairs, err);

    if (r >= 0)
        *ret = buf_dup(&out, cli->mem);
    return r;
}

static int check_event(const PlanOptions *options, Err *err) {
    const char *event = options->event;

    if (options->schedule && !str_eq(event, "schedule"))
        return err_set(err, ERR_INVALID, "--schedule %s is for --event schedule", options->schedule);
    for (size_t i = 0; events[i]; i++)
        if (str_eq(event, events[i]))
            return 0;
    return err_set(err, ERR_INVALID, "--event %s: expected push, pull_request, tag, manual or schedule",
                   event);
}

static int plan_run(Cli *cli, void *arg, Err *err) {
    const PlanOptions *options = arg;
    bool tag = str_eq(options->event, "tag");
    PlanContext context = {
        .project = "plan",
        .branch = tag ? "" : options->branch,
        .ref = mem_printf(cli->mem, "refs/%s/%s", tag ? "tags" : "heads", options->branch),
        .commit = "here",
        .event = options->event,
        .schedule = options->schedule,
        .target = str_eq(options->event, "pull_request") ? options->target : NULL,
    };
    _cleanup_buf_ Buf out = BUF_INIT;
    Planned planned;
    int r = check_event(options, err);

    if (r >= 0)
        r = inputs_text(cli, options->inputs, &context.inputs, err);

    if (r >= 0)
        r = planned_read(cli, cli->arg_count > 0 ? cli->args[0] : NULL, &context, &planned, err);
    if (r < 0)
        return r;
    if (!planned.plan)
        planned_problems(cli, &planned, &out);
    else if (cli->json)
        print_json(&planned, &out);
    else if (options->dot)
        print_dot(cli, planned.plan, &out);
    else
        print_text(cli, planned.plan, context.schedule, &out);
    r = cli_print(&out, err);
    return r < 0 ? r : planned.plan ? CLI_DONE : CLI_FAILED;
}

static const char *const plan_examples[] = {
    "pelton plan",
    "what a push to main would run, and in which order",
    "pelton plan --event tag --branch v1.0 --input level=full",
    "what a tag would run",
    "pelton plan --event schedule --schedule nightly",
    "what the schedule nightly would run",
    "pelton plan --event pull_request --branch feature --target main",
    "what a pull request would run",
    "pelton plan --dot | dot -Tsvg > plan.svg",
    "a picture of it",
    "pelton plan --json | jq '.jobs[].spec'",
    "what runners would be told",
    NULL,
};

const Command command_plan = {
    .name = "plan",
    .brief = "show the jobs of a pipeline file",
    .usage = "plan [FILE] [--branch NAME] [--event EVENT] [--schedule NAME] [--target NAME] [--input K=V]... "
             "[--dot]",
    .about = "Plans a build as a server would, without one: jobs by the stage at which they can start at the "
             "earliest,\n"
             "each with the jobs that it needs.",
    FLAGS(plan_flags),
    .options_size = sizeof(PlanOptions),
    .examples = plan_examples,
    .max_args = 1,
    .operand = "file",
    .run = plan_run,
};
