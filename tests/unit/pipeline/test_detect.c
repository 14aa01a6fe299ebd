#include "support.h"

static void a_makefile_is_built_with_make(void **state) {
    static const char *const names[] = {"Makefile", "makefile", "GNUmakefile"};

    for (size_t i = 0; i < ELEMENTS(names); i++) {
        _cleanup_case_ Case c = plan_bytes(names[i], "all:\n", 5, &on_main);

        assert_int_equal(c.result, 0);
        _cleanup_json_ json_t *spec = spec_of(&c, 0);
        assert_string_equal(c.plan->planner, "make");
        assert_string_equal(c.plan->file, names[i]);
        assert_int_equal(c.plan->count, 1);
        assert_string_equal(c.plan->jobs[0].name, "make");
        assert_string_equal(c.plan->jobs[0].kind, "steps");
        assert_string_equal(c.plan->jobs[0].fit.executor, "sandbox");
        expect_json(spec, "steps/0/run", "\"make\"");
        expect_json(spec, "checkout", "true");
        expect_json(spec, "artifacts_rule", "\"build-server\"");
    }
}

static void the_makes_spec_has_the_fields_of_any_other(void **state) {
    _cleanup_case_ Case c = plan_bytes("Makefile", "", 0, &on_main);
    _cleanup_case_ Case d = plan_fine("jobs: {make: {steps: [make]}}");
    _cleanup_json_ json_t *make = spec_of(&c, 0), *steps = spec_of(&d, 0);

    json_object_set_new(make, "artifacts_rule", json_string("patterns"));
    assert_true(json_equal(make, steps));
}

static void a_flake_alone_is_checked(void **state) {
    _cleanup_case_ Case c = plan_bytes("flake.nix", "{}", 2, &on_main);
    _cleanup_case_ Case d =
        plan_fine("jobs: {flake: {steps: [{name: nix flake check, uses: nix, with: {check: .}}]}}");
    _cleanup_json_ json_t *flake = spec_of(&c, 0), *steps = spec_of(&d, 0);

    assert_string_equal(c.plan->planner, "flake");
    assert_string_equal(c.plan->jobs[0].fit.executor, "nix");
    assert_string_equal(d.plan->jobs[0].fit.executor, "nix");
    assert_true(json_equal(flake, steps));
}

static void our_own_file_goes_before_a_makefile(void **state) {
    const char *contents[16] = {NULL};
    size_t lens[16] = {0};
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    PlanProblems *problems = NULL;
    Plan *plan = NULL;
    Err err = {0};

    for (size_t i = 0; plan_files[i]; i++) {
        contents[i] = "jobs: {a: {steps: [x]}}";
        lens[i] = strlen(contents[i]);
        if (str_eq(plan_files[i], ".pelton.yml"))
            contents[i] = NULL;
    }
    assert_int_equal(plan_make(contents, lens, &on_main, mem, &plan, &problems, &err), 0);
    assert_string_equal(plan->file, ".pelton.yaml");
    assert_string_equal(plan->planner, "pelton");
}

static void both_spellings_are_refused(void **state) {
    const char *contents[16] = {"", ""};
    size_t lens[16] = {0};
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    PlanProblems *problems = NULL;
    Plan *plan = NULL;
    Err err = {0};

    assert_string_equal(plan_files[0], ".pelton.yml");
    assert_string_equal(plan_files[1], ".pelton.yaml");
    assert_int_equal(plan_make(contents, lens, &on_main, mem, &plan, &problems, &err), -ERR_INVALID);
    assert_string_equal(err.msg, ".pelton.yml: there is also a .pelton.yaml; keep one of the two");
    assert_int_equal(problems->count, 1);
}

static void nothing_at_all_says_what_was_looked_for(void **state) {
    _cleanup_case_ Case c = plan_bytes("README.md", "", 0, &on_main);

    assert_int_equal(c.result, -ERR_NOT_FOUND);
    assert_string_equal(c.err.msg,
                        "nothing to build: no .pelton.yml, .pelton.yaml, pelton-stages.yml, GNUmakefile, "
                        "makefile, Makefile or flake.nix at the root of 01234567; see "
                        "docs/pipeline.md");
    assert_null(c.plan);
    assert_null(c.problems);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_makefile_is_built_with_make),
        cmocka_unit_test(the_makes_spec_has_the_fields_of_any_other),
        cmocka_unit_test(a_flake_alone_is_checked),
        cmocka_unit_test(our_own_file_goes_before_a_makefile),
        cmocka_unit_test(both_spellings_are_refused),
        cmocka_unit_test(nothing_at_all_says_what_was_looked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
