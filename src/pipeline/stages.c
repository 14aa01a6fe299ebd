/* From a file of the stages dialect to a plan. */
#include "pipeline/stages.h"

#include "base/str.h"
#include "pipeline/spec.h"

#define EDGES_MAX 200000
#define ENV_BUDGET (8 * 1024 * 1024) /* bytes of values that were put together */

/* A workspace that a job left for those after it: whole, or what the job changed. */
typedef struct Kept {
    size_t job;
    bool changes;
    bool required; /* its stage has no condition: it ran for sure */
} Kept;

typedef struct StagesPlanner {
    const void *mem;
    const PlanContext *context;
    const StagesFile *file;
    StagesEnv hand;     /* given by hand: wins over what the file says */
    StagesEnv standard; /* what we say of the build */
    StagesEnv pipeline; /* the file's environment */
    Plan *plan;
    size_t total; /* bytes of all specifications */
    Kept *kept;   /* in the order in which they make a workspace */
    size_t kept_count;
    size_t edges; /* of needs and workspaces */
    size_t budget;
    Problems *problems;
} StagesPlanner;

/* ---- variables ---- */

/* Names that pipelines of other systems expect beside PELTON_…. */
static void add_standard(StagesPlanner *p) {
    const PlanContext *c = p->context;
    const char *tag = str_after(c->ref, "refs/tags/");
    const char *const vars[][2] = {
        {"BRANCH", tag ? "" : c->branch},
        {"CI_BRANCH", tag ? "" : c->branch},
        {"CI_TAG", tag ? tag : ""},
        {"CI_COMMIT_SHA", c->commit},
        {"CI_COMMIT_SHORT_SHA", mem_strndup(p->mem, c->commit, strnlen(c->commit, 8))},
        {"CI_EVENT", c->event},
        {"CI_PIPELINE_NAME", p->file->info->name},
    };

    for (size_t i = 0; i < ELEMENTS(vars); i++)
        stages_env_set(&p->standard, vars[i][0], vars[i][1], p->mem);
}

static int read_hand(StagesPlanner *p, Err *err) {
    _cleanup_json_ json_t *env = NULL;
    const char *name;
    json_t *value;
    int r;

    if (str_empty(p->context->env))
        return 0;
    r = json_read(p->context->env, strlen(p->context->env), &env, err);
    if (r < 0)
        return r;
    json_object_foreach (env, name, value) {
        StagesVar var = {mem_strdup(p->mem, name), mem_strdup(p->mem, json_string_value(value))};

        if (!var.value)
            continue;
        stages_env_set(&p->hand, var.name, var.value, p->mem);
        stages_env_set(&p->standard, var.name, var.value, p->mem);
    }
    return 0;
}

static StagesEnv layer(const StagesPlanner *p, const StagesEnv *below, const YamlNode *mapping) {
    StagesEnv env = {.below = below, .hand = &p->hand};

    stages_env_add(&env, mapping, p->mem);
    return env;
}

/* ---- specifications ---- */

static void write_vars(JsonWriter *w, const char *key, const StagesEnv *env, const StagesEnv *until) {
    jw_object(w, key);
    for (; env != until; env = env->below) {
        for (size_t i = 0; i < env->count; i++)
            jw_str(w, env->vars[i].name, env->vars[i].value);
    }
    jw_end_object(w);
}

/* The layers from the pipeline's up, each name once. */
static StagesEnv flatten(const StagesPlanner *p, const StagesEnv *top) {
    const StagesEnv *layers[8];
    StagesEnv all = {0};
    size_t count = 0;

    for (const StagesEnv *e = top; e && count < ELEMENTS(layers); e = e->below)
        layers[count++] = e;
    while (count--)
        for (size_t i = 0; i < layers[count]->count; i++)
            stages_env_set(&all, layers[count]->vars[i].name, layers[count]->vars[i].value, p->mem);
    return all;
}

static void condition_problem(StagesPlanner *p, const YamlNode *node, const Err *err) {
    problems_at(p->problems, node, "condition: %s", err->msg);
}

