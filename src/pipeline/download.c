#include "pipeline/download.h"

#include "base/str.h"

typedef struct Downloads {
    const void *mem; /* of the messages */
    Problems *problems;
    const PipeFile *file;
    const PipeJob *jobs;
    size_t count;
    size_t *seen;   /* for each job: the last stamp of one that needs it */
    size_t stamp;   /* of the job that is looked at */
    size_t *needed; /* the jobs that one needs, also through others */
    size_t needed_count;
    size_t work;
} Downloads;

/* ---- the jobs that one needs ---- */

static void add_needs(Downloads *d, const PipeJob *job) {
    d->work += job->need_count + 1;
    for (size_t i = 0; i < job->need_count; i++) {
        if (d->seen[job->need[i]] == d->stamp)
            continue;
        d->seen[job->need[i]] = d->stamp;
        d->needed[d->needed_count++] = job->need[i];
    }
}

static void find_needed(Downloads *d, const PipeJob *job) {
    d->needed_count = 0;
    d->stamp++;
    add_needs(d, job);
    for (size_t i = 0; i < d->needed_count && d->work <= LANG_MAX_DOWNLOAD_WORK; i++)
        add_needs(d, &d->jobs[d->needed[i]]);
}

/* ---- whether they bring it ---- */

static bool is_called(const PipeJob *job, const YamlNode *name) {
    return str_eq(job->base->text, name->text) || str_eq(job->name->text, name->text);
}

static bool makes(const PipeJob *job, const YamlNode *name) {
    const PipeArtifact *artifacts = job->artifacts.items;

    for (size_t i = 0; name && i < job->artifacts.count; i++)
        if (artifacts[i].name && str_eq(artifacts[i].name->text, name->text))
            return true;
    return !name && job->artifacts.count > 0;
}

static bool is_from(const PipeJob *job, const PipeDownload *download) {
    return !download->job || is_called(job, download->job);
}

static bool brings(const PipeJob *job, const PipeDownload *download) {
    return is_from(job, download) && makes(job, download->name);
}

/* What a job keeps that has mistakes is not known. */
static bool may_bring(const PipeJob *job, const PipeDownload *download) {
    return is_from(job, download) && (job->lacking || job->wrong);
}

static bool is_brought(Downloads *d, const PipeDownload *download) {
    for (size_t i = 0; i < d->needed_count; i++) {
        const PipeJob *job = &d->jobs[d->needed[i]];

        d->work += job->artifacts.count + 1;
        if (brings(job, download) || may_bring(job, download))
            return true;
    }
    return false;
}

/* What the jobs keep that the build of a part has is not known. */
static bool may_be_of_build(const Downloads *d, const PipeDownload *download) {
    const PipeFile *file = d->file;

    if (!download->job)
        return file->known != NULL;
    for (size_t i = 0; file->known && i < file->known_count; i++)
        if (plan_name_means(download->job->text, download->job->len, file->known[i]))
            return true;
    return false;
}

/* ---- when none does ---- */

/* The first job of the file that would bring it, whether it is needed or not. */
static const PipeJob *find_any(Downloads *d, const PipeDownload *download) {
    for (size_t i = 0; i < d->count; i++) {
        d->work += d->jobs[i].artifacts.count + 1;
        if (brings(&d->jobs[i], download))
            return &d->jobs[i];
    }
    return NULL;
}

static const PipeJob *find_called(Downloads *d, const YamlNode *name) {
    for (size_t i = 0; i < d->count; i++, d->work++)
        if (is_called(&d->jobs[i], name))
            return &d->jobs[i];
    return NULL;
}

static const char *meant(Downloads *d, const char *word, const char *const *words, size_t count) {
    const char *nearest = count ? problems_nearest(d->problems, word, words, count) : NULL;

    return problems_meant(d->problems, nearest ? problems_show(d->problems, nearest) : NULL);
}

static const char *meant_job(Downloads *d, const char *word) {
    const char **words = mem_array(d->mem, const char *, d->needed_count);

    for (size_t i = 0; i < d->needed_count; i++)
        words[i] = d->jobs[d->needed[i]].base->text;
    return meant(d, word, words, d->needed_count);
}

