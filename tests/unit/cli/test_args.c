#include "base/str.h"
#include "cli/args.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct Options {
    const char *output;
    const char **env;
    bool follow, quiet;
    int64_t limit;
} Options;

static const Setting flags[] = {
    {.name = "output", .type = SETTING_STRING, .offset = offsetof(Options, output), .arg = "FILE"},
    {.name = "env", .type = SETTING_WORDS, .offset = offsetof(Options, env), .arg = "K=V"},
    {.name = "follow", .type = SETTING_BOOL, .offset = offsetof(Options, follow)},
    {.name = "quiet", .type = SETTING_BOOL, .offset = offsetof(Options, quiet)},
    {.name = "limit",
     .type = SETTING_INT,
     .offset = offsetof(Options, limit),
     .min = 1,
     .max = 9,
     .fallback = "3"},
};

static const Command command = {
    .name = "try",
    .brief = "try",
    .usage = "try [FLAGS] A [B]",
    .flags = flags,
    .flag_count = ELEMENTS(flags),
    .options_size = sizeof(Options),
    .shorts = "f=follow,o=output,e=env,q=quiet",
    .min_args = 1,
    .max_args = 2,
};

typedef struct Parsed {
    int r;
    CommonOptions common;
    Options *options;
    const char **operands;
    Err err;
} Parsed;

/* The words of the line, split at blanks. */
static Parsed parse(void *mem, const char *line) {
    char *copy = mem_strdup(mem, line), *word, *rest = copy;
    Parsed p = {0};
    char **argv = NULL;
    size_t argc = 0;

    while ((word = strsep(&rest, " ")))
        mem_append(mem, argv, argc, word);
    mem_append(mem, argv, argc, NULL);
    p.r = args_parse(&command, (int)argc - 1, argv, mem, &p.common, (void **)&p.options, &p.operands, &p.err);
    return p;
}

static void flags_and_operands_mix(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    Parsed p = parse(mem, "try one --follow two --output=x --limit 4 --json --url http://h");

    assert_int_equal(p.r, 0);
    assert_string_equal(p.operands[0], "one");
    assert_string_equal(p.operands[1], "two");
    assert_null(p.operands[2]);
    assert_true(p.options->follow);
    assert_string_equal(p.options->output, "x");
    assert_int_equal(p.options->limit, 4);
    assert_true(p.common.json);
    assert_string_equal(p.common.url, "http://h");
}

static void defaults_hold(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    Parsed p = parse(mem, "try one");

    assert_int_equal(p.r, 0);
    assert_int_equal(p.options->limit, 3);
    assert_null(p.options->env);
    assert_false(p.common.json);
}

static void letters_stand_for_flags(void **state) {
    static const char *const lines[] = {"try -f -o x one", "try -fo x one", "try -ox -f one",
                                        "try one -fo=x"};

    for (size_t i = 0; i < ELEMENTS(lines); i++) {
        _cleanup_talloc_ void *mem = talloc_new(NULL);
        Parsed p = parse(mem, lines[i]);

        assert_int_equal(p.r, 0);
        assert_true(p.options->follow);
        assert_string_equal(p.options->output, "x");
        assert_string_equal(p.operands[0], "one");
    }
}

static void words_repeat_and_keep_their_commas(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    Parsed p = parse(mem, "try --env A=1,2 one -e B=x --env=C=");

    assert_int_equal(p.r, 0);
    assert_string_equal(p.options->env[0], "A=1,2");
    assert_string_equal(p.options->env[1], "B=x");
    assert_string_equal(p.options->env[2], "C=");
    assert_null(p.options->env[3]);
}

static void a_value_is_never_a_flag(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    Parsed p = parse(mem, "try --output -f one");

    assert_int_equal(p.r, 0);
    assert_string_equal(p.options->output, "-f");
    assert_false(p.options->follow);
}

static void two_dashes_end_the_flags(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    Parsed p = parse(mem, "try -f -- --output -q");

    assert_int_equal(p.r, 0);
    assert_string_equal(p.operands[0], "--output");
    assert_string_equal(p.operands[1], "-q");
    assert_false(p.options->quiet);
}

static void mistakes_are_usage(void **state) {
    static const char *const lines[] = {"try",      "try a b c",        "try a --folow",
                                        "try a -x", "try a --limit 10", "try a --output",
                                        "try a -o", "try a --limit x"};

    for (size_t i = 0; i < ELEMENTS(lines); i++) {
        _cleanup_talloc_ void *mem = talloc_new(NULL);
        Parsed p = parse(mem, lines[i]);

        assert_int_equal(p.r, -ERR_INVALID);
        assert_string_not_equal(p.err.msg, "");
    }
}

static void a_near_flag_is_named(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);

    assert_non_null(strstr(parse(mem, "try a --folow").err.msg, "follow"));
}

static void help_is_wanted_before_two_dashes(void **state) {
    char *yes[] = {(char[]){"try"}, (char[]){"-x"}, (char[]){"--help"}, NULL};
    char *no[] = {(char[]){"try"}, (char[]){"--"}, (char[]){"--help"}, NULL};

    assert_true(args_want_help(3, yes));
    assert_false(args_want_help(3, no));
    assert_int_equal(args_short(&command, "follow"), 'f');
    assert_int_equal(args_short(&command, "limit"), 0);
    assert_int_equal(args_short(&command, "help"), 'h');
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_and_operands_mix),
        cmocka_unit_test(defaults_hold),
        cmocka_unit_test(letters_stand_for_flags),
        cmocka_unit_test(words_repeat_and_keep_their_commas),
        cmocka_unit_test(a_value_is_never_a_flag),
        cmocka_unit_test(two_dashes_end_the_flags),
        cmocka_unit_test(mistakes_are_usage),
        cmocka_unit_test(a_near_flag_is_named),
        cmocka_unit_test(help_is_wanted_before_two_dashes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
