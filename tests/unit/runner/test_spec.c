#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "runner/spec.h"
#include <string.h>

static JobSpec *read_good(void *mem, const char *text) {
    JobSpec *spec = NULL;
    Err err = {0};

    if (spec_read(text, strlen(text), mem, &spec, &err) < 0)
        fail_msg("%s", err.msg);
    return spec;
}

static void read_bad(const char *text, const char *word) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    JobSpec *spec = NULL;
    Err err = {0};

    assert_int_equal(spec_read(text, strlen(text), mem, &spec, &err), -ERR_INVALID);
    if (!strstr(err.msg, word))
        fail_msg("no \"%s\" in: %s", word, err.msg);
    assert_null(spec);
}

static void a_whole_job_is_read(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    JobSpec *s = read_good(
        mem,
        "{\"id\":7,\"attempt\":2,\"timeout\":8,\"build\":3,\"name\":\"test\",\"project\":{\"id\":5,\"name\":"
        "\"hello\"},"
        "\"commit\":\"abc\",\"untrusted\":true,\"ref\":\"r\",\"branch\":\"b\",\"event\":\"push\","
        "\"schedule\":\"nightly\","
        "\"env\":{\"A\":\"1\",\"B\":"
        "\"2\"},"
        "\"repository\":{\"url\":\"http://x\",\"path\":\"/"
        "y\"},\"spec\":{\"executor\":\"shell\",\"checkout\":false,"
        "\"network\":false,\"env\":{\"B\":\"3\"},\"timeout\":5,\"steps\":[{\"name\":\"n\",\"run\":\"r\","
        "\"if\":\"always()\","
        "\"timeout\":9,\"working_directory\":\"w\",\"env\":{\"C\":\"4\"}}],\"artifacts\":[\"a\",{\"name\":"
        "\"dist\",\"paths\":[\"d/**\"],\"keep\":-1,\"if\":\"always()\"},\"b\"],"
        "\"download\":[{\"name\":\"dist\",\"job\":\"b "
        "c\",\"path\":\"in/it\",\"optional\":true},{\"job\":\"a\"}],"
        "\"release\":[],"
        "\"artifacts_rule\":\"build-server\",\"resources\":{\"memory\":1,\"cpu\":2,\"processes\":3}}}");

    assert_int_equal(s->id, 7);
    assert_int_equal(s->attempt, 2);
    assert_int_equal(s->project_id, 5);
    assert_true(s->untrusted);
    assert_int_equal(s->timeout_us, 5); /* its own, before the server's default */
    assert_string_equal(s->repository_path, "/y");
    assert_string_equal(env_get(&s->env, "A"), "1");
    assert_string_equal(env_get(&s->env, "B"), "2"); /* what was given by hand wins */
    assert_string_equal(s->executor, "shell");
    assert_false(s->checkout);
    assert_false(s->network);
    assert_int_equal(s->step_count, 1);
    assert_string_equal(s->steps[0].condition, "always()");
    assert_string_equal(s->steps[0].cwd, "w");
    assert_string_equal(env_get(&s->steps[0].env, "C"), "4");
    assert_int_equal(s->artifact_count, 2);
    assert_string_equal(s->artifacts[0].name, "dist");
    assert_string_equal(s->artifacts[0].paths[0], "d/**");
    assert_null(s->artifacts[0].paths[1]);
    assert_int_equal(s->artifacts[0].keep_us, -1);
    assert_string_equal(s->artifacts[0].condition, "always()");
    assert_string_equal(s->artifacts[1].name, "");
    assert_string_equal(s->artifacts[1].paths[0], "a");
    assert_string_equal(s->artifacts[1].paths[1], "b");
    assert_null(s->artifacts[1].paths[2]);
    assert_int_equal(s->download_count, 2);
    assert_string_equal(s->downloads[0].name, "dist");
    assert_string_equal(s->downloads[0].job, "b c");
    assert_string_equal(s->downloads[0].path, "in/it");
    assert_true(s->downloads[0].optional);
    assert_string_equal(s->downloads[1].name, "");
    assert_string_equal(s->downloads[1].job, "a");
    assert_string_equal(s->downloads[1].path, "");
    assert_false(s->downloads[1].optional);
    assert_non_null(s->release);
    assert_null(s->release[0]);
    assert_true(s->artifacts_of_build_server);
    assert_int_equal(s->limits.memory, 1);
    assert_int_equal(s->limits.processes, 3);
}

