#include "cli/planned.h"

#include "base/clock.h"
#include "base/cron.h"
#include "base/file.h"
#include "base/str.h"
#include "base/yaml.h"
#include "cli/table.h"
#include "git/git.h"

#include <libgen.h>
#include <limits.h>
#include <unistd.h>

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
    if (path)
        return read_one(cli, str_eq(path, "-") ? "/dev/stdin" : path, files, index_of(cli, path), err);
    for (size_t i = 0; i < count; i++) {
        Err why = {0};

        if (read_one(cli, plan_files[i], files, i, &why) < 0 && why.code != ERR_NOT_FOUND) {
            *err = why;
            return err_negative(-(int)why.code);
        }
    }
    return 0;
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

/* Those of the working tree that we are in, and on its root: a folder of it that has no pipeline of its own
 * is no other project, also with a Makefile. */
static int read_files_of_tree(Cli *cli, Files *files, Err *err) {
    char here[PATH_MAX];
    const char *top;
    Err none;

    if (git_top(".", cli->mem, &top, &none) < 0 || !getcwd(here, sizeof(here)) || str_eq(top, here))
        return 0;
    if (chdir(top) < 0)
        return err_errno(err, "enter %s", top);
    return read_files(cli, NULL, files, err);
}

int planned_read(Cli *cli, const char *path, PlanContext *context, Planned *ret, Err *err) {
    Planned p = {0};
    int r = read_files(cli, path, &p.files, err);

    if (r >= 0 && !path && !plan_file_tells(p.files.first))
        r = read_files_of_tree(cli, &p.files, err);
    if (r >= 0 && p.files.first == plan_file_count())
        r = plan_nothing("here", err);
    if (r < 0)
        return r;
    context->source = &source_here;
    context->allow_shell = true; /* whether the server allows it is the server's to say */
    r = plan_make(p.files.contents, p.files.lens, context, cli->mem, &p.plan, &p.problems, err);
    if (r >= 0 && str_eq(context->event, "schedule") && !context->schedule && p.plan->schedule_count) {
        context->schedule = p.plan->schedules[0].name;
        r = plan_make(p.files.contents, p.files.lens, context, cli->mem, &p.plan, &p.problems, err);
    }
    if (r < 0 && (r != -ERR_INVALID || !p.problems || p.problems->count == 0))
        return r;
    if (r < 0)
        p.plan = NULL;
    p.file = text_clean(cli->mem, path ? path : p.plan ? p.plan->file : plan_files[p.files.first]);
    *ret = p;
    return 0;
}

void planned_problems(const Cli *cli, const Planned *p, Buf *out) {
    plan_problems_print(p->problems, p->file, p->files.contents[p->files.first],
                        p->files.lens[p->files.first], cli->out.colour, out);
}

/* 0: never. */
static int64_t next_of(const PlanSchedule *s) {
    int64_t next;
    Cron cron;
    Err err;

    if (cron_read(s->cron, s->timezone, &cron, &err) < 0 || cron_next(&cron, clock_now(), &next, &err) < 0)
        return 0;
    return next;
}

void planned_schedules(const Cli *cli, const Plan *plan, Buf *out) {
    static const char *const headers[] = {"SCHEDULE", "TIME", "ZONE", "NEXT", NULL};
    Table *table = table_new(cli->mem, headers);

    for (size_t i = 0; i < plan->schedule_count; i++) {
        const PlanSchedule *s = &plan->schedules[i];

        table_cell(table, STYLE_BOLD, s->name);
        table_cell(table, STYLE_PLAIN, s->cron);
        table_cell(table, STYLE_PLAIN, s->timezone);
        table_cell(table, STYLE_PLAIN, time_ago(cli->mem, next_of(s), clock_now()));
    }
    table_print(table, &cli->out, out);
}

void planned_schedules_json(JsonWriter *w, const Plan *plan) {
    jw_array(w, "schedules");
    for (size_t i = 0; plan && i < plan->schedule_count; i++) {
        jw_object(w, NULL);
        jw_str(w, "name", plan->schedules[i].name);
        jw_str(w, "cron", plan->schedules[i].cron);
        jw_str(w, "timezone", plan->schedules[i].timezone);
        jw_time(w, "next_at", next_of(&plan->schedules[i]));
        jw_end_object(w);
    }
    jw_end_array(w);
}
