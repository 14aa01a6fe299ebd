/* image, services, uses: docker, and what is refused until it works. */
#include "support.h"

#define JOB(lines) "jobs:\n  test:\n    steps: [make]\n" lines

static void a_job_with_an_image_is_for_docker(void **state) {
    _cleanup_case_ Case c = plan_fine(JOB("    image: \"node:${{ 20 }}\"\n    matrix: {v: [a]}\n"));
    _cleanup_case_ Case d = plan_fine(JOB("    image: {name: alpine, pull: always, user: \"1000:1000\"}\n"));
    _cleanup_json_ json_t *spec = spec_of(&c, 0), *other = spec_of(&d, 0);

    assert_string_equal(c.plan->jobs[0].fit.executor, "docker");
    expect_json(spec, "executor", "\"docker\"");
    expect_json(spec, "image", "\"node:20\"");
    expect_json(spec, "pull", "\"missing\"");
    expect_json(spec, "user", "\"\"");
    expect_json(spec, "services", "[]");
    expect_json(other, "pull", "\"always\"");
    expect_json(other, "user", "\"1000:1000\"");
}

static void services_are_containers_beside_it(void **state) {
    _cleanup_case_ Case c = plan_fine(JOB("    image: a\n    services:\n      db: {image: \"postgres:16\", "
                                          "env: {P: x}, ready: pg_isready, timeout: 9, "
                                          "command: [postgres, -c, fsync=off]}\n      web: nginx\n"));
    _cleanup_json_ json_t *spec = spec_of(&c, 0);

    expect_json(
        spec, "services/0",
        "{\"name\":\"db\",\"image\":\"postgres:16\",\"env\":{\"P\":\"x\"},\"command\":[\"postgres\",\"-c\","
        "\"fsync=off\"],\"ready\":\"pg_isready\",\"timeout\":9000000}");
    expect_json(spec, "services/1",
                "{\"name\":\"web\",\"image\":\"nginx\",\"env\":{},\"ready\":\"\",\"timeout\":60000000}");
}

static void a_step_may_build_an_image(void **state) {
    _cleanup_case_ Case c = plan_fine(
        "jobs:\n  a:\n    steps:\n      - {uses: docker, with: {build: ., tag: \"app:${{ commit.short "
        "}}\"}}\n"
        "      - {name: out, uses: docker, with: {build: ./x, file: D, tag: [a, b], args: {V: \"${{ branch "
        "}}\"}, "
        "target: t, push: true, pull: true}}\n      - {uses: docker, with: {tag: a, push: true}}\n");
    _cleanup_json_ json_t *spec = spec_of(&c, 0);

    assert_string_equal(c.plan->jobs[0].fit.executor, "docker");
    assert_null(json_object_get(spec, "image"));
    expect_json(spec, "steps/0/name", "\"docker\"");
    expect_json(spec, "steps/0/run", "\"\"");
    expect_json(spec, "steps/0/uses", "\"docker\"");
    expect_json(spec, "steps/0/with",
                "{\"build\":\".\",\"file\":\"Dockerfile\",\"tag\":[\"app:01234567\"],\"args\":{},\"target\":"
                "\"\",\"push\":"
                "false,\"pull\":false}");
    expect_json(spec, "steps/1/with",
                "{\"build\":\"x\",\"file\":\"D\",\"tag\":[\"a\",\"b\"],\"args\":{\"V\":\"main\"},\"target\":"
                "\"t\",\"push\":"
                "true,\"pull\":true}");
    expect_json(spec, "steps/2/with/build", "\"\"");
}

