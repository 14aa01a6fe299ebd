/* From a request to rows: read the commit, plan, store trigger, build and jobs in one transaction. */
#include "build/state.h"

#include "base/clock.h"
#include "base/id.h"
#include "base/str.h"
#include "build/commit.h"
#include "build/pipelines.h"
#include "git/git.h"
#include <assert.h>
#include <inttypes.h>

#define MAX_FILES 16

typedef struct Draft {
    Builds *b;
    const BuildRequest *request;
    TALLOC_CTX *mem;
    GitCommit *commit;
    Plan *plan;          /* NULL: the pipeline has mistakes (problem), or nothing is to be built (nothing) */
    const char *problem; /* the whole text for the build's message */
    const char *nothing;
    PushState push;
    bool sets;        /* it is a push of the default branch: the project's schedules are what the plan has */
    PullRequest pull; /* all that is known; number 0: it is none */
} Draft;

static const char *branch_of(const char *ref) {
    const char *branch = str_after(ref, "refs/heads/");

    /* a tag keeps its whole ref as its branch (document 3's contract) */
    return branch ? branch : ref;
}

static const char *branch_of_draft(const Draft *d) {
    return d->pull.number ? pull_branch(&d->pull, d->mem) : branch_of(d->request->ref);
}

static bool is_untrusted(const Draft *d) {
    return d->request->untrusted || d->pull.origin == PULL_FORK;
}

/* file: the first of plan_files that is there, which is the one that was read. */
const char *create_problems(const PlanProblems *problems, const char *file, const Err *first,
                            const void *mem) {
    _cleanup_buf_ Buf text = BUF_INIT;

    if (!problems || problems->count == 0)
        return mem_strdup(mem, first->msg);
    for (size_t i = 0; i < MIN(problems->count, (size_t)20); i++) {
        const PlanProblem *p = &problems->items[i];

        if (i)
            buf_addc(&text, '\n');
        if (p->line)
            buf_addf(&text, "%s, line %d, column %d: ", p->file ? p->file : file, p->line, p->column);
        else
            buf_addf(&text, "%s: ", p->file ? p->file : file);
        buf_adds(&text, p->message);
    }
    return buf_dup(&text, mem);
}

/* A person who names jobs hears of a wrong name at once; no build comes of it. */
static int choose_jobs(Draft *d, Err *err) {
    int r = plan_select(d->plan, d->request->jobs, err);

    if (r >= 0 && d->plan->nothing)
        return err_set(err, ERR_INVALID, "the jobs asked for do not run for this %s: see their \"if\"",
                       d->request->event);
    return r;
}

/* What the plan and the build's row both have. */
static Build build_of(const Draft *d) {
    const BuildRequest *request = d->request;

    return (Build){.project_id = request->project->id,
                   .project = request->project->name,
                   .commit = request->commit,
                   .ref = request->ref,
                   .branch = branch_of_draft(d),
                   .event = request->event,
                   .schedule = request->due ? request->due->schedule->name : "",
                   .env = request->env ? request->env : "{}",
                   .inputs = request->inputs ? request->inputs : "",
                   .old_rev = request->old_rev ? request->old_rev : ""};
}

/* As the planner takes them. */
typedef struct Contents {
    const char *text[MAX_FILES];
    size_t len[MAX_FILES];
    const char *first; /* the name of the first that is there; NULL: none */
} Contents;

static Contents contents_of(const GitFile *files) {
    Contents c = {0};

    for (size_t i = 0; plan_files[i]; i++) {
        assert(i < MAX_FILES);
        c.text[i] = files[i].content;
        c.len[i] = files[i].len;
        if (c.text[i] && !c.first)
            c.first = plan_files[i];
    }
    return c;
}

static int plan_files_of(Draft *d, const GitFile *files, Err *err) {
    Contents contents = contents_of(files);
    Build build = build_of(d);
    CommitContext context = {.build = &build, .project = d->request->project, .pull = &d->pull};
    PlanProblems *problems = NULL;
    int r;

    commit_context(&context, d->b, d->commit, d->mem);
    context.plan.no_deploy = d->b->options.no_deploy || d->request->no_deploy;
    r = plan_make(contents.text, contents.len, &context.plan, d->mem, &d->plan, &problems, err);
    if (r >= 0 && d->request->jobs)
        return choose_jobs(d, err);
    if ((r == -ERR_INVALID || r == -ERR_UNSUPPORTED) && problems)
        d->problem = create_problems(problems, contents.first, err, d->mem);
    else if (r == -ERR_NOT_FOUND)
        d->nothing = mem_strdup(d->mem, err->msg);
    else if (r < 0)
        return r;
    else if (d->plan->why)
        d->nothing = mem_printf(d->mem, "nothing to build: %s: %s", d->plan->file, d->plan->why);
    else if (d->plan->nothing)
        d->nothing = mem_printf(d->mem, "nothing to build: %s has no job for this %s", d->plan->file,
                                d->request->event);
    return 0;
}

