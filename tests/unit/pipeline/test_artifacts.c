/* `artifacts` and `download`: what they become, and what is refused. */
#include "support.h"

#define MAKER(artifacts) "jobs:\n  make:\n    steps: [make]\n    artifacts: " artifacts "\n"
/* A job that downloads, on lines 2 to 4. */
#define TAKER(needs, download)                                                                               \
    "jobs:\n  test:\n    steps: [x]\n    needs: " needs "\n    download: " download                          \
    "\n  make: {steps: [x], artifacts: [{name: dist, paths: [d]}, e]}\n"                                     \
    "  other: {steps: [x], artifacts: [{name: apart, paths: [d]}]}\n"                                        \
    "  plain: {steps: [x]}\n"                                                                                \
    "  link: {steps: [x], needs: make}\n"

static void expect_spec(const char *text, size_t job, const char *path, const char *expected) {
    _cleanup_case_ Case c = plan_fine(text);
    _cleanup_json_ json_t *spec = spec_of(&c, job);

    expect_json(spec, path, expected);
}

static void expect_artifacts(const char *text, const char *expected) {
    expect_spec(text, 0, "artifacts", expected);
}

static void expect_download(const char *text, const char *expected) {
    expect_spec(text, 0, "download", expected);
}

/* ---- what is kept ---- */

static void patterns_alone_are_written_as_they_always_were(void **state) {
    expect_artifacts(MAKER("dist/**"), "[\"dist/**\"]");
    expect_artifacts(MAKER("[dist/, ./a]"), "[\"dist/**\",\"a\"]");
    expect_artifacts(MAKER("{paths: [a, b]}"), "[\"a\",\"b\"]");
    expect_artifacts(MAKER("[{paths: [a, b]}, c, {paths: d}]"), "[\"a\",\"b\",\"c\",\"d\"]");
}

static void an_artifact_has_a_name_a_time_and_a_condition(void **state) {
    expect_artifacts(MAKER("{name: dist, paths: [a]}"),
                     "[{\"name\":\"dist\",\"paths\":[\"a\"],\"keep\":0,\"if\":\"\"}]");
    expect_artifacts(MAKER("[{name: dist, paths: a, keep: 30d}, b, {paths: [c], keep: 90}]"),
                     "[\"b\",{\"name\":\"dist\",\"paths\":[\"a\"],\"keep\":2592000000000,\"if\":\"\"},"
                     "{\"name\":\"\",\"paths\":[\"c\"],\"keep\":90000000,\"if\":\"\"}]");
    expect_artifacts(MAKER("{paths: a, keep: forever}"),
                     "[{\"name\":\"\",\"paths\":[\"a\"],\"keep\":-1,\"if\":\"\"}]");
    expect_artifacts(MAKER("{paths: a, if: always()}"),
                     "[{\"name\":\"\",\"paths\":[\"a\"],\"keep\":0,\"if\":\"always()\"}]");
    expect_artifacts(
        MAKER("{paths: a, keep: 3650d, if: \"${{ failure() && branch == 'main' }}\"}"),
        "[{\"name\":\"\",\"paths\":[\"a\"],\"keep\":315360000000000,\"if\":\"failure() && branch "
        "== 'main'\"}]");
}

static void a_name_may_be_of_the_matrix(void **state) {
    const char *text = "jobs:\n  make:\n    matrix: {os: [a, b]}\n    steps: [x]\n"
                       "    artifacts: {name: \"dist-${{ matrix.os }}\", paths: [\"${{ matrix.os }}/**\"]}\n"
                       "  take: {steps: [x], needs: make, download: dist-b}\n";

    expect_spec(text, 1, "artifacts/0/name", "\"dist-b\"");
    expect_spec(text, 1, "artifacts/0/paths", "[\"b/**\"]");
    expect_spec(text, 2, "download/0/name", "\"dist-b\"");
}