static void what_does_not_fit_together_is_refused(void **state) {
    expect_problems(JOB("    image: a\n    runs-on: {executor: sandbox}\n"),
                    "5:25: job \"test\": an image needs the executor \"docker\"; leave \"executor\" out");
    expect_problems(JOB("    services: {db: x}\n"),
                    "4:15: job \"test\": services are reached from a container: the job needs an \"image\"");
    expect_problems(JOB("    image: a\n    services: [db]\n"),
                    "5:15: \"services\" of job \"test\": expected a mapping of names to services such as "
                    "{db: postgres:16}, got a list");
    expect_problems(JOB("    image: a\n    services: {db: {}}\n"),
                    "5:20: missing key \"image\" in service \"db\" of job \"test\"");
    expect_problems(JOB("    image: {name: a, pull: often}\n"),
                    "4:28: \"pull\" of image of job \"test\": expected \"missing\", \"always\" or \"never\", "
                    "got \"often\"");
    expect_problems("jobs: {a: {steps: [{uses: docker}]}}\n",
                    "1:20: missing key \"with\" in step 1 of job \"a\"");
    expect_problems(
        "jobs: {a: {steps: [{uses: dockr, with: {tag: a, push: true}}]}}\n",
        "1:27: \"uses\" of step 1 of job \"a\": expected \"docker\" or \"nix\", got \"dockr\"; did you mean "
        "\"docker\"?");
    expect_problems("jobs: {a: {steps: [{uses: docker, run: x, with: {tag: a, build: b}}]}}\n",
                    "1:27: step 1 of job \"a\": a step has \"run\" or \"uses\", not both");
    expect_problems("jobs: {a: {steps: [{run: x, with: {tag: a, build: b}}]}}\n",
                    "1:35: step 1 of job \"a\": \"with\" is for a step with \"uses\"");
    expect_problems("jobs: {a: {steps: [{uses: docker, with: {tag: a}}]}}\n",
                    "1:41: step 1 of job \"a\": expected \"build\", \"push\" or both");
    expect_problems("jobs: {a: {steps: [{uses: docker, with: {build: ../x, tag: b}}]}}\n",
                    "1:49: \"build\" of with of step 1 of job \"a\": \"../x\" leaves the workspace; expected "
                    "a path without \"..\"");
    expect_problems(
        "jobs: {a: {runs-on: {executor: shell}, steps: [{uses: docker, with: {build: x, tag: b}}]}}\n",
        "1:32: job \"a\": `uses: docker` needs the executor \"docker\"; leave \"executor\" out");
}

static void a_step_may_check_or_build_a_flake(void **state) {
    _cleanup_case_ Case c = plan_fine("jobs:\n  a:\n    steps:\n      - {uses: nix, with: {check: .}}\n"
                                      "      - {uses: nix, with: {packages: [\".#a\", \"nixpkgs#b\"]}}\n");
    _cleanup_json_ json_t *spec = spec_of(&c, 0);

    assert_string_equal(c.plan->jobs[0].fit.executor, "nix");
    expect_json(spec, "steps/0/uses", "\"nix\"");
    expect_json(spec, "steps/0/with", "{\"check\":\".\"}");
    expect_json(spec, "steps/1/with", "{\"build\":[\".#a\",\"nixpkgs#b\"]}");
    expect_problems("jobs: {a: {steps: [{uses: nix, with: {check: a, packages: b}}]}}\n",
                    "1:38: step 1 of job \"a\": expected either \"check\" or \"packages\"");
    expect_problems("jobs: {a: {steps: [{uses: nix, with: {check: a, tag: b}}]}}\n",
                    "1:38: step 1 of job \"a\": `uses: nix` takes \"check\" or \"packages\" only");
    expect_problems("jobs: {a: {steps: [{uses: docker, with: {tag: a, push: true, check: b}}]}}\n",
                    "1:41: step 1 of job \"a\": \"check\" and \"packages\" are for `uses: nix`");
    expect_problems("jobs: {a: {image: x, steps: [{uses: nix, with: {check: .}}]}}\n",
                    "1:37: job \"a\": needs another executor than the job's image or steps before; make it a "
                    "job of its own");
}