/* What a stored pipeline builds: a commit of a repository of ours, or nothing but itself. */
static int draft_stored(Draft *d, Err *err) {
    const BuildRequest *request = d->request;
    bool bare = str_empty(request->project->path);
    PlanContext context = {.project = request->project->name,
                           .branch = branch_of(request->ref),
                           .ref = request->ref,
                           .commit = request->commit,
                           .event = request->event,
                           .env = request->env,
                           .bare = bare,
                           .allow_shell = d->b->options.allow_shell};
    PlanProblems *problems = NULL;
    int r = 0;

    if (bare && str_empty(context.commit)) /* what was said of it, for the steps */
        context.commit = request->run->commit;
    if (bare) {
        d->commit = mem_new(d->mem, GitCommit);
        *d->commit = (GitCommit){request->commit, "", "", request->run->pipeline->name, ""};
    } else {
        r = git_commit_read(request->project->path, request->commit, NULL, COMMIT_FILE_MAX, d->mem,
                            &d->commit, NULL, err);
    }
    if (r >= 0)
        r = stages_plan(request->yaml, request->yaml_len, &context, d->mem, &d->plan, NULL, &problems, err);
    if (r == -ERR_INVALID || r == -ERR_UNSUPPORTED) /* what it was given by hand may not fit it */
        d->problem = create_problems(problems, request->run->pipeline->name, err, d->mem);
    else if (r < 0)
        return err_wrap(err, "plan %s", request->run->pipeline->name);
    return 0;
}

static int draft(Draft *d, Err *err) {
    const BuildRequest *request = d->request;
    bool skip;
    GitFile *files;
    int r;

    if (request->run)
        return draft_stored(d, err);
    if (request->old_rev) {
        r = schedules_default(request->project, request->ref, &d->sets, err);
        if (r < 0)
            return r;
    }
    r = request->pull ? pull_complete(d->b, request->project, request->pull, d->mem, &d->pull, err) : 0;
    if (r < 0)
        return r;
    r = git_commit_read(request->project->path, request->commit, plan_files, COMMIT_FILE_MAX, d->mem,
                        &d->commit, &files, err);

    if (r == -ERR_TOO_LARGE) {
        d->problem = mem_strdup(d->mem, err->msg);
        d->commit = mem_new(d->mem, GitCommit);
        *d->commit = (GitCommit){request->commit, "", "", "", ""};
        return 0;
    }
    if (r < 0)
        return r;
    skip = (str_eq(request->event, "push") || request->pull) && git_skip_asked(d->commit->message);
    if (!skip || d->sets)
        r = plan_files_of(d, files, err);
    if (skip)
        d->nothing = "the commit message asks to skip the build";
    return r;
}

void build_refs_ahead(const Project *project, const RefChange *changes, size_t count, const void *mem) {
    const char **commits = mem_array(mem, const char *, count), **refs = mem_array(mem, const char *, count);

    for (size_t i = 0; i < count; i++) {
        commits[i] = changes[i].new_rev;
        refs[i] = changes[i].ref;
    }
    git_commits_ahead(project->path, commits, count, plan_files, COMMIT_FILE_MAX);
    git_tags_ahead(project->path, refs, count);
}

int build_inputs(Builds *b, const BuildRequest *request, const void *mem, PlanInput **ret, size_t *ret_count,
                 Err *err) {
    Draft d = {.b = b, .request = request};
    Build build = build_of(&d);
    CommitContext context = {.build = &build, .project = request->project, .pull = &d.pull};
    Contents contents;
    GitFile *files;
    int r = git_commit_read(request->project->path, request->commit, plan_files, COMMIT_FILE_MAX, mem,
                            &d.commit, &files, err);

    if (r < 0)
        return r;
    contents = contents_of(files);
    commit_context(&context, b, d.commit, mem);
    return plan_inputs(contents.text, contents.len, &context.plan, mem, ret, ret_count, err);
}

/* ---- rows ---- */

