#include "base/str.h"
#include "cli/waits.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static json_t *build_of(const char *jobs) {
    json_t *list = json_loads(jobs, 0, NULL);

    assert_non_null(list);
    return json_pack("{s:o}", "jobs", list);
}

static void expect(const char *jobs, const char *wanted) {
    _cleanup_json_ json_t *build = build_of(jobs);
    const char *job = NULL, *why = NULL;
    _cleanup_talloc_ char *text = NULL;

    if (build_waits(build, &job, &why))
        text = mem_printf(NULL, "%s: %s", job, why);
    assert_string_equal(text ? text : "nothing", wanted);
}

static void what_waits_for_a_runner_is_named_before_what_waits_for_it(void **state) {
    expect("[{\"name\":\"a\",\"status\":\"success\",\"waiting\":\"\",\"needs\":[]},"
           "{\"name\":\"c\",\"status\":\"blocked\",\"waiting\":\"waiting for b\",\"needs\":[\"a\",\"b\"]},"
           "{\"name\":\"b\",\"status\":\"queued\",\"waiting\":\"no runner\",\"needs\":[\"a\"]}]",
           "b: no runner");
}

static void a_blocked_job_whose_needs_are_over_waits_for_something_of_its_own(void **state) {
    expect("[{\"name\":\"a\",\"status\":\"failed\",\"waiting\":\"\",\"needs\":[]},"
           "{\"name\":\"b\",\"status\":\"blocked\",\"waiting\":\"waits for approval\",\"needs\":[\"a\"]}]",
           "b: waits for approval");
}

static void nothing_waits_while_something_runs_or_when_all_is_over(void **state) {
    expect("[{\"name\":\"a\",\"status\":\"queued\",\"waiting\":\"no runner\",\"needs\":[]},"
           "{\"name\":\"b\",\"status\":\"running\",\"waiting\":\"\",\"needs\":[]}]",
           "nothing");
    expect("[{\"name\":\"a\",\"status\":\"success\",\"waiting\":\"\",\"needs\":[]}]", "nothing");
}

static void an_answer_of_another_shape_names_nothing(void **state) {
    expect("[]", "nothing");
    expect("{}", "nothing");
    expect("[1,null,{\"name\":7,\"waiting\":[],\"needs\":{}}]", "nothing");
    expect("[{\"name\":7,\"waiting\":\"x\",\"needs\":[1]}]", ": x");
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_waits_for_a_runner_is_named_before_what_waits_for_it),
        cmocka_unit_test(a_blocked_job_whose_needs_are_over_waits_for_something_of_its_own),
        cmocka_unit_test(nothing_waits_while_something_runs_or_when_all_is_over),
        cmocka_unit_test(an_answer_of_another_shape_names_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
