#include "pipeline/pipeline.h"

#include "base/str.h"
#include "pipeline/caches.h"
#include "pipeline/download.h"
#include "pipeline/include.h"
#include "pipeline/on.h"
#include "pipeline/spec.h"
#include "pipeline/stages.h"

#define GIVEN_BYTES 440 /* of an error, for what is wrong with inputs */

enum { FILE_YML, FILE_YAML, FILE_STAGES, FILE_MAKE_FIRST, FILE_MAKE_LAST = FILE_MAKE_FIRST + 2, FILE_FLAKE };

/* make takes the first of its three names that is there (GNU make manual, 3.2). */
const char *const plan_files[] = {".pelton.yml", ".pelton.yaml", STAGES_FILE, "GNUmakefile",
                                  "makefile",    "Makefile",     "flake.nix", NULL};

bool plan_file_tells(size_t file) {
    return file < FILE_MAKE_FIRST;
}

/* ---- reading ---- */

static void check_executors(const PipeFile *file, const PlanContext *context, Problems *problems) {
    const PipeJob *jobs = file->jobs.items;

    for (size_t i = 0; i < file->jobs.count && !context->allow_shell; i++)
        if (str_eq(lang_text(jobs[i].runs_on.executor), "shell"))
            problems_at(
                problems, jobs[i].runs_on.executor,
                "executor \"shell\" of job \"%s\" is not allowed by this server (--allow-executor shell); "
                "expected \"sandbox\"",
                problems_show(problems, jobs[i].name->text));
}

/* What is said of a whole build is said once, by the file that it began with. */
static bool is_part(LangReader *r, const YamlNode *root) {
    bool fine = true;

    for (size_t i = 0; root->kind == YAML_MAPPING && i < root->count; i++) {
        const YamlNode *key = root->pairs[i].key;

        if (!lang_key(&lang_file, key->text) || str_eq(key->text, "env") || str_eq(key->text, "templates") ||
            str_eq(key->text, "jobs"))
            continue;
        fine = false;
        problems_at(r->problems, key,
                    "\"%s\" cannot be in a part of a pipeline; expected env, templates or jobs", key->text);
    }
    return fine;
}

/* NULL: nothing can be made of it, which is told. */
static YamlNode *read_root(const char *text, size_t len, Problems *problems) {
    ProblemSource source = {.text = text, .len = len};
    YamlNode *root = NULL;

    mem_append(problems->mem, problems->sources, problems->source_count, source);
    if (len > YAML_MAX_BYTES)
        problems_add(problems, 0, 0, "the file has %zu bytes; at most %d are read", len, YAML_MAX_BYTES);
    else
        root = problems_yaml(problems, text, len, YAML_MAX_BYTES, 0, "");
    if (problems->count == 0 && (!root || yaml_is_null(root)))
        problems_add(problems, 0, 0, "the file is empty; expected \"jobs\" or \"deploy\"");
    return root && yaml_is_null(root) ? NULL : root;
}

static void read_file(const char *text, size_t len, Changes *changes, PipeFile *file, Problems *problems) {
    const PlanContext *context = changes->context;
    const void *mem = changes->mem;
    LangPlace top = {.level = &lang_file};
    LangReader r = {.mem = mem,
                    .context = context,
                    .problems = problems,
                    .place = &top,
                    .scope = {.context = context, .changes = changes}};
    YamlNode *root = read_root(text, len, problems);
    const YamlNode *whole;
    size_t before;

    if (!root || (file->known && !is_part(&r, root)))
        return;
    whole = file->known ? include_beneath(&r, root, file->whole) : include_all(&r, root);
    r.scope.lacking = problems->lacking ? EXPR_LACKS_ALL : 0;
    lang_read(&r, &lang_file, whole, file);
    templates_check(&r);
    if (!file->known && (whole->kind != YAML_MAPPING || !yaml_get(whole, "inputs")))
        lang_inputs_take(&r, &(LangItems){0});
    if (problems->count == 0 && root->kind == YAML_MAPPING && !yaml_get(whole, "jobs") &&
        !yaml_get(whole, "deploy"))
        problems_at(problems, root, "nothing to do; expected \"jobs\" or \"deploy\"");
    check_executors(file, context, problems);
    caches_check(file, problems);
    before = problems->count;
    graph_link(file, mem, problems);
    if (problems->count == before && !problems->lacking)
        downloads_check(file, problems);
}

/* ---- planning ---- */

/* Whether the condition is false whatever the job's needs do. A job without needs starts after nothing that
 * could fail. */