static void wrong_artifacts_are_refused(void **state) {
#define KEEP                                                                                                 \
    "4:33: \"keep\" of artifact 1 of job \"make\": expected a duration such as 12h or 30d, at most 3650d, "  \
    "or \"forever\", got "
    expect_problems(MAKER("{name: a b, paths: [x]}"),
                    "4:23: \"name\" of artifact 1 of job \"make\": expected a name (letters, digits, _, - "
                    "and dots), got \"a b\"");
    expect_problems(MAKER("{paths: a, keep: soon}"), KEEP "\"soon\"");
    expect_problems(MAKER("{paths: a, keep: 0}   "), KEEP "\"0\"");
    expect_problems(MAKER("{paths: a, keep: 3651d}"), KEEP "\"3651d\"");
    expect_problems(MAKER("{paths: a, keep: never}"), KEEP "\"never\"");
    expect_problems(MAKER("{paths: a, if: needs.x}"),
                    "4:31: condition of artifact 1 of job \"make\": \"needs\" is for a job's \"if\" "
                    "and \"env\" and for its steps: nothing is known of them before");
    expect_problems(MAKER("{name: a}"), "4:16: missing key \"paths\" in artifact 1 of job \"make\"");
    expect_problems(MAKER("{paths: a, expire_in: 1d}"),
                    "4:27: unknown key \"expire_in\" in artifact 1 of job \"make\"; did you mean \"keep\"?");
    expect_problems(MAKER("{paths: a, when: always}"),
                    "4:27: unknown key \"when\" in artifact 1 of job \"make\"; did you mean \"if\"?");
    expect_problems(MAKER("[{name: a, paths: x}, {name: b, paths: x}, {name: a, paths: y}]"),
                    "4:66: job \"make\": another of its artifacts has this name; put their \"paths\" "
                    "together");
}

/* ---- what is taken ---- */

static void a_download_is_written_as_it_is_asked_for(void **state) {
    static const char dist[] = "[{\"name\":\"dist\",\"job\":\"\",\"path\":\"\",\"optional\":false}]";

    expect_download(TAKER("make", "dist"), dist);
    expect_download(TAKER("[make]", "[dist]"), dist);
    expect_download(TAKER("make", "{name: dist}"), dist);
    expect_download(TAKER("link", "dist"), dist);
    expect_download(TAKER("make", "{name: dist, job: make, path: ./in/}"),
                    "[{\"name\":\"dist\",\"job\":\"make\",\"path\":\"in\",\"optional\":false}]");
    expect_download(TAKER("[make, other]", "[apart, {job: make, path: x}]"),
                    "[{\"name\":\"apart\",\"job\":\"\",\"path\":\"\",\"optional\":false},"
                    "{\"name\":\"\",\"job\":\"make\",\"path\":\"x\",\"optional\":false}]");
    expect_download(TAKER("make", "{name: nothing, optional: true}"),
                    "[{\"name\":\"nothing\",\"job\":\"\",\"path\":\"\",\"optional\":true}]");
}

static void a_job_of_a_matrix_may_be_meant_alone(void **state) {
    const char *text = "jobs:\n"
                       "  take: {steps: [x], needs: m, download: [{job: m}, {job: \"m (2)\", name: dist}]}\n"
                       "  m: {steps: [x], matrix: {n: [1, 2]}, artifacts: {name: dist, paths: [x]}}\n";

    expect_download(text, "[{\"name\":\"\",\"job\":\"m\",\"path\":\"\",\"optional\":false},"
                          "{\"name\":\"dist\",\"job\":\"m (2)\",\"path\":\"\",\"optional\":false}]");
}

/* What jobs keep that are there already is not known. */
static void a_part_downloads_from_the_build_that_it_joins(void **state) {
    static const char *const known[] = {"find", "make (1)", "make (2)"};
    static const char text[] = "jobs:\n"
                               "  a: {steps: [x], download: [dist, {job: make}, {job: make (2), name: it}]}\n"
                               "  b: {steps: [x], needs: a, download: {job: %s}}\n";
    void *mem = talloc_new(NULL);
    PlanProblems *problems = NULL;
    Plan *plan = NULL;
    Err err = {0};
    const char *good = mem_printf(mem, text, "find"), *bad = mem_printf(mem, text, "fin");

    assert_int_equal(
        plan_part(good, strlen(good), &(PlanFile){0}, &on_main, known, 3, mem, &plan, &problems, &err), 0);
    assert_non_null(strstr(plan->jobs[0].spec, "\"download\":[{\"name\":\"dist\","));
    assert_int_equal(
        plan_part(bad, strlen(bad), &(PlanFile){0}, &on_main, known, 3, mem, &plan, &problems, &err),
        -ERR_INVALID);
    assert_int_equal(problems->count, 1);
    assert_string_equal(problems->items[0].message, "\"download\" of job \"b\": there is no job \"fin\"");
    talloc_free(mem);
}

/* Its jobs come after the one that made them, but speak of it only once they name it. */
static void a_part_names_the_job_that_made_it_when_it_speaks_of_it(void **state) {
    static const char *const known[] = {"gen"};
    static const char text[] = "jobs:\n  a: {steps: [\"echo ${{ needs.gen.outputs.x }}\"]%s}\n";
    void *mem = talloc_new(NULL);
    PlanProblems *problems = NULL;
    Plan *plan = NULL;
    Err err = {0};
    const char *good = mem_printf(mem, text, ", needs: gen"), *bad = mem_printf(mem, text, "");

    assert_int_equal(
        plan_part(good, strlen(good), &(PlanFile){0}, &on_main, known, 1, mem, &plan, &problems, &err), 0);
    assert_int_equal(
        plan_part(bad, strlen(bad), &(PlanFile){0}, &on_main, known, 1, mem, &plan, &problems, &err),
        -ERR_INVALID);
    assert_string_equal(problems->items[0].message,
                        "\"run\" of step 1 of job \"a\": \"gen\" is not among the "
                        "job's \"needs\": name it there");
    talloc_free(mem);
}