static void one_mistake_in_with_is_told_once(void **state) {
#define DOCKER(with) "jobs: {a: {steps: [{uses: docker, with: " with "}]}}\n"
    expect_problems(
        DOCKER("{tag: a, build: /etc}"),
        "1:57: \"build\" of with of step 1 of job \"a\": \"/etc\" is absolute; expected a path inside "
        "the workspace");
    expect_problems(DOCKER("{build: ., tags: a}"),
                    "1:52: unknown key \"tags\" in with of step 1 of job \"a\"; did you mean \"tag\"?");
    expect_problems(DOCKER("{build: .}"), "1:41: missing key \"tag\" in with of step 1 of job \"a\"");
    expect_problems(DOCKER("{build: ., tag: []}"),
                    "1:57: \"tag\" of with of step 1 of job \"a\" is empty; leave it out");
    expect_problems(DOCKER("[a]"), "1:41: with of step 1 of job \"a\": expected a mapping, got a list");
    expect_problems(DOCKER("{tag: a, push: false}"),
                    "1:41: step 1 of job \"a\": expected \"build\", \"push\" or both");
}

static void nix_gets_nothing_that_it_would_take_for_an_option(void **state) {
#define NIX(with) "jobs: {a: {steps: [{uses: nix, with: " with "}]}}\n"
#define REFUSED                                                                                              \
    "step 1 of job \"a\": expected what nix builds or checks, as `.#hello`: no option, and without spaces"
    expect_problems(NIX("{packages: --version}"), "1:49: " REFUSED);
    expect_problems(NIX("{packages: [.#a, \"a b\", \"x\\ty\"]}"), "1:55: " REFUSED, "1:62: " REFUSED);
    expect_problems(NIX("{check: \"${{ '-x' }}\"}"), "1:46: " REFUSED);
    expect_problems(NIX("{check: ., file: x}"),
                    "1:38: step 1 of job \"a\": `uses: nix` takes \"check\" or \"packages\" only");
}

static void a_service_is_called_as_a_host_is(void **state) {
#define SERVICE(name) JOB("    image: a\n    services: {" name ": x}\n")
#define NO_HOST                                                                                              \
    "5:16: job \"test\": steps reach a service by its name, so it is that of a host: small letters, "        \
    "digits, "                                                                                               \
    "- and _, a letter or digit first and last, at most 63"
    static const char long_name[] = "a123456789b123456789c123456789d123456789e123456789f123456789g12";
    _cleanup_talloc_ char *too_long = mem_printf(NULL, SERVICE("%s4"), long_name);
    _cleanup_talloc_ char *fits = mem_printf(NULL, SERVICE("%s"), long_name);
    _cleanup_case_ Case a = plan_fine(fits), b = plan_fine(SERVICE("my_db-2"));

    assert_int_equal(a.plan->count + b.plan->count, 2);
    expect_problems(SERVICE("localhost"),
                    "5:16: job \"test\": \"localhost\" is the job itself; steps reach a "
                    "service by its name: take another one");
    expect_problems(SERVICE("-a"), NO_HOST);
    expect_problems(SERVICE("a-"), NO_HOST);
    expect_problems(SERVICE("a.b"), NO_HOST);
    expect_problems(SERVICE("Db"), NO_HOST);
    expect_problems(too_long, NO_HOST);
    expect_problems(SERVICE("\"a b\""),
                    "5:16: bad name \"a b\" of a service; expected letters, digits, _, - and "
                    "dots, at most 100");
}

static void what_only_a_shell_would_expand_is_no_path(void **state) {
#define CACHE(path) JOB("    cache: {key: k, paths: [" path "]}\n")
#define OF_CACHE "4:29: \"paths\" of cache 1 of job \"test\": "
#define INSIDE "; expected a path inside the workspace"
    _cleanup_case_ Case c = plan_fine(CACHE("\"a$B.class\", a~b, ~b"));

    assert_int_equal(c.plan->count, 1);
    expect_problems(CACHE("~/.npm"),
                    OF_CACHE "\"~/.npm\" is in the home folder, of which nothing is kept" INSIDE);
    expect_problems(CACHE("$HOME/.m2"),
                    OF_CACHE "\"$HOME/.m2\" is in the home folder, of which nothing is kept" INSIDE);
    expect_problems(CACHE("\"x/${V}\""), OF_CACHE "\"x/${V}\" has a variable, which nothing fills in here "
                                                  "(`${{ … }}` would be)" INSIDE);
    expect_problems(JOB("    artifacts: [$OUT/a]\n"),
                    "4:17: \"paths\" of artifact 1 of job \"test\": \"$OUT/a\" has a variable, which nothing "
                    "fills in here (`${{ … }}` would be)" INSIDE);
}

