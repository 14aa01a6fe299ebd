#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/str.h"
#include "executor/docker.h"
#include "executor/docker_context.h"
#include "executor/docker_trace.h"
#include "executor/oom.h"

/* ---- credentials ---- */

#define LOGIN                                                                                                \
    "{\"auths\":{\"registry.example.com:5000\":{\"auth\":\"bWU6c2VjcmV0OnBhcnQ=\"},"                         \
    "\"https://index.docker.io/v1/\":{\"username\":\"hub\",\"password\":\"pw\"}}}"

/* What a header's value says. */
static const char *decoded(const char *header) {
    static char text[4096];
    char value[4096];
    ssize_t len;

    snprintf(value, sizeof(value), "%s", strchr(header, ' ') + 1);
    for (char *c = value; *c; c++)
        *c = *c == '-' ? '+' : *c == '_' ? '/' : *c;
    len = str_base64_decode(value, strlen(value), text, sizeof(text) - 1);
    assert_true(len >= 0);
    text[len] = '\0';
    return text;
}

static const char *auth_for(void *mem, const char *image) {
    char *header = NULL;
    Err err = {0};

    if (login_header(mem, LOGIN, image, &header, &err) < 0)
        fail_msg("%s", err.msg);
    assert_true(strncmp(header, "X-Registry-Auth: ", 17) == 0);
    return decoded(header);
}

static void credentials_go_to_their_registry_alone(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);

    assert_string_equal(auth_for(mem, "registry.example.com:5000/team/app:1"),
                        "{\"username\":\"me\",\"password\":\"secret:part\",\"identitytoken\":\"\","
                        "\"serveraddress\":\"registry.example.com:5000\"}");
    assert_string_equal(auth_for(mem, "registry.example.com/team/app"), "{}");
    assert_string_equal(auth_for(mem, "registry.example.com:50001/app"), "{}");
    assert_non_null(strstr(auth_for(mem, "busybox"), "\"username\":\"hub\""));
    assert_non_null(strstr(auth_for(mem, "docker.io/team/app"), "\"username\":\"hub\""));
    assert_true(login_has(LOGIN, "team/app"));
    assert_false(login_has(LOGIN, "ghcr.io/team/app"));
    assert_false(login_has(NULL, "team/app"));
}

static void credentials_that_are_none_are_refused_without_a_word_of_them(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    char *header;
    Err err = {0};

    assert_int_equal(login_header(mem, "{\"auths\": hunter2", "x", &header, &err), -ERR_INVALID);
    assert_null(strstr(err.msg, "hunter2"));
    assert_non_null(strstr(err.msg, "DOCKER_AUTH_CONFIG"));
    assert_int_equal(login_config_header(mem, LOGIN, &header, &err), 0);
    assert_non_null(strstr(decoded(header), "\"https://index.docker.io/v1/\":{\"username\":\"hub\""));
}

static void a_registry_is_known_by_its_look(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);

    assert_string_equal(login_registry(mem, "busybox:1"), "docker.io");
    assert_string_equal(login_registry(mem, "team/app"), "docker.io");
    assert_string_equal(login_registry(mem, "localhost/app"), "localhost");
    assert_string_equal(login_registry(mem, "127.0.0.1:5000/app:2"), "127.0.0.1:5000");
}

/* ---- .dockerignore ---- */

static void ignore_rules_are_docker_s(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    static const struct {
        const char *path;
        bool ignored;
    } cases[] = {
        {"a.log", true},           {"sub/a.log", false},     {"keep.log", false}, {"build", true},
        {"build/deep/file", true}, {"src/build", false},     {"x.tmp", true},     {"a/b/x.tmp", true},
        {"doc/readme", true},      {"doc/keep/this", false}, {"#file", false},    {"Dockerfile", false},
    };
    Ignore ignore;

    ignore_read("# comment\n*.log\n!keep.log\r\n/build/\n\n  **/*.tmp  \n./doc\n!doc/keep\n", mem, &ignore);
    for (size_t i = 0; i < ELEMENTS(cases); i++)
        if (ignore_match(&ignore, cases[i].path) != cases[i].ignored)
            fail_msg("%s", cases[i].path);
}

/* ---- BuildKit's progress ---- */

static Trace trace;

static const char *traced(const char *bytes, size_t len) {
    static Buf out;
    Err err = {0};

    buf_clear(&out);
    if (trace_take(&trace, bytes, len, &out, &err) < 0)
        fail_msg("%s", err.msg);
    return buf_str(&out);
}