/* A fork's file names any group that it likes, and takes turns with its own pull request's builds only. */
static const char *group_of(const Draft *d) {
    const char *group = d->plan ? d->plan->concurrency.group : NULL;

    return group && d->pull.origin == PULL_FORK ? mem_printf(d->mem, "%s %s", d->request->ref, group) : group;
}

static int insert_build(Tx *tx, const Draft *d, Build *build, Err *err) {
    const BuildRequest *request = d->request;
    const char *group = group_of(d);
    bool failed = d->problem != NULL;
    char uuid[ID_UUID_SIZE];
    int r;

    id_uuid(uuid);
    *build = build_of(d);
    build->uuid = mem_strdup(tx->mem, uuid);
    build->planner = d->plan ? d->plan->planner : "";
    build->author = d->commit->author;
    build->email = d->commit->email;
    build->subject = d->commit->subject;
    build->pusher = request->pusher;
    build->state = failed ? "failed" : "queued";
    build->reason = failed ? "invalid" : "";
    build->message = failed ? d->problem : "";
    build->jobs_left = d->plan ? (int64_t)d->plan->count : 0;
    build->created_at = tx->now;
    build->finished_at = failed ? tx->now : 0;
    build->concurrency_group = group;
    build->concurrency_limit = group ? d->plan->concurrency.limit : 1;
    build->held = group != NULL;
    build->timeout = d->plan ? d->plan->timeout_us : 0;
    build->pull = d->pull.number ? pull_text(&d->pull, tx->mem) : "";
    build->untrusted = is_untrusted(d);
    r = store_build_insert(tx->b->db, build, err);
    if (r >= 0 && request->signature)
        r = store_signature_put(tx->b->db, build->id, request->signature, err);
    if (r < 0)
        return r;
    r = tx_event(tx, "created", build->id, build->state, err);
    return r < 0 || !failed ? r : tx_event(tx, "completed", build->id, build->state, err);
}

int create_deployment(Tx *tx, const Build *build, const Job *job, Err *err) {
    char uuid[ID_UUID_SIZE];
    Deployment d = {.project_id = build->project_id,
                    .build_id = build->id,
                    .job_id = job->id,
                    .uuid = uuid,
                    .commit = build->commit,
                    .branch = build->branch,
                    .status = "pending",
                    .spec = job->spec,
                    .created_at = tx->now};

    id_uuid(uuid);
    return store_deployment_insert(tx->b->db, &d, err);
}

static Fit fit_of(const PlanFit *asked) {
    return (Fit){.executor = asked->executor,
                 .arch = asked->arch,
                 .labels = asked->labels ? asked->labels : "{}",
                 .cpu = asked->cpu,
                 .memory = asked->memory,
                 .disk = asked->disk};
}

/* A fork's file may not put itself before everybody else's. */
static int64_t priority_of(const Build *build, const PlanJob *planned) {
    return build->untrusted ? MIN(planned->priority, (int64_t)0) : planned->priority;
}

int create_job(Tx *tx, const Build *build, const PlanJob *planned, int64_t position, JobOrigin origin,
               Job *job, Err *err) {
    bool waits = origin.needs_left > 0 || planned->skip || build->held || build->untrusted;
    Fit fit = fit_of(&planned->fit);
    char uuid[ID_UUID_SIZE];
    int r = store_fit_put(tx->b->db, &fit, err);

    if (r < 0)
        return r;
    id_uuid(uuid);
    *job = (Job){.uuid = mem_strdup(tx->mem, uuid),
                 .build_id = build->id,
                 .project_id = build->project_id,
                 .position = position,
                 .name = planned->name,
                 .kind = planned->kind,
                 .executor = planned->fit.executor,
                 .arch = planned->fit.arch,
                 .fit_id = fit.id,
                 .priority = priority_of(build, planned),
                 .retry = planned->retry,
                 .queue_timeout = planned->queue_timeout_us,
                 .allow_failure = planned->allow_failure,
                 .condition = planned->condition ? planned->condition : "",
                 .spec = planned->spec,
                 .state = waits ? "blocked" : "queued",
                 .reason = "",
                 .message = "",
                 .needs_left = origin.needs_left,
                 .made_by = origin.made_by,
                 .created_at = tx->now,
                 .queued_at = waits ? 0 : tx->now};
    r = store_job_insert(tx->b->db, job, err);
    if (r >= 0)
        r = retry_counts(tx, job, err);
    if (r < 0)
        return r;
    return str_eq(job->kind, "deploy") ? create_deployment(tx, build, job, err) : 0;
}