static void caches_are_told_in_the_spec_with_what_only_the_job_knows(void **state) {
    _cleanup_case_ Case c = plan_fine(
        JOB("    cache: {key: \"k-${{ branch }}-${{ hash('a') }}\", restore: [k-], paths: [b, \"c/**\"]}\n"));
    _cleanup_json_ json_t *spec = spec_of(&c, 0);

    expect_json(spec, "cache/0/restore", "[\"k-\"]");
    expect_json(spec, "cache/0/paths", "[\"b\",\"c/**\"]");
    assert_non_null(strstr(c.plan->jobs[0].spec, "hash('a')"));
    expect_problems(JOB("    cache: {key: a}\n"), "4:12: missing key \"paths\" in cache 1 of job \"test\"");
}

static void what_is_kept_under_one_key_is_one_thing(void **state) {
    _cleanup_case_ Case same =
        plan_fine("jobs:\n  a: {steps: [x], matrix: {v: [1, 2]}, cache: {key: k, paths: [b, c]}}\n"
                  "  b: {steps: [x], cache: [{key: k, paths: [b, c]}, {key: l, paths: [d]}]}\n");

    assert_int_equal(same.plan->count, 3);
    expect_problems("jobs:\n  a: {steps: [x], cache: {key: k, paths: [b]}}\n"
                    "  b: {steps: [x], cache: {key: k, paths: [c]}}\n",
                    "3:32: cache \"k\" has other paths in job \"a\"; expected the same, or another key");
    expect_problems(
        JOB("    cache: [{key: k, paths: [b]}, {key: k, paths: [b]}]\n"),
        "4:41: the job has a cache \"k\" already; expected another key, or the paths of both there");
}

static void secrets_are_named_in_the_spec(void **state) {
    _cleanup_case_ Case c = plan_fine(JOB("    secrets: [NPM_TOKEN, B]\n"));
    _cleanup_json_ json_t *spec = spec_of(&c, 0);

    expect_json(spec, "secrets", "[\"NPM_TOKEN\",\"B\"]");
    expect_problems(JOB("    secrets: [a-b]\n"),
                    "4:15: job \"test\": a secret's name has letters, digits and _, not a digit first");
}

/* What the reference package takes and refuses. */
static void an_image_has_a_name_that_engines_take(void **state) {
    static const char *const good[] = {
        "a",
        "node:20",
        "a_b/c__d/e-f--g.h:Latest_1.2-x",
        "localhost/a",
        "localhost:5000/a:b",
        "registry.example.com:443/team/app:1.0",
        "[::1]:5000/a",
        "HOST/a",
        "a@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "a:1@sha256:0123456789abcdef0123456789abcdef"};
    static const char *const bad[] = {"BAD TAG",     "Upper", "a/Upper",    "a:",         ":a",       "a::b",
                                      "a:b:c",       "a b",   "/a",         "a/",         "a//b",     "-a",
                                      "a-",          "a..b",  "a___b",      ".a",         "a:-x",     "a@b",
                                      "a@sha256:12", "$X",    "http://a/b", "docker.io/", "a.b:x/c/", "ä"};

    for (size_t i = 0; i < ELEMENTS(good); i++) {
        _cleanup_talloc_ char *text = mem_printf(NULL, JOB("    image: \"%s\"\n"), good[i]);
        _cleanup_case_ Case c = plan_fine(text);

        assert_int_equal(c.plan->count, 1);
    }
    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        _cleanup_talloc_ char *text = mem_printf(NULL, JOB("    image: '%s'\n"), bad[i]);
        _cleanup_case_ Case c = plan_in(text, &on_main);

        if (c.result >= 0 || !strstr(c.problems->items[0].message, "no image is called so"))
            fail_msg("%s", bad[i]);
    }
}