static void what_is_not_said_has_its_default(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    JobSpec *s = read_good(
        mem,
        "{\"id\":1,\"attempt\":1,\"spec\":{\"steps\":[{\"run\":\"x\"}],\"release\":null,\"artifacts\":[]}}");

    assert_string_equal(s->executor, "sandbox");
    assert_true(s->checkout);
    assert_true(s->network);
    assert_string_equal(s->steps[0].name, "");
    assert_string_equal(s->branch, "");
    assert_null(s->release);
    assert_int_equal(s->artifact_count, 0);
    assert_null(s->repository_url);
}

#define SPEC(text) "{\"id\":1,\"attempt\":1,\"spec\":{" text "}}"
#define DOCKER_STEP(with)                                                                                    \
    SPEC("\"executor\":\"docker\",\"steps\":[{\"uses\":\"docker\",\"with\":{" with "}}]")
#define NIX_STEP(with) SPEC("\"executor\":\"nix\",\"steps\":[{\"uses\":\"nix\",\"with\":{" with "}}]")

static void a_container_and_its_services_are_read(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    JobSpec *s = read_good(
        mem,
        SPEC("\"executor\":\"docker\",\"image\":\"node:20\",\"user\":\"1000\",\"services\":[{\"name\":\"db\","
             "\"image\":\"pg\",\"env\":{\"A\":\"1\"},\"command\":[\"x\",\"y\"],\"ready\":\"r\",\"timeout\":7}"
             "]"));
    const ExecutorService *db = &s->container.services[0];

    assert_string_equal(s->container.image, "node:20");
    assert_string_equal(s->container.pull, "missing");
    assert_string_equal(s->container.user, "1000");
    assert_int_equal(s->container.service_count, 1);
    assert_string_equal(db->name, "db");
    assert_string_equal(db->env[0], "A=1");
    assert_null(db->env[1]);
    assert_string_equal(db->command[1], "y");
    assert_int_equal(db->timeout_us, 7);
}

/* "A=1 B=2" of the secrets that a step has; SIZE_MAX: what all have. */
static const char *secrets_of(const JobSpec *s, size_t step, void *mem) {
    Env env = {.mem = mem};
    char *all = mem_strdup(mem, "");

    spec_set_secrets(s, step == SIZE_MAX ? NULL : &s->steps[step], &env);
    for (size_t i = 0; i < env.count; i++)
        all = mem_printf(mem, "%s%s%s", all, i ? " " : "", env.items[i]);
    return all;
}

static void a_secret_that_a_step_names_is_not_the_others(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    JobSpec *s =
        read_good(mem, SPEC("\"steps\":[{\"name\":\"a\",\"run\":\"x\"},{\"name\":\"b\",\"run\":\"x\","
                            "\"secrets\":[\"OWN\",\"NONE\"]},{\"name\":\"c\",\"run\":\"x\",\"secrets\":[]}],"
                            "\"env\":{\"OWN\":\"plain\",\"ALL\":\"plain\"}"));
    _cleanup_json_ json_t *secrets = json_pack("{s:s, s:s}", "ALL", "1", "OWN", "2");
    Err err = {0};

    assert_int_equal(spec_add_secrets(s, secrets, &err), 0);
    assert_string_equal(secrets_of(s, 0, mem), "ALL=1");
    assert_string_equal(secrets_of(s, 1, mem), "ALL=1 OWN=2");
    assert_string_equal(secrets_of(s, 2, mem), "ALL=1");
    assert_string_equal(secrets_of(s, SIZE_MAX, mem), "ALL=1");
    assert_string_equal(env_get(&s->env, "OWN"), "plain");
    assert_string_equal(spec_variable(s, "OWN"), "2");
    assert_int_equal(s->secret_count, 2); /* both are hidden in all that the job says */
}

