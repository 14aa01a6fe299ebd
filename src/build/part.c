/* Jobs that a running job hands over to its build ($PELTON_PIPELINE): planned like a file, and inserted in
 * the transaction that ends the job which made them. They need that job, whatever else they need; a deploy of
 * the build waits for them too. */
#include "build/part.h"

#include "base/str.h"
#include "build/commit.h"
#include <inttypes.h>

typedef struct Insert {
    Tx *tx;
    const Part *part;
    const Build *build;
    const Job *maker;
    Job *known, *jobs; /* those that are there, and the new ones */
    size_t known_count;
} Insert;

static int read_known(Builds *b, int64_t build_id, const void *mem, Part *part, Err *err) {
    return store_job_names(b->db, build_id, mem, &part->known, &part->known_count, err);
}

/* The commit's message, and the pipeline file that the part goes on with; a build of a stored pipeline may be
 * of no commit. */
static int read_commit(const Project *project, const Build *build, const void *mem, GitCommit **ret,
                       PlanFile *ret_file, Err *err) {
    bool stored = str_empty(project->path);
    GitFile *files;
    int r = stored ? 0
                   : git_commit_read(project->path, build->commit, plan_files, COMMIT_FILE_MAX, mem, ret,
                                     &files, err);

    if (stored) {
        *ret = mem_new(mem, GitCommit);
        **ret = (GitCommit){build->commit, build->author, build->email, build->subject, build->subject};
    }
    if (r < 0 || stored || !str_eq(build->planner, "pelton"))
        return r;
    for (size_t i = 0; plan_files[i] && !ret_file->text; i++)
        *ret_file = (PlanFile){plan_files[i], files[i].content, files[i].len};
    return 0;
}

static int plan(Builds *b, const Build *build, const char *text, const void *mem, Part *part, Err *err) {
    CommitContext context = {.build = build};
    PlanProblems *problems = NULL;
    PlanFile whole = {0};
    GitCommit *commit;
    PullRequest pull;
    int r = pull_of_build(build, mem, &pull, err);

    if (r >= 0)
        r = store_project_by_id(b->db, build->project_id, mem, (Project **)&context.project, err);
    if (r >= 0)
        r = read_commit(context.project, build, mem, &commit, &whole, err);
    if (r < 0)
        return r;
    context.pull = &pull;
    commit_context(&context, b, commit, mem);
    context.plan.no_deploy = true;
    r = plan_part(text, strlen(text), &whole, &context.plan, part->known, part->known_count, mem, &part->plan,
                  &problems, err);
    if (r == -ERR_INVALID)
        part->problem = create_problems(problems, PLAN_PART_FILE, err, mem);
    else if (r < 0)
        return err_wrap(err, "plan %s", PLAN_PART_FILE);
    else if (part->known_count + part->plan->count > PLAN_MAX_JOBS)
        part->problem = mem_printf(mem, "%s: the build would have %zu jobs; at most %d", PLAN_PART_FILE,
                                   part->known_count + part->plan->count, PLAN_MAX_JOBS);
    return 0;
}

int part_read(Builds *b, int64_t job_id, const char *text, const void *mem, Part **ret, Err *err) {
    Part *part = mem_new(mem, Part);
    Build *build;
    Job *job;
    int r = store_job_load(b->db, job_id, mem, &job, err);

    *part = (Part){0};
    if (r >= 0)
        r = store_build_load(b->db, job->build_id, mem, &build, err);
    if (r >= 0)
        r = read_known(b, job->build_id, mem, part, err);
    if (r >= 0)
        r = plan(b, build, text, mem, part, err);
    if (r >= 0)
        *ret = part;
    return r;
}

/* ---- the rows ---- */

static bool has_ended(const Job *job) {
    return !str_eq(job->state, "blocked") && !str_eq(job->state, "queued") && !str_eq(job->state, "running");
}

/* What another job has added since we read the names. NULL: nothing of the same name. */
static const char *taken_since(const Insert *i) {
    for (size_t k = i->part->known_count; k < i->known_count; k++)
        for (size_t n = 0; n < i->part->plan->count; n++)
            if (str_eq(i->known[k].name, i->part->plan->jobs[n].name))
                return i->known[k].name;
    return NULL;
}

/* How many of what it needs have not ended; the maker has not, and is counted once. */
static int64_t open_needs(const Insert *i, const PlanJob *planned) {
    int64_t open = (int64_t)planned->need_count + 1;

    for (size_t k = 0; k < planned->known_count; k++) {
        const Job *need = &i->known[planned->known[k]];

        open += need->id != i->maker->id && !has_ended(need);
    }
    return open;
}

