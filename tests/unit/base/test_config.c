#include "base/clock.h"
#include "base/config.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "base/yaml.h"
#include "base_test.h"

typedef struct Settings {
    const char *listen, *state, *key;
    int64_t runners, grace;
    bool verbose;
    uint64_t limit;
    const char **allow;
    const char *level;
} Settings;

static const char *const executors[] = {"sandbox", "shell", NULL};
static const char *const levels[] = {"debug", "info", NULL};

static const Setting table[] = {
    {.name = "listen",
     .type = SETTING_ADDRESS,
     .offset = offsetof(Settings, listen),
     .fallback = "127.0.0.1:8080",
     .arg = "ADDR:PORT",
     .help = "where the server answers"},
    {.name = "state",
     .type = SETTING_STRING,
     .offset = offsetof(Settings, state),
     .arg = "DIR",
     .help = "the state"},
    {.name = "key",
     .type = SETTING_STRING,
     .offset = offsetof(Settings, key),
     .secret = true,
     .help = "a secret"},
    {.name = "runners",
     .type = SETTING_INT,
     .offset = offsetof(Settings, runners),
     .min = 0,
     .max = 64,
     .fallback = "1"},
    {.name = "stop-grace",
     .type = SETTING_DURATION,
     .offset = offsetof(Settings, grace),
     .min = US_PER_S,
     .max = 3600 * US_PER_S,
     .fallback = "10s"},
    {.name = "verbose", .type = SETTING_BOOL, .offset = offsetof(Settings, verbose), .help = "say more"},
    {.name = "max-log",
     .type = SETTING_SIZE,
     .offset = offsetof(Settings, limit),
     .min = 1024,
     .max = 1 << 30,
     .fallback = "64M"},
    {.name = "allow-executor",
     .type = SETTING_WORDS,
     .offset = offsetof(Settings, allow),
     .words = executors,
     .fallback = "sandbox"},
    {.name = "level",
     .type = SETTING_STRING,
     .offset = offsetof(Settings, level),
     .words = levels,
     .fallback = "info"},
};

typedef struct Fixture {
    char *folder, *path;
    Settings settings;
    Config *config;
} Fixture;

static int set_up(void **state) {
    Fixture *f = mem_new(NULL, Fixture);
    void *folder;

    if (folder_new(&folder) < 0)
        return -1;
    f->folder = talloc_steal(f, folder);
    f->path = mem_printf(f, "%s/pelton.yml", f->folder);
    f->config = config_new(f, table, ELEMENTS(table), &f->settings);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    Fixture *f = *state;
    Err err;
    int r = file_remove_tree(f->folder, &err);

    talloc_free(f);
    return r;
}

static int from_file(Fixture *f, const char *text, Err *err) {
    assert_done(file_write_atomic(f->path, text, strlen(text), 0600, err), err);
    return config_read_file(f->config, f->path, true, err);
}

static int from_env(Fixture *f, const char *variable, Err *err) {
    const char *const envp[] = {"HOME=/root", variable, "XPELTON_Y=1", NULL};
    const char *const ignore[] = {"PELTON_URL", "PELTON_TOKEN", NULL};

    return config_read_env(f->config, envp, ignore, err);
}

/* Of two arguments at most. */
static int from_flags(Fixture *f, const char *a, const char *b, Err *err) {
    char *argv[] = {"server", (char *)a, (char *)b, NULL};
    const char **operands;

    return config_read_flags(f->config, a ? b ? 3 : 2 : 1, argv, &operands, err);
}

static void defaults_hold(void **state) {
    Fixture *f = *state;

    assert_string_equal(f->settings.listen, "127.0.0.1:8080");
    assert_null(f->settings.state);
    assert_int_equal(f->settings.runners, 1);
    assert_int_equal(f->settings.grace, 10 * US_PER_S);
    assert_false(f->settings.verbose);
    assert_int_equal(f->settings.limit, 64 << 20);
    assert_string_equal(f->settings.allow[0], "sandbox");
    assert_null(f->settings.allow[1]);
    assert_false(config_is_set(f->config, "listen"));
    assert_false(config_is_set(f->config, "none"));
}