static bool never(const YamlNode *condition, const PlanContext *context, bool has_needs) {
    static const CondStatus all[] = {COND_SUCCESS, COND_CANCELLED, COND_FAILURE};
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    ExprResult result;
    size_t at;
    Err err;

    for (size_t i = 0; condition && i < (has_needs ? 3 : 2); i++) {
        ExprScope scope = {.context = context, .status = all[i], .uses = EXPR_STATUS | EXPR_NEEDS};

        if (expr_eval(condition->text, 0, condition->len, &scope, mem, &result, &at, &err) < 0 || result.late)
            return false;
        if (result.value.truth && (result.asked || all[i] == COND_SUCCESS))
            return false;
    }
    return condition != NULL;
}

/* Runners say what they are as uname -m does. */
static const char *arch_word(const YamlNode *arch) {
    const char *word = lang_text(arch);

    if (str_eq(word, "amd64"))
        return "x86_64";
    return str_eq(word, "arm64") ? "aarch64" : word;
}

static PlanFit plan_fit(const PipeJob *job, SpecWriter *w) {
    return (PlanFit){
        .executor = spec_executor(job),
        .arch = arch_word(job->runs_on.arch),
        .labels = spec_labels(w, job->runs_on.labels),
        .cpu = job->resources.cpu,
        .memory = job->resources.memory,
        .disk = job->resources.disk,
    };
}

static PlanJob plan_job(const PipeFile *file, const PipeJob *job, const PlanContext *context, SpecWriter *w,
                        const LangPaths *release) {
    return (PlanJob){
        .name = job->name->text,
        .kind = "steps",
        .fit = plan_fit(job, w),
        .priority = job->priority,
        .queue_timeout_us = job->queue_timeout ? job->queue_timeout : file->queue_timeout,
        .retry = spec_retry(w, &job->retry),
        .condition = lang_text(job->condition),
        .spec = spec_job(w, job, release),
        .needs = job->need,
        .need_count = job->need_count,
        .known = job->known,
        .known_count = job->known_count,
        .allow_failure = job->allow_failure,
        .skip = never(job->condition, context, job->need_count + job->known_count > 0),
    };
}

/* The job that checks out what a file without jobs deploys. */
static PlanJob plan_release_job(const PipeDeploy *deploy, SpecWriter *w) {
    PipeJob job = {.checkout = true, .network = false};

    return (PlanJob){
        .name = "release",
        .kind = "steps",
        .fit = {.executor = "sandbox", .arch = ""},
        .condition = "",
        .spec = spec_job(w, &job, &deploy->files),
    };
}

/* Needs all jobs before it. */
static PlanJob plan_deploy_job(const Plan *plan, const PipeDeploy *deploy, SpecWriter *w) {
    const PlanJob *from = &plan->jobs[deploy->job_index];
    PlanJob job = {
        .name = "deploy",
        .kind = "deploy",
        .fit = {.executor = "deploy", .arch = ""},
        .condition = from->skip ? "false" : "", /* no release without its job, even where skipped is well */
        .spec = spec_deploy(w, deploy, from->name),
        .needs = mem_array(w->mem, size_t, plan->count),
        .need_count = plan->count,
        .skip = from->skip,
    };

    for (size_t i = 0; i < plan->count; i++)
        job.needs[i] = i;
    return job;
}

static bool deploys(const PipeFile *file, const PlanContext *context) {
    return file->deploy && !context->no_deploy &&
           (str_eq(context->event, "push") || str_eq(context->event, "manual")) &&
           str_eq(context->branch, file->deploy->branch->text);
}

static PlanConcurrency plan_concurrency(const PipeConcurrency *c) {
    if (!c->group)
        return (PlanConcurrency){0};
    return (PlanConcurrency){.group = c->group->text, .limit = c->limit, .cancel = c->cancel->text};
}

static void plan_jobs(const PipeFile *file, const PlanContext *context, SpecWriter *w, Plan *plan) {
    const PipeJob *jobs = file->jobs.items;
    bool deploy = deploys(file, context);

    plan->jobs = mem_array(w->mem, PlanJob, file->jobs.count + 2);
    for (; plan->count < file->jobs.count && w->total <= SPEC_MAX_TOTAL; plan->count++) {
        bool release = deploy && plan->count == file->deploy->job_index;

        plan->jobs[plan->count] =
            plan_job(file, &jobs[plan->count], context, w, release ? &file->deploy->files : NULL);
    }
    if (deploy && plan->count == 0)
        plan->jobs[plan->count++] = plan_release_job(file->deploy, w);
    if (deploy && w->total <= SPEC_MAX_TOTAL) {
        plan->jobs[plan->count] = plan_deploy_job(plan, file->deploy, w);
        plan->count++;
    }
    plan->nothing = true;
    for (size_t i = 0; i < plan->count && plan->nothing; i++)
        plan->nothing = plan->jobs[i].skip;
}