static int insert_needs(Tx *tx, const Plan *plan, const Job *jobs, Err *err) {
    for (size_t i = 0; i < plan->count; i++) {
        const PlanJob *planned = &plan->jobs[i];

        for (size_t k = 0; k < planned->need_count; k++) {
            int r = store_job_need_insert(tx->b->db, jobs[i].id, jobs[planned->needs[k]].id, err);

            if (r < 0)
                return r;
        }
    }
    return 0;
}

/* Jobs that need nothing are queued by their insertion, unless their condition has a word in it, or the build
 * is held, or not trusted. */
static int start_first(Tx *tx, const Plan *plan, const Job *jobs, const Build *build, Err *err) {
    for (size_t i = 0; i < plan->count; i++) {
        bool decided = str_empty(jobs[i].condition) && !plan->jobs[i].skip && !build->untrusted;
        int r;

        if (plan->jobs[i].need_count > 0)
            continue;
        r = decided ? state_job_queue(tx, &jobs[i], err) : state_job_ready(tx, &jobs[i], build, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* What the branch has left behind is not to take the place of what it holds. */
static bool must_not_deploy(const Draft *d, const PlanJob *planned) {
    return d->push.late && str_eq(planned->kind, "deploy");
}

static int insert_jobs(Tx *tx, const Draft *d, const Build *build, Err *err) {
    const Plan *plan = d->plan;
    Job *jobs = mem_array(tx->mem, Job, plan->count);
    int r;

    for (size_t i = 0; i < plan->count; i++) {
        if (must_not_deploy(d, &plan->jobs[i]))
            plan->jobs[i].condition = "false";
        r = create_job(tx, build, &plan->jobs[i], (int64_t)i,
                       (JobOrigin){.needs_left = (int64_t)plan->jobs[i].need_count}, &jobs[i], err);
        if (r < 0)
            return r;
    }
    r = insert_needs(tx, plan, jobs, err);
    if (r < 0)
        return r;
    /* one that was told late is not newer than what is there */
    return build->held ? group_enter(tx, build, d->push.late ? "none" : plan->concurrency.cancel, err)
                       : start_first(tx, plan, jobs, build, err);
}

static int reply_seen(Tx *tx, const PushState *push, BuildOutcome *ret, const void *mem, Err *err) {
    Build *build;
    int r;

    *ret = (BuildOutcome){.id = push->build, .status = "skipped", .message = "seen already"};
    if (!push->build)
        return 0;
    r = store_build_load(tx->b->db, push->build, mem, &build, err);
    if (r >= 0)
        ret->status = build->state;
    return r;
}

static int insert_execution(Tx *tx, const Draft *d, const Build *build, Err *err) {
    const PipelineRun *run = d->request->run;
    Execution e = {.build_id = build->id,
                   .pipeline_id = run->pipeline->id,
                   .version = d->request->version,
                   .trigger_type = run->trigger_type,
                   .triggered_by = run->triggered_by,
                   .commit = run->commit,
                   .branch = run->branch,
                   .repository = run->repository,
                   .payload = run->payload};

    return store_execution_insert(tx->b->db, &e, err);
}

static int insert_whole(Tx *tx, const Draft *d, Build *build, Err *err) {
    int r = insert_build(tx, d, build, err);

    if (r >= 0 && d->request->run)
        r = insert_execution(tx, d, build, err);
    if (r >= 0 && d->plan && d->pull.origin != PULL_FORK) /* a fork's file sends no mail of ours */
        r = notice_insert_all(tx, d->plan, build, err);
    if (r >= 0 && d->plan)
        r = insert_jobs(tx, d, build, err);
    return r;
}

/* A file with mistakes says nothing of schedules: they stay as they are. */
static int set_ref(Tx *tx, const Draft *d, Err *err) {
    const BuildRequest *request = d->request;
    int r = store_ref_set(tx->b->db, request->project->id, request->ref, request->commit, err);

    return r < 0 || !d->sets || d->problem ? r : schedules_set(tx, request->project->id, d->plan, err);
}

static int note_schedule(Tx *tx, const Draft *d, int64_t build_id, Err *err) {
    const char *message = d->nothing ? d->nothing : d->problem ? "the pipeline file has mistakes" : "";

    return store_schedule_note(tx->b->db, d->request->due->schedule->id, tx->now, build_id, message, err);
}

/* Of event "schedule": whether there is to be a build. */
static int take_schedule(Tx *tx, const Draft *d, bool *ret, BuildOutcome *ret_outcome, Err *err) {
    *ret = true;
    *ret_outcome = (BuildOutcome){.status = "skipped", .message = "it is not due"};
    return d->request->due ? schedule_take(tx, d->request, d->plan, d->problem != NULL, ret, err) : 0;
}

/* What was told of a pull request holds until more is; of a push that is told late it is older than that. */
static int keep_pull(Tx *tx, const Draft *d, Err *err) {
    const BuildRequest *request = d->request;

    if (!d->pull.number || request->pull->origin == PULL_UNKNOWN || d->push.late)
        return 0;
    return store_pull_put(tx->b->db, request->project->id, d->pull.number, pull_text(&d->pull, tx->mem), err);
}

/* A pull request's push that was found before its hook could tell it, with less, or other things, known of
 * it: it is as if it had not been. *ret_old: the build of it, NULL: none. */
static int look_at_found(Tx *tx, Draft *d, Build **ret_old, Err *err) {
    PushState *state = &d->push;
    Build *old = NULL;
    int r = 0;

    if (!state->seen || !state->found || !d->pull.number || d->request->pull->origin == PULL_UNKNOWN)
        return 0;
    if (state->build)
        r = store_build_load(tx->b->db, state->build, tx->mem, &old, err);
    if (r < 0 || (old && str_eq(old->pull, pull_text(&d->pull, tx->mem))))
        return r;
    state->seen = false;
    *ret_old = old;
    return 0;
}

static int replace(Tx *tx, const Draft *d, const Build *old, const Build *by, Err *err) {
    const char *why = d->nothing;

    if (!old || old->finished_at)
        return 0;
    if (!why)
        why = mem_printf(tx->mem, "superseded by build %" PRId64 ", which knows more of it", by->id);
    return state_build_stop(tx, old, "superseded", why, err);
}

static int insert_all(Tx *tx, Draft *d, const void *mem, BuildOutcome *ret, Err *err) {
    const BuildRequest *request = d->request;
    bool push = request->old_rev != NULL;
    PushState *state = &d->push;
    Build build = {0}, *found = NULL;
    bool before, due;
    int r = build_delivered(tx->b, request->project->id, request->delivery, trigger_kind(request), mem,
                            &before, ret, err);

    if (r < 0 || before)
        return r;
    r = repo_check(tx, request->project->id, err); /* it was read before the transaction */
    if (r >= 0)
        r = take_schedule(tx, d, &due, ret, err);
    if (r < 0 || !due)
        return r;
    if (push)
        r = trigger_look(tx->b, request, tx->mem, state, err);
    if (r >= 0)
        r = look_at_found(tx, d, &found, err);
    if (r >= 0)
        r = keep_pull(tx, d, err);
    if (r < 0)
        return r;
    if (state->seen || (state->late && request->found)) /* where it is by now is found, or told, on its own */
        return reply_seen(tx, state, ret, mem, err);
    if (!d->nothing)
        r = insert_whole(tx, d, &build, err);
    if (r >= 0)
        r = replace(tx, d, found, &build, err);
    if (r >= 0 && push && !state->late)
        r = set_ref(tx, d, err);
    if (r >= 0 && request->due)
        r = note_schedule(tx, d, build.id, err);
    if (r >= 0)
        r = trigger_insert(tx, request, build.id, build.id ? "build" : d->nothing, err);
    if (r < 0)
        return r;
    *ret = (BuildOutcome){.id = build.id,
                          .status = d->nothing ? "skipped" : build.state,
                          .message = mem_strdup(mem, d->nothing   ? d->nothing
                                                     : d->problem ? d->problem
                                                                  : ""),
                          .uuid = mem_strdup(mem, build.uuid)};
    return 0;
}

int create_in(Tx *tx, const BuildRequest *request, BuildOutcome *ret, Err *err) {
    Draft d = {.b = tx->b, .request = request, .mem = tx->mem};
    int r = draft(&d, err);

    return r < 0 ? r : insert_all(tx, &d, tx->mem, ret, err);
}

int build_create(Builds *b, const BuildRequest *request, const void *mem, BuildOutcome *ret, Err *err) {
    _cleanup_talloc_ TALLOC_CTX *scratch = talloc_new(NULL);
    Draft d = {.b = b, .request = request, .mem = scratch};
    BuildOutcome outcome;
    Tx tx;
    int r = draft(&d, err);

    if (r < 0)
        return r;
    r = tx_begin(b, &tx, err);
    if (r < 0)
        return r;
    r = insert_all(&tx, &d, mem, &outcome, err);
    r = tx_end(&tx, r, err);
    if (r < 0)
        return err_wrap(err, "store the build of %s", request->project->name);
    *ret = outcome;
    return 0;
}