/* "": none. */
static const char *condition_of(StagesPlanner *p, const StagesEnv *env, const YamlNode *node) {
    const PlanContext *context = p->context;
    const char *text = "";
    bool unused;
    Err err;

    if (node && (stages_condition(env, node->text, p->mem, &text, &err) < 0 ||
                 condition_eval(text, context, COND_SUCCESS, &unused, &err) < 0)) {
        condition_problem(p, node, &err);
        return "";
    }
    return text;
}

/* A job of some steps of a stage. */
typedef struct StagesJob {
    size_t stage;
    const StagesStep *steps;
    size_t count;
    bool last;          /* nobody comes after it */
    bool after_failure; /* it may run though stages before it failed, or did not run */
} StagesJob;

static void write_secrets(JsonWriter *w, const StagesSecrets *secrets) {
    if (secrets->count == 0)
        return;
    jw_array(w, "secrets");
    for (size_t i = 0; i < secrets->count; i++)
        jw_str(w, NULL, secrets->names[i]);
    jw_end_array(w);
}

/* What the step has beside what all of them have. */
static void write_own_secrets(JsonWriter *w, const StagesPlanner *p, const StagesStep *step,
                              const StagesSecrets *shared) {
    StagesSecrets own = {0};

    for (size_t i = 0; i < step->secrets.count; i++)
        if (!stages_secrets_hold(shared, step->secrets.names[i]))
            stages_secrets_add(&own, step->secrets.names[i], p->mem);
    write_secrets(w, &own);
}

static void write_build(const StagesPlanner *p, JsonWriter *w, const StagesEnv *env, const StagesStep *step) {
    jw_str(w, "uses", "docker");
    jw_object(w, "with");
    jw_str(w, "build", step->context);
    jw_str(w, "file", step->file);
    jw_array(w, "tag");
    for (size_t i = 0; step->tags[i]; i++)
        jw_str(w, NULL, stages_expand(env, step->tags[i], p->mem, NULL));
    jw_end_array(w);
    jw_bool(w, "push", step->push);
    jw_end_object(w);
}

static void write_step(StagesPlanner *p, JsonWriter *w, const StagesEnv *stage, const StagesStep *step,
                       const StagesSecrets *shared) {
    StagesEnv env = layer(p, stage, step->env);

    for (size_t i = 0; i < step->var_count; i++)
        stages_env_set(&env, step->vars[i].name, stages_expand(&env, step->vars[i].value, p->mem, NULL),
                       p->mem);
    jw_object(w, NULL);
    jw_str(w, "name", step->name);
    jw_str(w, "run", step->run ? step->run : "");
    if (step->builds)
        write_build(p, w, &env, step);
    write_vars(w, "env", &env, stage);
    jw_int(w, "timeout", step->timeout);
    jw_str(w, "working_directory", step->folder ? step->folder : "");
    jw_str(w, "if", condition_of(p, stage, step->condition));
    jw_bool(w, "continue_on_error", step->continue_on_error);
    write_own_secrets(w, p, step, shared);
    jw_end_object(w);
}

/* What a stage stands behind. */
typedef struct Barrier {
    size_t *needs; /* the stage before, and what that stood behind if it may run after a failure */
    size_t count;
    size_t whole; /* of the planner's kept: from here on they make the workspace, when all went well */
} Barrier;

static void write_file(JsonWriter *w, const char *key, size_t job) {
    char path[64];

    snprintf(path, sizeof(path), ".pelton/workspace/%zu.tar", job);
    jw_str(w, key, path);
}

/* After a failure it is not sure which stages have run: the last that did counts. */
static size_t first_kept(const StagesJob *job, const Barrier *before) {
    return job->after_failure ? 0 : before->whole;
}

static void write_workspace(JsonWriter *w, const StagesPlanner *p, const StagesJob *job,
                            const Barrier *before) {
    jw_object(w, "workspace");
    jw_array(w, "take");
    for (size_t i = first_kept(job, before); i < p->kept_count; i++) {
        jw_object(w, NULL);
        write_file(w, "path", p->kept[i].job);
        jw_bool(w, "changes", p->kept[i].changes);
        jw_bool(w, "required", p->kept[i].required && !job->after_failure);
        jw_end_object(w);
    }
    jw_end_array(w);
    if (!job->last)
        write_file(w, "keep", p->plan->count);
    jw_bool(w, "changes", stages_in_parallel(&p->file->stages[job->stage]));
    jw_end_object(w);
}