static void wrong_downloads_are_refused(void **state) {
#define IN "\"download\" of job \"test\": "
    expect_problems(TAKER("make", "dits"),
                    "5:15: " IN "no job that it needs makes an artifact \"dits\"; did you mean \"dist\"?");
    expect_problems(TAKER("make", "[apart]"),
                    "5:16: " IN "\"apart\" is made by job \"other\", which it does not need; add that to its "
                    "\"needs\"");
    expect_problems(TAKER("plain", "image"), "5:15: " IN "no job that it needs makes an artifact \"image\"; "
                                             "expected one with `artifacts: [{name: image, paths: [...]}]`");
    expect_problems(TAKER("[make, other]", "{name: dist, job: other}"),
                    "5:22: " IN "job \"other\" makes no artifact \"dist\"; expected one with `artifacts: "
                    "[{name: dist, paths: [...]}]`");
    expect_problems(TAKER("[make, other]", "{name: aparrt, job: other}"),
                    "5:22: " IN "job \"other\" makes no artifact \"aparrt\"; did you mean \"apart\"?");
    expect_problems(TAKER("make", "{name: apart, job: other}"),
                    "5:34: " IN "it does not need job \"other\"; add that to its \"needs\"");
    expect_problems(TAKER("make", "{job: maek}"),
                    "5:21: " IN "there is no job \"maek\"; did you mean \"make\"?");
    expect_problems(TAKER("make", "{job: other}"),
                    "5:21: " IN "it does not need job \"other\"; add that to its \"needs\"");
    expect_problems(TAKER("plain", "{job: plain}"), "5:21: " IN "job \"plain\" has no artifacts");
    expect_problems(TAKER("make", "{path: x}"),
                    "5:15: download 1 of job \"test\": expected \"name\", \"job\" or both");
    expect_problems(TAKER("make", "{name: dist, path: ../x}"),
                    "5:34: \"path\" of download 1 of job \"test\": \"../x\" leaves the workspace; expected a "
                    "path without \"..\"");
    expect_problems(TAKER("make", "{name: dist, optional: 5}"),
                    "5:38: \"optional\" of download 1 of job \"test\": expected true or false, got \"5\"");
    expect_problems(TAKER("make", "{name: dist, to: x}"),
                    "5:28: unknown key \"to\" in download 1 of job \"test\"; did you mean \"path\"?");
    expect_problems(TAKER("make", "[]"), "5:15: \"download\" of job \"test\" is empty; expected an "
                                         "artifact's name or a list of them");
    expect_problems(TAKER("make", "[[dist]]"),
                    "5:16: download 1 of job \"test\": expected an artifact's name or a mapping with "
                    "\"name\" or \"job\", got a list");
    /* a need that is not there is enough of a mistake */
    expect_problems(TAKER("maek", "dist"),
                    "4:12: job \"test\" needs \"maek\", which is not there; did you mean \"make\"?");
}

/* A chain of jobs that each download from all before: refused at a bounded cost. */
static void many_downloads_cost_no_square(void **state) {
    _cleanup_buf_ Buf text = BUF_INIT;

    buf_adds(&text, "jobs:\n  j0: {steps: [x], artifacts: {name: a, paths: [x]}}\n");
    for (int i = 1; i < 5000; i++)
        buf_addf(&text,
                 "  j%d: {steps: [x], needs: j%d, artifacts: {name: a, paths: [x]}, "
                 "download: {name: b, optional: true}}\n",
                 i, i - 1);
    expect_problems(buf_str(&text), "0:0: the downloads of all jobs together look at too many jobs");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_alone_are_written_as_they_always_were),
        cmocka_unit_test(an_artifact_has_a_name_a_time_and_a_condition),
        cmocka_unit_test(a_name_may_be_of_the_matrix),
        cmocka_unit_test(wrong_artifacts_are_refused),
        cmocka_unit_test(a_download_is_written_as_it_is_asked_for),
        cmocka_unit_test(a_job_of_a_matrix_may_be_meant_alone),
        cmocka_unit_test(a_part_downloads_from_the_build_that_it_joins),
        cmocka_unit_test(a_part_names_the_job_that_made_it_when_it_speaks_of_it),
        cmocka_unit_test(wrong_downloads_are_refused),
        cmocka_unit_test(many_downloads_cost_no_square),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