/* An artifact of those that could be downloaded instead. */
static const char *meant_name(Downloads *d, const PipeDownload *download) {
    const char **words = NULL;
    size_t count = 0;

    for (size_t i = 0; i < d->needed_count; i++) {
        const PipeJob *job = &d->jobs[d->needed[i]];
        const PipeArtifact *artifacts = job->artifacts.items;

        for (size_t k = 0; k < job->artifacts.count && is_from(job, download); k++)
            if (artifacts[k].name)
                mem_append(d->mem, words, count, artifacts[k].name->text);
    }
    return meant(d, download->name->text, words, count);
}

/* What is wrong with the job that it is to come from; NULL: nothing. */
static const char *wrong_job(Downloads *d, const PipeDownload *download) {
    const PipeJob *job = find_called(d, download->job);
    const char *shown = problems_show(d->problems, download->job->text);

    if (!job)
        return mem_printf(d->mem, "there is no job \"%s\"%s", shown, meant_job(d, download->job->text));
    if (d->seen[job - d->jobs] != d->stamp)
        return mem_printf(d->mem, "it does not need job \"%s\"; add that to its \"needs\"", shown);
    return download->name ? NULL : mem_printf(d->mem, "job \"%s\" has no artifacts", shown);
}

static const char *wrong_name(Downloads *d, const PipeDownload *download) {
    const PipeJob *any = find_any(d, download);
    const char *shown = problems_show(d->problems, download->name->text), *near;

    if (any)
        return mem_printf(d->mem,
                          "\"%s\" is made by job \"%s\", which it does not need; add that to its \"needs\"",
                          shown, problems_show(d->problems, any->base->text));
    near = meant_name(d, download);
    if (!*near)
        near = mem_printf(d->mem, "; expected one with `artifacts: [{name: %s, paths: [...]}]`", shown);
    if (download->job)
        return mem_printf(d->mem, "job \"%s\" makes no artifact \"%s\"%s",
                          problems_show(d->problems, download->job->text), shown, near);
    return mem_printf(d->mem, "no job that it needs makes an artifact \"%s\"%s", shown, near);
}

static void refuse(Downloads *d, const PipeJob *job, const PipeDownload *download) {
    const char *what = download->job ? wrong_job(d, download) : NULL;
    const YamlNode *at = download->job;

    if (!what && download->name) {
        what = wrong_name(d, download);
        at = download->name;
    }
    problems_at(d->problems, at, "\"download\" of job \"%s\": %s",
                problems_show(d->problems, job->base->text), what);
}

/* ---- all of them ---- */

static void check_job(Downloads *d, const PipeJob *job) {
    const PipeDownload *downloads = job->download.items;

    find_needed(d, job);
    for (size_t i = 0; i < job->download.count && d->work <= LANG_MAX_DOWNLOAD_WORK; i++) {
        const PipeDownload *download = &downloads[i];

        if (!download->name && !download->job)
            continue; /* it was refused */
        if (!download->optional && !is_brought(d, download) && !may_be_of_build(d, download))
            refuse(d, job, download);
    }
}

void downloads_check(const PipeFile *file, Problems *problems) {
    _cleanup_talloc_ void *scratch = talloc_new(NULL);
    Downloads d = {.mem = scratch,
                   .problems = problems,
                   .file = file,
                   .jobs = file->jobs.items,
                   .count = file->jobs.count};

    d.seen = mem_array(scratch, size_t, d.count);
    d.needed = mem_array(scratch, size_t, d.count);
    for (size_t i = 0; i < d.count && d.work <= LANG_MAX_DOWNLOAD_WORK; i++)
        if (d.jobs[i].download.count && !d.jobs[i].lacking)
            check_job(&d, &d.jobs[i]);
    if (d.work > LANG_MAX_DOWNLOAD_WORK)
        problems_at(problems, NULL, "the downloads of all jobs together look at too many jobs");
}