/* What the view of an execution is made from. */
static void write_origin(JsonWriter *w, const StagesPlanner *p, const StagesJob *job) {
    const Stage *stage = &p->file->stages[job->stage];

    jw_object(w, "stage");
    jw_int(w, "index", (int64_t)job->stage);
    jw_str(w, "name", stage->name);
    jw_bool(w, "parallel", stage->parallel);
    jw_end_object(w);
}

static const char *executor_of(const StagesJob *job) {
    for (size_t i = 0; i < job->count; i++)
        if (job->steps[i].image || job->steps[i].builds)
            return "docker";
    return "sandbox";
}

static const char *write_spec(StagesPlanner *p, const StagesJob *job, const StagesEnv *env,
                              const Barrier *before) {
    const Stage *stage = &p->file->stages[job->stage];
    StagesSecrets shared = stages_secrets_of(p->file, stage, NULL, 0, p->mem);
    StagesSecrets secrets = stages_secrets_of(p->file, stage, job->steps, job->count, p->mem);
    StagesEnv all = flatten(p, env);
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);

    jw_object(&w, NULL);
    jw_str(&w, "kind", "steps");
    jw_str(&w, "executor", executor_of(job));
    if (job->steps[0].image) {
        jw_str(&w, "image", stages_expand(env, job->steps[0].image, p->mem, NULL));
        jw_str(&w, "pull", "missing");
    }
    jw_bool(&w, "checkout", !p->context->bare);
    jw_bool(&w, "network", true);
    write_vars(&w, "env", &all, NULL);
    jw_int(&w, "timeout", stage->timeout);
    jw_array(&w, "steps");
    for (size_t i = 0; i < job->count; i++)
        write_step(p, &w, env, &job->steps[i], &shared);
    jw_end_array(&w);
    write_secrets(&w, &secrets);
    write_workspace(&w, p, job, before);
    write_origin(&w, p, job);
    jw_end_object(&w);
    p->total += out.len;
    return p->total <= SPEC_MAX_TOTAL ? buf_dup(&out, p->mem) : NULL;
}

/* ---- jobs ---- */

static const char *retry_of(const StagesPlanner *p, const Stage *stage) {
    int64_t times = stage->retries < 0 ? p->file->retries : stage->retries;

    return times == 0 ? NULL
                      : mem_printf(p->mem,
                                   "{\"times\":%lld,\"on\":[\"exit\",\"timeout\",\"oom\",\"infrastructure\"],"
                                   "\"backoff\":0}",
                                   (long long)times);
}

/* Names are unique in a build: people and addresses ask for a job by its name. */
static const char *unique_name(const StagesPlanner *p, const char *name) {
    bool taken = true;

    while (taken) {
        taken = false;
        for (size_t i = 0; i < p->plan->count && !taken; i++)
            taken = str_eq(p->plan->jobs[i].name, name);
        if (taken)
            name = mem_printf(p->mem, "%s (%zu)", name, p->plan->count + 1);
    }
    return name;
}

/* Whether a stage may run though one before it failed. */
static bool may_follow_failure(const StagesPlanner *p, const char *condition) {
    bool result = false;
    Err err;

    return *condition && condition_eval(condition, p->context, COND_FAILURE, &result, &err) == 0 && result;
}

static void add_job(StagesPlanner *p, const Stage *stage, const StagesJob *job, const StagesEnv *env,
                    const char *name, const char *condition, const Barrier *before) {
    const char *spec = write_spec(p, job, env, before);
    bool first = before->count == 0, run = true;
    Err err;

    if (*condition && first && condition_eval(condition, p->context, COND_SUCCESS, &run, &err) < 0)
        run = true;
    p->plan->jobs[p->plan->count++] = (PlanJob){.name = name,
                                                .kind = "steps",
                                                .fit = {.executor = executor_of(job), .arch = ""},
                                                .retry = retry_of(p, stage),
                                                .condition = condition,
                                                .spec = spec,
                                                .needs = before->needs,
                                                .need_count = before->count,
                                                .skip = !run};
}