static void a_file_gives_every_type(void **state) {
    Fixture *f = *state;
    Err err;

    assert_done(
        from_file(f,
                  "# settings\nlisten: \"[::1]:0\"\nstate: \"/x: y\"\nrunners: 4\nstop-grace: 1m30s\n"
                  "verbose: true\nmax-log: 2M\nallow-executor:\n  - shell\n  - sandbox\nkey: 5\nlevel:\n",
                  &err),
        &err);
    assert_string_equal(f->settings.listen, "[::1]:0");
    assert_string_equal(f->settings.state, "/x: y");
    assert_int_equal(f->settings.runners, 4);
    assert_int_equal(f->settings.grace, 90 * US_PER_S);
    assert_true(f->settings.verbose);
    assert_int_equal(f->settings.limit, 2 << 20);
    assert_string_equal(f->settings.allow[0], "shell");
    assert_string_equal(f->settings.allow[1], "sandbox");
    assert_null(f->settings.allow[2]);
    assert_string_equal(f->settings.key, "5");
    assert_string_equal(f->settings.level, "info"); /* nothing behind it: as it was */
    assert_true(config_is_set(f->config, "listen"));
    assert_false(config_is_set(f->config, "level"));
}

static void mistakes_of_a_file_have_places(void **state) {
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"runners: 2\nlisten: 1:2\nrunnrs: 1\n",
         "/pelton.yml:3:1: unknown setting \"runnrs\"; did you mean \"runners\"?"},
        {"zzzzz: 1\n", "/pelton.yml:1:1: unknown setting \"zzzzz\""},
        {"runners:  many\n", "/pelton.yml:1:11: runners: expected a whole number, got \"many\""},
        {"runners: 65\n", ":1:10: runners: expected 0 to 64, got \"65\""},
        {"stop-grace: 0s\n", "expected 1s to 1h, got \"0s\""},
        {"stop-grace: soon\n", "expected a duration"},
        {"max-log: 1000\n", "expected 1K to 1G, got \"1000\""},
        {"max-log: 1.5M\n", "expected a size"},
        {"listen: 8080\n", "expected an address like"},
        {"listen: a:65536\n", "expected an address like"},
        {"verbose: maybe\n", "expected true or false"},
        {"level: inf\n", "expected one of debug, info, got \"inf\"; did you mean \"info\"?"},
        {"allow-executor: [sandbox, docker]\n", "expected one of sandbox, shell, got \"docker\""},
        {"allow-executor: [[shell]]\n", "got a list in it"},
        {"listen: [a]\n", "expected one value, got a list"},
        {"listen: {a: 1}\n", "expected one value, got a mapping"},
        {"- a\n", "/pelton.yml:1:1: expected \"name: value\" lines, got a list"},
        {"a: b: c\n", "/pelton.yml:1:5: mapping values"},
        {"runners: 1\nrunners: 2\n", "/pelton.yml:2:1: key \"runners\" is here twice"},
    };
    Fixture *f = *state;
    Err err;

    for (size_t i = 0; i < ELEMENTS(cases); i++)
        assert_fails(from_file(f, cases[i].text, &err), &err, ERR_INVALID, cases[i].says);
}

static void a_file_may_be_missing_or_empty(void **state) {
    Fixture *f = *state;
    Err err;

    assert_done(config_read_file(f->config, f->path, false, &err), &err);
    assert_fails(config_read_file(f->config, f->path, true, &err), &err, ERR_NOT_FOUND, "pelton.yml");
    assert_done(from_file(f, "", &err), &err);
    assert_done(from_file(f, "# nothing\n", &err), &err);
}

static void secrets_are_not_shown(void **state) {
    Fixture *f = *state;
    _cleanup_buf_ Buf out = BUF_INIT;
    Err err;

    assert_done(from_file(f, "key: s3cret\n", &err), &err);
    assert_string_equal(f->settings.key, "s3cret");
    config_print(f->config, &out);
    config_print_json(f->config, &out);
    assert_null(strstr(buf_str(&out), "s3cret"));
    assert_non_null(strstr(buf_str(&out), "key: \"(set)\"   # from "));
    assert_fails(from_file(f, "key: [s3cret]\n", &err), &err, ERR_INVALID, "expected one value");
    assert_null(strstr(err.msg, "s3cret"));
}