static void what_a_step_uses_is_read(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    JobSpec *s = read_good(
        mem, DOCKER_STEP("\"build\":\".\",\"tag\":[\"a\",\"b\"],\"args\":{\"K\":\"V\"},\"push\":true"));
    JobSpec *n = read_good(mem, NIX_STEP("\"build\":[\".#a\"]"));

    assert_string_equal(s->steps[0].build->file, "Dockerfile");
    assert_string_equal(s->steps[0].build->tags[1], "b");
    assert_string_equal(s->steps[0].build->args[0], "K=V");
    assert_true(s->steps[0].build->push);
    assert_string_equal(n->steps[0].nix->build[0], ".#a");
    assert_string_equal(n->steps[0].nix->check, "");
}

static void what_a_runner_cannot_make_sense_of_is_refused(void **state) {
    read_bad(DOCKER_STEP("\"build\":\".\""), "tag");
    read_bad(DOCKER_STEP("\"tag\":[\"a\"]"), "push");
    read_bad(NIX_STEP(""), "either");
    read_bad(NIX_STEP("\"check\":\"--option\""), "option");
    read_bad(NIX_STEP("\"build\":[\"--impure\"]"), "option");
    read_bad(SPEC("\"executor\":\"sandbox\",\"image\":\"a\""), "docker");
    read_bad(SPEC("\"executor\":\"docker\",\"services\":[{\"name\":\"a\",\"image\":\"b\"}]"), "image");
    read_bad(
        SPEC("\"executor\":\"docker\",\"image\":\"x\",\"services\":[{\"name\":\"a b\",\"image\":\"b\"}]"),
        "service 1");
    read_bad(SPEC("\"steps\":[{\"uses\":\"docker\",\"with\":{\"tag\":[\"a\"],\"push\":true}}]"), "executor");
    read_bad(SPEC("\"steps\":[{\"uses\":\"magic\",\"with\":{}}]"), "magic");
}

static void mistakes_name_their_place(void **state) {
    read_bad("[]", "job specification");
    read_bad("{\"attempt\":1,\"spec\":{}}", "\"id\"");
    read_bad("{\"id\":1,\"attempt\":1}", "\"spec\"");
    read_bad("{\"id\":1,\"attempt\":1,\"spec\":{\"steps\":[{},{\"run\":5}]}}", "step 2");
    read_bad("{\"id\":1,\"attempt\":1,\"spec\":{\"steps\":[7]}}", "step 1");
    read_bad("{\"id\":1,\"attempt\":1,\"spec\":{\"artifacts\":[1]}}", "artifacts[0]");
    read_bad("{\"id\":1,\"attempt\":1,\"spec\":{\"artifacts\":[\"a\",{\"paths\":5}]}}", "artifacts[1]");
    read_bad("{\"id\":1,\"attempt\":1,\"spec\":{\"download\":[\"dist\"]}}", "download[0]");
    read_bad("{\"id\":1,\"attempt\":1,\"spec\":{\"download\":[{\"path\":\"../x\"}]}}", "download[0]");
    read_bad("{\"id\":1,\"attempt\":1,\"spec\":{\"download\":[{\"job\":1}]}}", "job");
    read_bad("{\"id\":1,\"attempt\":1,\"env\":{\"X\":[]},\"spec\":{}}", "env.X");
    read_bad("{\"id\":1", "job specification");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_job_is_read),
        cmocka_unit_test(what_is_not_said_has_its_default),
        cmocka_unit_test(a_container_and_its_services_are_read),
        cmocka_unit_test(what_a_step_uses_is_read),
        cmocka_unit_test(a_secret_that_a_step_names_is_not_the_others),
        cmocka_unit_test(what_a_runner_cannot_make_sense_of_is_refused),
        cmocka_unit_test(mistakes_name_their_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