/* The workspaces of jobs from `from` on join those before them. */
static void keep(StagesPlanner *p, size_t from, bool changes, bool required) {
    for (size_t i = from; i < p->plan->count; i++) {
        Kept kept = {i, changes, required};

        mem_append(p->mem, p->kept, p->kept_count, kept);
    }
}

/* Behind the jobs from `from` on. */
static Barrier behind(const StagesPlanner *p, size_t from, size_t whole) {
    Barrier next = {.whole = whole};

    for (size_t i = from; i < p->plan->count; i++)
        mem_append(p->mem, next.needs, next.count, i);
    return next;
}

/* Where a stage's jobs begin and what they begin with. */
typedef struct Course {
    const Stage *stage;
    size_t index;
    StagesEnv env;
    const char *condition;
    bool after_failure;
} Course;

static void plan_steps(StagesPlanner *p, const Course *c, size_t first, size_t count, const char *name,
                       const char *condition, const Barrier *before) {
    const Stage *stage = c->stage;
    StagesJob job = {.stage = c->index,
                     .steps = &stage->steps[first],
                     .count = count,
                     .last = c->index + 1 == p->file->count &&
                             (stages_in_parallel(stage) || first + count == stage->count),
                     .after_failure = c->after_failure};

    p->edges += before->count + p->kept_count - first_kept(&job, before);
    if (p->edges > EDGES_MAX)
        problems_add(p->problems, 0, 0, "too many parallel steps behind each other");
    else
        add_job(p, stage, &job, &c->env, unique_name(p, name), condition, before);
}

static void plan_parallel(StagesPlanner *p, const Course *c, Barrier *barrier) {
    size_t from = p->plan->count;

    for (size_t i = 0; i < c->stage->count && p->problems->count == 0; i++)
        plan_steps(p, c, i, 1, mem_printf(p->mem, "%s / %s", c->stage->name, c->stage->steps[i].name),
                   c->condition, barrier);
    keep(p, from, true, !*c->condition);
    *barrier = behind(p, from, barrier->whole);
}

/* Where the next step begins another job, that follows with the same workspace. */
static void plan_sequence(StagesPlanner *p, const Course *c, Barrier *barrier) {
    const char *condition = c->condition;
    size_t count;

    for (size_t i = 0; i < c->stage->count && p->problems->count == 0; i += count) {
        size_t job = p->plan->count;

        count = stages_job_length(c->stage, i);
        if (i > 0 && c->after_failure) {
            bool always = false;
            Err err;

            /* whether the first part ran would not be known to the second */
            if (condition_eval(c->condition, p->context, COND_SUCCESS, &always, &err) < 0 || !always)
                problems_at(
                    p->problems, c->stage->condition,
                    "Stage '%s' runs only after a failure: its steps must be of one container; give the "
                    "others a stage of their own",
                    problems_show(p->problems, c->stage->name));
            condition = "";
        }
        plan_steps(p, c, i, count, c->stage->name, condition, barrier);
        /* a job that runs for sure, and leaves all of its workspace, hides those before it */
        if (!*c->condition)
            barrier->whole = p->kept_count;
        keep(p, job, false, !*c->condition);
        *barrier = behind(p, job, barrier->whole);
    }
}

static void plan_stage(StagesPlanner *p, size_t index, Barrier *barrier) {
    Course c = {.stage = &p->file->stages[index], .index = index};
    Barrier before = *barrier;

    c.env = layer(p, &p->pipeline, c.stage->env);
    c.condition = condition_of(p, &c.env, c.stage->condition);
    c.after_failure = may_follow_failure(p, c.condition);
    if (stages_in_parallel(c.stage))
        plan_parallel(p, &c, barrier);
    else
        plan_sequence(p, &c, barrier);
    if (c.after_failure)
        for (size_t i = 0; i < before.count; i++)
            mem_append(p->mem, barrier->needs, barrier->count, before.needs[i]);
}

static size_t count_jobs(const StagesFile *file) {
    size_t count = 0;

    for (size_t i = 0; i < file->count; i++)
        count += file->stages[i].count; /* at most: a step a job */
    return count;
}