static void the_environment_goes_over_the_file(void **state) {
    Fixture *f = *state;
    Err err;

    assert_done(from_file(f, "runners: 2\nstop-grace: 20s\n", &err), &err);
    assert_done(from_env(f, "PELTON_STOP_GRACE=30s", &err), &err);
    assert_done(from_env(f, "PELTON_ALLOW_EXECUTOR= shell , sandbox", &err), &err);
    assert_int_equal(f->settings.runners, 2);
    assert_int_equal(f->settings.grace, 30 * US_PER_S);
    assert_string_equal(f->settings.allow[0], "shell");
    assert_string_equal(f->settings.allow[1], "sandbox");
    assert_done(from_env(f, "PELTON_ALLOW_EXECUTOR=", &err), &err);
    assert_null(f->settings.allow[0]);
    assert_done(from_env(f, "PELTON_TOKEN=x", &err), &err);
    assert_fails(from_env(f, "PELTON_RUNNER=1", &err), &err, ERR_INVALID,
                 "\"PELTON_RUNNER\"; did you mean \"PELTON_RUNNERS\"?");
    assert_fails(from_env(f, "PELTON_RUNNERS=x", &err), &err, ERR_INVALID,
                 "PELTON_RUNNERS: expected a whole number");
    assert_fails(from_env(f, "PELTON_ALLOW_EXECUTOR=shell,", &err), &err, ERR_INVALID, "expected words");
}

static void flags_go_over_all_and_leave_operands(void **state) {
    Fixture *f = *state;
    char *argv[] = {"server",    "one", "--runners=3", "--listen", "h:1", "-",
                    "--verbose", "--",  "--runners",   "two",      NULL};
    const char **operands = NULL;
    Err err;

    assert_done(from_env(f, "PELTON_RUNNERS=2", &err), &err);
    assert_done(config_read_flags(f->config, 10, argv, &operands, &err), &err);
    assert_int_equal(f->settings.runners, 3);
    assert_string_equal(f->settings.listen, "h:1");
    assert_true(f->settings.verbose);
    assert_string_equal(operands[0], "one");
    assert_string_equal(operands[1], "-");
    assert_string_equal(operands[2], "--runners");
    assert_string_equal(operands[3], "two");
    assert_null(operands[4]);
    assert_done(from_flags(f, "--no-verbose", NULL, &err), &err);
    assert_false(f->settings.verbose);
    assert_done(from_flags(f, "--verbose=yes", NULL, &err), &err);
    assert_true(f->settings.verbose);
    assert_done(from_flags(f, "--state", "-x", &err), &err);
    assert_string_equal(f->settings.state, "-x");
}

static void mistakes_of_flags_name_the_flag(void **state) {
    Fixture *f = *state;
    Err err;

    assert_fails(from_flags(f, "--runers", "1", &err), &err, ERR_INVALID,
                 "\"--runers\"; did you mean \"--runners\"?");
    assert_fails(from_flags(f, "--runners", NULL, &err), &err, ERR_INVALID, "--runners: expected a value");
    assert_fails(from_flags(f, "--listen", "--verbose", &err), &err, ERR_INVALID,
                 "--listen: expected a value behind it: ADDR:PORT");
    assert_fails(from_flags(f, "--runners=x", NULL, &err), &err, ERR_INVALID,
                 "--runners: expected a whole number");
    assert_fails(from_flags(f, "--no-listen", NULL, &err), &err, ERR_INVALID,
                 "unknown setting \"--no-listen\"");
    assert_fails(from_flags(f, "--no-verbose=1", NULL, &err), &err, ERR_INVALID, "unknown");
    assert_fails(from_flags(f, "-v", NULL, &err), &err, ERR_INVALID, "unknown setting \"-v\"");
    assert_fails(from_flags(f, "--key=a", "--zz", &err), &err, ERR_INVALID, "unknown");
}

