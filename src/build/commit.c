#include "build/commit.h"

#include "base/str.h"

/* ---- what a pipeline file asks of the rest of the commit ---- */

static int file_of_commit(void *data, const char *path, const void *mem, const char **ret, size_t *ret_len,
                          Err *err) {
    const CommitContext *c = data;
    const char *const paths[] = {path, NULL};
    GitCommit *commit;
    GitFile *files;
    int r = git_commit_read(c->project->path, c->build->commit, paths, COMMIT_FILE_MAX, mem, &commit, &files,
                            err);

    if (r < 0)
        return r;
    if (!files[0].content)
        return err_set(err, ERR_NOT_FOUND, "there is no file %s", path);
    *ret = files[0].content;
    *ret_len = files[0].len;
    return 0;
}

static int changed_by_pull(const CommitContext *c, const void *mem, const char ***ret, size_t *ret_count,
                           Err *err) {
    const char *path = c->project->path, *target = mem_printf(mem, "refs/heads/%s", c->pull->target);
    const char *commit, *full;
    int r = git_resolve(path, target, mem, &commit, &full, err);

    return r < 0 ? r : git_changed_since(path, commit, c->build->commit, mem, ret, ret_count, err);
}

static int changed_by_event(void *data, const void *mem, const char ***ret, size_t *ret_count, Err *err) {
    const CommitContext *c = data;

    if (c->pull->number)
        return changed_by_pull(c, mem, ret, ret_count, err);
    if (str_empty(c->build->old_rev))
        return err_set(err, ERR_NOT_FOUND, "there is nothing to compare with");
    return git_changed(c->project->path, c->build->old_rev, c->build->commit, mem, ret, ret_count, err);
}

void commit_context(CommitContext *c, const Builds *b, const GitCommit *commit, const void *mem) {
    const Build *build = c->build;

    c->source = (PlanSource){.data = c, .file = file_of_commit, .changed = changed_by_event};
    c->plan = (PlanContext){.project = build->project,
                            .branch = build->branch,
                            .ref = build->ref,
                            .commit = build->commit,
                            .event = build->event,
                            .schedule = build->schedule,
                            .env = build->env,
                            .source = str_empty(c->project->path) ? NULL : &c->source,
                            .message = commit->message,
                            .author = commit->author,
                            .inputs = str_empty(build->inputs) ? NULL : build->inputs,
                            .allow_shell = b->options.allow_shell};
    pull_tell(c->pull, mem, &c->plan);
}
