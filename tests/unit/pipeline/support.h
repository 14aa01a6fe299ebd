/* A plan of one file, for the tests of this room. */
#pragma once

#include "base/json.h"
#include "base/str.h"
#include "pipeline/pipeline.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct Case {
    void *mem;
    Plan *plan; /* NULL: refused */
    PlanProblems *problems;
    Err err;
    int result;
} Case;

static const PlanContext on_main = {
    .project = "hello",
    .branch = "main",
    .ref = "refs/heads/main",
    .commit = "0123456789abcdef0123456789abcdef01234567",
    .event = "push",
    .allow_shell = true,
};

static inline void mem_case_done(Case *c) {
    talloc_free(c->mem);
}

/* With PELTON_CASES every file that a test plans is left in that folder, by what became of it: the schema is
 * held against them (tests/api/test_schema.py). */
static inline void keep_case(const char *text, size_t len, bool accepted) {
    static int count;
    const char *folder = getenv("PELTON_CASES");
    char path[PATH_MAX];
    FILE *file;

    if (!folder)
        return;
    snprintf(path, sizeof(path), "%s/%d-%d.%s", folder, (int)getpid(), ++count,
             accepted ? "accepted" : "refused");
    file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

#define _cleanup_case_ _cleanup_(mem_case_done)

static inline Case plan_bytes(const char *file, const char *text, size_t len, const PlanContext *context) {
    const char *contents[16] = {NULL};
    size_t lens[16] = {0};
    Case c = {.mem = talloc_new(NULL)};

    for (size_t i = 0; plan_files[i]; i++)
        if (strcmp(plan_files[i], file) == 0) {
            contents[i] = text;
            lens[i] = len;
        }
    c.result = plan_make(contents, lens, context, c.mem, &c.plan, &c.problems, &c.err);
    if (strcmp(file, ".pelton.yml") == 0)
        keep_case(text, len, c.result >= 0);
    return c;
}

static inline Case plan_in(const char *text, const PlanContext *context) {
    return plan_bytes(".pelton.yml", text, strlen(text), context);
}

/* A plan that must be made. */
static inline Case plan_fine(const char *text) {
    Case c = plan_in(text, &on_main);

    if (c.result < 0)
        print_error("%s\n%s\n", text, c.err.msg);
    assert_int_equal(c.result, 0);
    assert_non_null(c.plan);
    assert_null(c.problems);
    return c;
}

/* The spec of a job as JSON; borrowed by nobody: the caller frees. */
static inline json_t *spec_of(const Case *c, size_t job) {
    json_t *spec = NULL;
    Err err = {0};

    assert_true(job < c->plan->count);
    if (json_read(c->plan->jobs[job].spec, strlen(c->plan->jobs[job].spec), &spec, &err) < 0)
        fail_msg("%s", err.msg);
    return spec;
}

/* Whether the JSON value, reached by a path such as "steps/0/run", is written as `expected`. */
static inline void expect_json(const json_t *root, const char *path, const char *expected) {
    const json_t *at = root;
    char *text;

    for (const char *p = path; *p && at; p += strspn(p, "/")) {
        size_t len = strcspn(p, "/");

        at = json_is_array(at) ? json_array_get(at, strtoul(p, NULL, 10)) : json_object_getn(at, p, len);
        p += len;
    }
    if (!at)
        fail_msg("no %s", path);
    text = json_dumps(at, JSON_COMPACT | JSON_ENCODE_ANY);
    assert_string_equal(text, expected);
    free(text);
}

/* `text` must be refused with exactly these problems, "line:column: message" each, NULL at the end. */
static inline void expect_problems_in(const char *text, const PlanContext *context,
                                      const char *const *expected) {
    Case c = plan_in(text, context);
    size_t i = 0;

    assert_int_equal(c.result, -ERR_INVALID);
    assert_null(c.plan);
    for (; i < c.problems->count; i++) {
        const PlanProblem *p = &c.problems->items[i];
        _cleanup_talloc_ char *shown = mem_printf(NULL, "%d:%d: %s", p->line, p->column, p->message);

        if (!expected[i])
            fail_msg("not expected: %s", shown);
        assert_string_equal(shown, expected[i]);
    }
    if (expected[i])
        fail_msg("missing: %s", expected[i]);
    mem_case_done(&c);
}

#define expect_problems(text, ...)                                                                           \
    expect_problems_in((text), &on_main, (const char *const[]){__VA_ARGS__, NULL})