static void what_is_printed_says_from_where(void **state) {
    Fixture *f = *state;
    _cleanup_buf_ Buf out = BUF_INIT;
    Err err;

    assert_done(from_file(f, "\nrunners: 2\n", &err), &err);
    assert_done(from_env(f, "PELTON_MAX_LOG=1M", &err), &err);
    assert_done(from_flags(f, "--state", "a: \"b\"\n#", &err), &err);
    config_print(f->config, &out);
    assert_non_null(strstr(out.data, "listen: \"127.0.0.1:8080\"   # from default\n"));
    assert_non_null(strstr(out.data, "state: \"a: \\\"b\\\"\\n#\"   # from --state\n"));
    assert_non_null(strstr(out.data, "key: ~   # from default\n"));
    assert_non_null(strstr(out.data, "/pelton.yml:2\n"));
    assert_non_null(strstr(out.data, "max-log: 1M   # from PELTON_MAX_LOG\n"));
}

/* The printed settings are a file that gives the same settings. */
static void what_is_printed_can_be_read(void **state) {
    Fixture *f = *state;
    Settings again = {0};
    Config *other = config_new(f, table, ELEMENTS(table), &again);
    _cleanup_buf_ Buf out = BUF_INIT;
    Err err;

    assert_done(from_flags(f, "--state=a: 'b' # \x01\xc3\xbc\n- x", "--verbose", &err), &err);
    assert_done(from_flags(f, "--allow-executor=shell,sandbox", "--stop-grace=1h", &err), &err);
    config_print(f->config, &out);
    assert_done(file_write_atomic(f->path, out.data, out.len, 0600, &err), &err);
    assert_done(config_read_file(other, f->path, true, &err), &err);
    assert_string_equal(again.state, f->settings.state);
    assert_true(again.verbose);
    assert_string_equal(again.allow[0], "shell");
    assert_string_equal(again.allow[1], "sandbox");
    assert_int_equal(again.grace, 3600 * US_PER_S);
    assert_null(again.key);
}

static void json_has_values_and_sources(void **state) {
    Fixture *f = *state;
    _cleanup_buf_ Buf out = BUF_INIT;
    _cleanup_json_ json_t *root = NULL;
    json_t *field;
    Err err;

    assert_done(from_flags(f, "--runners=3", "--verbose", &err), &err);
    config_print_json(f->config, &out);
    assert_done(json_read(out.data, out.len, &root, &err), &err);
    assert_int_equal(json_object_size(root), ELEMENTS(table));
    field = json_object_get(root, "runners");
    assert_int_equal(json_integer_value(json_object_get(field, "value")), 3);
    assert_string_equal(json_string_value(json_object_get(field, "from")), "--runners");
    assert_true(json_is_true(json_object_get(json_object_get(root, "verbose"), "value")));
    assert_true(json_is_null(json_object_get(json_object_get(root, "state"), "value")));
    assert_string_equal(json_string_value(json_object_get(json_object_get(root, "stop-grace"), "value")),
                        "10s");
    assert_true(json_is_array(json_object_get(json_object_get(root, "allow-executor"), "value")));
}

static void help_has_a_line_a_setting(void **state) {
    _cleanup_buf_ Buf out = BUF_INIT;
    size_t lines = 0;

    config_help(table, ELEMENTS(table), &out);
    for (const char *at = out.data; (at = strchr(at, '\n')); at++)
        lines++;
    assert_int_equal(lines, ELEMENTS(table));
    assert_non_null(strstr(out.data, "  --listen ADDR:PORT"));
    assert_non_null(strstr(out.data, "where the server answers (default 127.0.0.1:8080)\n"));
    assert_non_null(strstr(out.data, "sandbox|shell"));
}

#define test_config(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        test_config(defaults_hold),
        test_config(a_file_gives_every_type),
        test_config(mistakes_of_a_file_have_places),
        test_config(a_file_may_be_missing_or_empty),
        test_config(secrets_are_not_shown),
        test_config(the_environment_goes_over_the_file),
        test_config(flags_go_over_all_and_leave_operands),
        test_config(mistakes_of_flags_name_the_flag),
        test_config(what_is_printed_says_from_where),
        test_config(what_is_printed_can_be_read),
        test_config(json_has_values_and_sources),
        test_config(help_has_a_line_a_setting),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