static int insert_needs(const Insert *i, size_t n, Err *err) {
    const PlanJob *planned = &i->part->plan->jobs[n];
    Db *db = i->tx->b->db;
    int r = store_job_need_insert(db, i->jobs[n].id, i->maker->id, err);

    for (size_t k = 0; r >= 0 && k < planned->need_count; k++)
        r = store_job_need_insert(db, i->jobs[n].id, i->jobs[planned->needs[k]].id, err);
    for (size_t k = 0; r >= 0 && k < planned->known_count; k++)
        if (i->known[planned->known[k]].id != i->maker->id)
            r = store_job_need_insert(db, i->jobs[n].id, i->known[planned->known[k]].id, err);
    return r;
}

/* The build's deploy that is still to come; NULL: none. */
static const Job *find_deploy(const Insert *i) {
    for (size_t k = 0; k < i->known_count; k++)
        if (str_eq(i->known[k].kind, "deploy") && str_eq(i->known[k].state, "blocked"))
            return &i->known[k];
    return NULL;
}

/* A deploy waits for all jobs: one that needs it would wait for itself. */
static const char *needs_deploy(const Insert *i) {
    const Plan *planned = i->part->plan;

    for (size_t n = 0; n < planned->count; n++)
        for (size_t k = 0; k < planned->jobs[n].known_count; k++)
            if (str_eq(i->known[planned->jobs[n].known[k]].kind, "deploy"))
                return planned->jobs[n].name;
    return NULL;
}

static int hold_deploy(const Insert *i, const Job *deploy, Err *err) {
    Db *db = i->tx->b->db;
    int r = store_job_needs_more(db, deploy->id, (int64_t)i->part->plan->count, err);

    for (size_t n = 0; r >= 0 && n < i->part->plan->count; n++)
        r = store_job_need_insert(db, deploy->id, i->jobs[n].id, err);
    return r;
}

/* Behind all others but the deploy, which is the last one of its build: who reads its log reads on. */
static int make_room(const Insert *i, const Job *deploy, int64_t *ret_position, Err *err) {
    int64_t position = 0;

    for (size_t k = 0; k < i->known_count; k++)
        position = MAX(position, i->known[k].position + 1);
    *ret_position = deploy ? deploy->position : position;
    return deploy
               ? store_job_move(i->tx->b->db, deploy->id, position + (int64_t)i->part->plan->count - 1, err)
               : 0;
}

static int insert_all(Insert *i, Err *err) {
    const Plan *planned = i->part->plan;
    const Job *deploy = find_deploy(i);
    int64_t position = 0;
    int r = make_room(i, deploy, &position, err);

    i->jobs = mem_array(i->tx->mem, Job, planned->count);
    for (size_t n = 0; r >= 0 && n < planned->count; n++)
        r = create_job(i->tx, i->build, &planned->jobs[n], position + (int64_t)n,
                       (JobOrigin){.needs_left = open_needs(i, &planned->jobs[n]), .made_by = i->maker->id},
                       &i->jobs[n], err);
    for (size_t n = 0; r >= 0 && n < planned->count; n++)
        r = insert_needs(i, n, err);
    if (r >= 0 && deploy)
        r = hold_deploy(i, deploy, err);
    return r < 0 ? r : store_build_jobs_added(i->tx->b->db, i->build->id, (int64_t)planned->count, err);
}

/* What is wrong with the part beside the jobs that the build has now; NULL: nothing. */
static const char *misfit(const Insert *i) {
    const char *taken = taken_since(i), *waiting = taken ? NULL : needs_deploy(i);

    if (taken)
        return mem_printf(i->tx->mem, "%s: another job has added a job \"%s\" meanwhile", PLAN_PART_FILE,
                          taken);
    return waiting ? mem_printf(i->tx->mem, "%s: job \"%s\" needs the deploy, which waits for all jobs",
                                PLAN_PART_FILE, waiting)
                   : NULL;
}

int part_insert(Tx *tx, const Part *part, const Job *maker, const char **ret_problem, Err *err) {
    Insert i = {.tx = tx, .part = part, .maker = maker};
    int r;

    *ret_problem = part->problem;
    if (part->problem)
        return 0;
    r = store_build_load(tx->b->db, maker->build_id, tx->mem, (Build **)&i.build, err);
    if (r < 0 || !str_empty(i.build->stop_reason)) /* one that is made to end gets no new jobs */
        return r;
    r = store_jobs_as_made(tx->b->db, maker->build_id, tx->mem, &i.known, &i.known_count, err);
    if (r < 0)
        return r;
    *ret_problem = misfit(&i);
    return *ret_problem ? 0 : insert_all(&i, err);
}