static void plan_all(StagesPlanner *p) {
    Barrier barrier = {0};
    bool skip = true;

    p->plan->jobs = mem_array(p->mem, PlanJob, count_jobs(p->file));
    for (size_t i = 0; i < p->file->count && p->problems->count == 0 && p->total <= SPEC_MAX_TOTAL; i++)
        plan_stage(p, i, &barrier);
    for (size_t i = 0; i < p->plan->count; i++)
        skip = skip && p->plan->jobs[i].skip;
    p->plan->nothing = skip && p->plan->count;
}

/* ---- notices ---- */

static void add_notices(StagesPlanner *p) {
    for (size_t i = 0; i < p->file->notice_count; i++) {
        const StagesNotice *from = &p->file->notices[i];
        PlanNotice notice = {.moment = from->moment,
                             .kind = from->kind,
                             .config = stages_notice_config(from, &p->pipeline, p->mem)};

        mem_append(p->mem, p->plan->notices, p->plan->notice_count, notice);
    }
}

/* ---- the whole ---- */

static int fail(StagesReader *r, PlanProblems **ret, Err *err) {
    PlanProblems *all = problems_take(&r->problems);
    const PlanProblem *first = plan_problems_first(all);

    *ret = all;
    return err_set(err, first->kind == PLAN_PROBLEM_LATER ? ERR_UNSUPPORTED : ERR_INVALID, "%s",
                   first->message);
}

#define INVALID_YAML "Invalid YAML configuration: "

static int read_yaml(StagesReader *r, const char *text, size_t len, YamlNode **ret) {
    *ret = problems_yaml(&r->problems, text, len, STAGES_MAX_BYTES, 0, INVALID_YAML);
    if (!*ret && !r->problems.count)
        problems_add(&r->problems, 0, 0, INVALID_YAML "the file is empty");
    return *ret ? 0 : -ERR_INVALID;
}

/* For a repository's own file, where they are its schedules; they have no names but their places. */
static void add_schedules(StagesPlanner *p) {
    const StagesInfo *info = p->file->info;

    for (size_t i = 0; i < info->trigger_count; i++) {
        PlanSchedule schedule = {.name = mem_printf(p->mem, "trigger-%zu", i + 1),
                                 .cron = info->triggers[i].cron,
                                 .timezone = info->triggers[i].timezone};

        if (schedule.cron)
            mem_append(p->mem, p->plan->schedules, p->plan->schedule_count, schedule);
    }
}

static int make_plan(StagesPlanner *p, Err *err) {
    int r = 0;

    p->budget = ENV_BUDGET;
    p->standard.budget = &p->budget;
    add_standard(p);
    r = read_hand(p, err);
    if (r < 0)
        return r;
    p->pipeline = layer(p, &p->standard, p->file->env);
    p->plan = mem_new(p->mem, Plan);
    p->plan->planner = "stages";
    p->plan->file = STAGES_FILE;
    p->plan->timeout_us = p->file->timeout;
    add_schedules(p);
    add_notices(p);
    plan_all(p);
    if (p->total > SPEC_MAX_TOTAL)
        problems_add(p->problems, 0, 0, "the plan of all jobs is larger than %d MiB",
                     SPEC_MAX_TOTAL / 1024 / 1024);
    return 0;
}

int stages_plan(const char *text, size_t len, const PlanContext *context, const void *mem, Plan **ret,
                StagesInfo **ret_info, PlanProblems **ret_problems, Err *err) {
    StagesReader reader = {.mem = mem, .problems = PROBLEMS(mem)};
    StagesFile file = {0};
    StagesPlanner p = {.mem = mem, .context = context, .file = &file, .problems = &reader.problems};
    YamlNode *root;
    int r;

    if (read_yaml(&reader, text, len, &root) < 0)
        return fail(&reader, ret_problems, err);
    stages_read_file(&reader, root, &file);
    if (reader.problems.count)
        return fail(&reader, ret_problems, err);
    r = make_plan(&p, err);
    if (r < 0)
        return r;
    if (reader.problems.count)
        return fail(&reader, ret_problems, err);
    *ret = p.plan;
    if (ret_info)
        *ret_info = file.info;
    return 0;
}