#define TRACED(bytes) traced(bytes, sizeof(bytes) - 1)

/* By hand: vertex {1: digest, 3: name, 4: cached, 5: started, 6: completed, 7: error}, log {1: digest, 4:
 * text}. */
static void progress_is_told_in_lines(void **state) {
    trace = (Trace){.mem = talloc_new(NULL)};
    assert_string_equal(TRACED("\x0a\x06\x0a\x01"
                               "a\x1a\x01n"),
                        ""); /* not begun */
    assert_string_equal(TRACED("\x0a\x0a\x0a\x01"
                               "a\x1a\x01n\x2a\x02\x08\x05"),
                        "#1 n\n");
    assert_string_equal(TRACED("\x1a\x0b\x0a\x01"
                               "a\x22\x06one\ntw"),
                        "#1 one\n");
    assert_string_equal(TRACED("\x1a\x07\x0a\x01"
                               "a\x22\x02o\n"),
                        "#1 two\n");
    assert_string_equal(TRACED("\x0a\x0e\x0a\x01"
                               "a\x1a\x01n\x2a\x02\x08\x05\x32\x02\x08\x07"),
                        "#1 DONE 2.0 s\n");
    assert_string_equal(TRACED("\x0a\x08\x0a\x01"
                               "b\x1a\x01m\x20\x01"),
                        "#2 m\n");
    assert_string_equal(TRACED("\x0a\x0e\x0a\x01"
                               "c\x1a\x01k\x2a\x02\x08\x05\x3a\x02no"),
                        "#3 k\n#3 ERROR: no\n");
    trace_done(&trace);
    talloc_free((void *)trace.mem);
}

static void progress_that_is_cut_or_strange_is_refused(void **state) {
    static const char good[] = "\x0a\x0a\x0a\x01"
                               "a\x1a\x01n\x2a\x02\x08\x05";
    _cleanup_buf_ Buf out = BUF_INIT;
    Err err = {0};

    trace = (Trace){.mem = talloc_new(NULL)};
    for (size_t len = 1; len < sizeof(good) - 1; len++)
        assert_int_equal(trace_take(&trace, good, len, &out, &err), -ERR_INVALID);
    assert_int_equal(trace_take(&trace, "\x0b", 1, &out, &err), -ERR_INVALID); /* a group: no such thing */
    assert_int_equal(trace_take(&trace, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11, &out, &err),
                     -ERR_INVALID);
    trace_done(&trace);
    talloc_free((void *)trace.mem);
}

/* ---- the kernel's log ---- */

#define KILL "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg="

static void a_record_names_the_group_whose_limit_was_hit(void **state) {
    static const struct {
        const char *record;
        bool names;
    } records[] = {
        {"6,13395,13090612552,-;" KILL "/libpod_parent/libpod-abc123,task_memcg=/x,task=sh,pid=1,uid=0\n",
         true},
        {"6,1,2,-;" KILL "/docker/abc123/inner,task_memcg=/docker/abc123/inner,task=sh\n", true},
        {"6,1,2,-;" KILL "/system.slice/docker-abc123.scope", true},
        {"6,1,2,-;" KILL "/other,task_memcg=/docker/abc123,task=sh\n", false}, /* another's limit */
        {"4,1,2,-;abc123 invoked oom-killer: " KILL "/docker/abc123\n",
         false}, /* a process may be called anything */
        {"6,1,2,-;oom-kill:constraint=CONSTRAINT_NONE,task=abc123\n", false},
        {"6,1,2,-;oom-kill:", false},
        {";", false},
        {"", false},
    };

    for (size_t i = 0; i < ELEMENTS(records); i++)
        if (oom_record_names(records[i].record, strlen(records[i].record), "abc123") != records[i].names)
            fail_msg("%s", records[i].record);
    assert_false(oom_record_names(records[0].record, strlen(records[0].record), ""));
    assert_false(oom_log_names(-1, "abc123"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(credentials_go_to_their_registry_alone),
        cmocka_unit_test(credentials_that_are_none_are_refused_without_a_word_of_them),
        cmocka_unit_test(a_registry_is_known_by_its_look),
        cmocka_unit_test(ignore_rules_are_docker_s),
        cmocka_unit_test(progress_is_told_in_lines),
        cmocka_unit_test(progress_that_is_cut_or_strange_is_refused),
        cmocka_unit_test(a_record_names_the_group_whose_limit_was_hit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