static void names_that_engines_would_refuse_are_refused_where_they_stand(void **state) {
    expect_problems("jobs:\n  a:\n    image: x\n    services: {db: {image: \"Postgres 16\"}, web: "
                    "\"${X}\"}\n    steps: [make]\n",
                    "4:28: job \"a\": no image is called so; expected NAME:TAG or REGISTRY/NAME:TAG, the "
                    "name in lower case",
                    "4:49: job \"a\": no image is called so; expected NAME:TAG or REGISTRY/NAME:TAG, the "
                    "name in lower case");
    expect_problems("jobs:\n  a:\n    steps:\n      - {uses: docker, with: {build: ., tag: [ok, BAD TAG, "
                    "\"x@sha256:1\"]}}\n",
                    "4:51: step 1 of job \"a\": no image can be called so; expected NAME:TAG or "
                    "REGISTRY/NAME:TAG, "
                    "the name in lower case",
                    "4:60: step 1 of job \"a\": no image can be called so; expected NAME:TAG or "
                    "REGISTRY/NAME:TAG, "
                    "the name in lower case");
}

static void what_is_known_as_the_job_runs_is_left_to_the_engine(void **state) {
    _cleanup_case_ Case c = plan_fine(
        "jobs:\n  a:\n    steps:\n      - {uses: docker, with: {build: ., tag: \"x:${{ outputs.V }}\"}}\n");

    assert_int_equal(c.plan->count, 1);
}

static void variables_that_we_set_cannot_be_set(void **state) {
    _cleanup_case_ Case c =
        plan_fine("env: {CI: x, PATH: /bin, PELTON_URL: x, PELTONS: x}\ndeploy: {start: ./x, env: "
                  "{PELTON_JOB: x}}\n" JOB("    image: a\n    services: {db: {image: a, env: {PELTON_JOB: "
                                           "x}}}\n    secrets: [PELTON_TOKEN]\n"));

    assert_int_equal(c.plan->count, 2);
    expect_problems(
        "env: {PELTON: a}\njobs:\n  a:\n    env: {PELTON_BRANCH: b}\n    secrets: [PELTON_COMMIT]\n"
        "    steps: [{run: x, env: {PELTON_OUTPUT: c}}]\n",
        "1:7: variable \"PELTON\" in \"env\": Pelton sets it in every step, over this; take another name",
        "4:11: variable \"PELTON_BRANCH\" in \"env\" of job \"a\": Pelton sets it in every step, over this; "
        "take "
        "another name",
        "5:15: job \"a\": Pelton sets a variable of that name in every step, over the secret; take another "
        "name",
        "6:28: variable \"PELTON_OUTPUT\" in \"env\" of step 1 of job \"a\": Pelton sets it in every step, "
        "over "
        "this; take another name");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_with_an_image_is_for_docker),
        cmocka_unit_test(services_are_containers_beside_it),
        cmocka_unit_test(a_step_may_build_an_image),
        cmocka_unit_test(a_step_may_check_or_build_a_flake),
        cmocka_unit_test(what_does_not_fit_together_is_refused),
        cmocka_unit_test(one_mistake_in_with_is_told_once),
        cmocka_unit_test(nix_gets_nothing_that_it_would_take_for_an_option),
        cmocka_unit_test(a_service_is_called_as_a_host_is),
        cmocka_unit_test(what_only_a_shell_would_expand_is_no_path),
        cmocka_unit_test(an_image_has_a_name_that_engines_take),
        cmocka_unit_test(names_that_engines_would_refuse_are_refused_where_they_stand),
        cmocka_unit_test(what_is_known_as_the_job_runs_is_left_to_the_engine),
        cmocka_unit_test(variables_that_we_set_cannot_be_set),
        cmocka_unit_test(secrets_are_named_in_the_spec),
        cmocka_unit_test(caches_are_told_in_the_spec_with_what_only_the_job_knows),
        cmocka_unit_test(what_is_kept_under_one_key_is_one_thing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