static int fail_first(const char *file, const PlanProblems *all, Err *err) {
    const PlanProblem *first = plan_problems_first(all);

    if (first->file)
        file = first->file;
    if (first->line > 0)
        return err_set(err, ERR_INVALID, "%s:%d:%d: %s", file, first->line, first->column, first->message);
    return err_set(err, ERR_INVALID, "%s: %s", file, first->message);
}

/* Whoever gave them hears of all, as far as an error has room. */
static int fail_given(const PlanProblems *all, Err *err) {
    _cleanup_buf_ Buf text = BUF_INIT;
    size_t more = 0;

    for (size_t i = 0; i < all->count; i++) {
        const PlanProblem *p = &all->items[i];

        if (p->kind != PLAN_PROBLEM_GIVEN)
            continue;
        if (text.len && text.len + strlen(p->message) > GIVEN_BYTES)
            more++;
        else
            buf_addf(&text, "%s%s", text.len ? "; " : "", p->message);
    }
    if (more)
        buf_addf(&text, "; and %zu more", more);
    return err_set(err, ERR_INVALID, "%s", buf_str(&text));
}

static int fail(const char *file, Problems *problems, PlanProblems **ret_problems, Err *err) {
    PlanProblems *all = problems_take(problems);

    if (plan_problems_first(all)->kind == PLAN_PROBLEM_GIVEN)
        return fail_given(all, err);
    *ret_problems = all;
    return fail_first(file, all, err);
}

static int plan_read(const char *name, PipeFile *file, Problems *problems, Changes *changes, Plan **ret,
                     PlanProblems **ret_problems, Err *err) {
    const void *mem = changes->mem;
    SpecWriter w;
    Plan *plan;

    if (problems->count)
        return fail(name, problems, ret_problems, err);
    plan = mem_new(mem, Plan);
    plan->planner = "pelton";
    plan->file = name;
    plan->timeout_us = file->timeout;
    plan->concurrency = plan_concurrency(&file->concurrency);
    on_schedules(file, mem, plan);
    spec_init(&w, file, mem);
    if (on_wants(file, changes, &plan->why))
        plan_jobs(file, changes->context, &w, plan);
    plan->nothing |= plan->why != NULL;
    spec_done(&w);
    if (w.total > SPEC_MAX_TOTAL) {
        problems_add(problems, 0, 0,
                     "the plan of all jobs, with the file's env in each, is larger than %d MiB",
                     SPEC_MAX_TOTAL / 1024 / 1024);
        return fail(name, problems, ret_problems, err);
    }
    *ret = plan;
    return 0;
}

static int plan_pelton(const char *name, const char *text, size_t len, const PlanContext *context,
                       const void *mem, Plan **ret, PlanProblems **ret_problems, Err *err) {
    Problems problems = PROBLEMS(mem);
    Changes changes = {.context = context, .mem = mem};
    PipeFile file = {0};

    read_file(text, len, &changes, &file, &problems);
    return plan_read(name, &file, &problems, &changes, ret, ret_problems, err);
}

/* Nothing is given yet, and no build is started in which it could be missing. */
static int inputs_of(const char *name, const char *text, size_t len, const PlanContext *context,
                     const void *mem, PlanInput **ret, size_t *ret_count, Err *err) {
    Problems problems = PROBLEMS(mem);
    PlanContext asked = {.event = "", .source = context->source};
    LangPlace top = {.level = &lang_file};
    LangReader r = {
        .mem = mem, .context = &asked, .problems = &problems, .place = &top, .scope = {.context = &asked}};
    YamlNode *root = read_root(text, len, &problems);
    const YamlNode *whole = root ? include_all(&r, root) : NULL;
    const YamlNode *node = whole && whole->kind == YAML_MAPPING ? yaml_get(whole, "inputs") : NULL;
    PipeFile file = {0};

    if (node)
        lang_value(&r, lang_key(&lang_file, "inputs"), node, &file.inputs);
    if (problems.count)
        return fail_first(name, problems_take(&problems), err);
    *ret = lang_inputs_plan(&file.inputs, mem);
    *ret_count = file.inputs.count;
    return 0;
}

int plan_part(const char *text, size_t len, const PlanFile *whole, const PlanContext *context,
              const char *const *known, size_t known_count, const void *mem, Plan **ret,
              PlanProblems **ret_problems, Err *err) {
    Problems problems = PROBLEMS(mem);
    Changes changes = {.context = context, .mem = mem};
    PipeFile file = {.whole = whole, .known = known, .known_count = known_count};

    read_file(text, len, &changes, &file, &problems);
    return plan_read(PLAN_PART_FILE, &file, &problems, &changes, ret, ret_problems, err);
}

/* One job, for a file that has no jobs in it. */
static int plan_detected(const char *planner, const char *file, const char *executor, const char *spec,
                         const void *mem, Plan **ret) {
    Plan *plan = mem_new(mem, Plan);

    plan->planner = planner;
    plan->file = file;
    plan->jobs = mem_new(mem, PlanJob);
    plan->count = 1;
    plan->jobs[0] = (PlanJob){.name = planner,
                              .kind = "steps",
                              .fit = {.executor = executor, .arch = ""},
                              .condition = "",
                              .spec = spec};
    *ret = plan;
    return 0;
}

static int plan_stages(const char *text, size_t len, const PlanContext *context, const void *mem, Plan **ret,
                       PlanProblems **ret_problems, Err *err) {
    const char *tag = str_after(context->ref, "refs/tags/"), *ref = tag ? tag : context->branch;
    StagesInfo *info;
    int r = stages_plan(text, len, context, mem, ret, &info, ret_problems, err);

    if (str_eq(context->event, "pull_request"))
        ref = context->target ? context->target : "";
    if (r >= 0 && !stages_wants(info, context->event, ref, NULL)) {
        (*ret)->nothing = true;
        (*ret)->why = mem_printf(mem, "none of its triggers is for a %s %s", context->event, ref);
    }
    return r == -ERR_UNSUPPORTED || r == -ERR_INVALID ? fail_first(STAGES_FILE, *ret_problems, err) : r;
}

int plan_nothing(const char *where, Err *err) {
    _cleanup_buf_ Buf files = BUF_INIT;

    for (size_t i = 0; plan_files[i]; i++)
        buf_addf(&files, "%s%s", i == 0 ? "" : plan_files[i + 1] ? ", " : " or ", plan_files[i]);
    return err_set(err, ERR_NOT_FOUND, "nothing to build: no %s %s; see docs/pipeline.md", buf_str(&files),
                   where);
}

/* The file of our own language, if there is one. */
static int find_pelton(const char *const *contents, const void *mem, size_t *ret, PlanProblems **ret_problems,
                       Err *err) {
    Problems problems = PROBLEMS(mem);

    *ret = contents[FILE_YML] ? FILE_YML : FILE_YAML;
    if (!contents[FILE_YML] || !contents[FILE_YAML])
        return 0;
    problems_add(&problems, 0, 0, "there is also a .pelton.yaml; keep one of the two");
    return fail(plan_files[FILE_YML], &problems, ret_problems, err);
}

int plan_inputs(const char *const *contents, const size_t *lens, const PlanContext *context, const void *mem,
                PlanInput **ret, size_t *ret_count, Err *err) {
    PlanProblems *problems;
    size_t file;
    int r = find_pelton(contents, mem, &file, &problems, err);

    if (r < 0)
        return r;
    if (contents[file])
        return inputs_of(plan_files[file], contents[file], lens[file], context, mem, ret, ret_count, err);
    *ret = NULL;
    *ret_count = 0;
    return 0;
}

int plan_make(const char *const *contents, const size_t *lens, const PlanContext *context, const void *mem,
              Plan **ret, PlanProblems **ret_problems, Err *err) {
    size_t file;
    SpecWriter w = {.mem = mem};
    int r = find_pelton(contents, mem, &file, ret_problems, err);

    if (r < 0)
        return r;
    if (contents[file])
        return plan_pelton(plan_files[file], contents[file], lens[file], context, mem, ret, ret_problems,
                           err);
    if (contents[FILE_STAGES])
        return plan_stages(contents[FILE_STAGES], lens[FILE_STAGES], context, mem, ret, ret_problems, err);
    for (file = FILE_MAKE_FIRST; file <= FILE_MAKE_LAST; file++)
        if (contents[file])
            return plan_detected("make", plan_files[file], "sandbox", spec_make(&w), mem, ret);
    if (contents[FILE_FLAKE])
        return plan_detected("flake", plan_files[FILE_FLAKE], "nix", spec_flake(&w), mem, ret);
    return plan_nothing(
        mem_printf(mem, "at the root of %.8s", context->commit ? context->commit : "the commit"), err);
}
