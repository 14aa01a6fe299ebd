#include "base/str.h"
#include "cli/args.h"
#include "cli/cli.h"
#include "cli/help.h"
#include "docs.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void every_verb_is_explained(void **state) {
    for (size_t i = 0; cli_commands[i]; i++) {
        const Command *c = cli_commands[i];
        size_t examples = 0;

        assert_non_null(c->name);
        assert_non_null(c->run);
        assert_true(c->brief && c->brief[0] >= 'a' && c->brief[0] <= 'z' && !str_ends(c->brief, "."));
        assert_true(strlen(c->brief) <= 60);
        assert_non_null(str_after(c->usage, c->name));
        while (c->examples && c->examples[examples])
            examples++;
        assert_true(examples >= 2 && examples % 2 == 0);
        assert_true(c->min_args <= c->max_args);
        for (size_t j = 0; j < c->flag_count; j++) {
            assert_non_null(c->flags[j].help);
            assert_true(c->flags[j].type == SETTING_BOOL || c->flags[j].arg);
            assert_true(c->flags[j].offset < c->options_size);
            assert_non_null(strstr(c->usage, c->flags[j].name)
                                ? c->usage
                                : (args_short(c, c->flags[j].name) ? strchr(c->usage, '-') : NULL));
        }
    }
}

static void names_are_used_once(void **state) {
    for (size_t i = 0; cli_commands[i]; i++)
        for (size_t j = i + 1; cli_commands[j]; j++)
            assert_string_not_equal(cli_commands[i]->name, cli_commands[j]->name);
}

static void letters_stand_for_flags_that_are_there(void **state) {
    for (size_t i = 0; cli_commands[i]; i++) {
        const Command *c = cli_commands[i];

        for (const char *at = c->shorts; at && *at; at += strcspn(at, ","), at += *at == ',') {
            bool found = false;

            assert_int_equal(at[1], '=');
            for (size_t j = 0; j < c->flag_count; j++)
                found = found || args_short(c, c->flags[j].name) == at[0];
            assert_true(found);
        }
    }
}

static const Command *find(const char *a, const char *b, size_t *words) {
    const char *const list[] = {a, b};

    return cli_find(cli_commands, list, b ? 2 : 1, words);
}

static void the_longest_name_wins(void **state) {
    size_t words = 0;

    assert_string_equal(find("repo", "create", &words)->name, "repo create");
    assert_int_equal(words, 2);
    assert_string_equal(find("logs", "create", &words)->name, "logs");
    assert_int_equal(words, 1);
    assert_null(find("repo", NULL, &words));
    assert_null(find("repo", "creat", &words));
    assert_null(find("repo create", NULL, &words));
    assert_null(find("log", NULL, &words));
}

static void every_verb_has_a_man_page(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);

    for (const char **verb = help_verbs(cli_commands, mem); *verb; verb++) {
        _cleanup_buf_ Buf page = BUF_INIT;

        assert_true(help_man(cli_commands, *verb, &page));
        assert_non_null(strstr(buf_str(&page), ".TH \"PELTON-"));
        assert_non_null(strstr(buf_str(&page), ".SH EXAMPLES"));
    }
}

static void hidden_verbs_are_not_listed(void **state) {
    _cleanup_buf_ Buf out = BUF_INIT;
    const Term plain = {0};

    help_overview(cli_commands, &plain, &out);
    assert_non_null(strstr(buf_str(&out), "repo create"));
    assert_null(strstr(buf_str(&out), "post-receive"));
    assert_null(strstr(buf_str(&out), "__complete"));
}

static void errors_map_to_exit_statuses(void **state) {
    assert_int_equal(cli_exit_of(ERR_INVALID), 2);
    assert_int_equal(cli_exit_of(ERR_NOT_FOUND), 3);
    assert_int_equal(cli_exit_of(ERR_UNAUTHORIZED), 4);
    assert_int_equal(cli_exit_of(ERR_FORBIDDEN), 4);
    assert_int_equal(cli_exit_of(ERR_UNAVAILABLE), 5);
    assert_int_equal(cli_exit_of(ERR_CONFLICT), 6);
    assert_int_equal(cli_exit_of(ERR_EXISTS), 6);
    assert_int_equal(cli_exit_of(ERR_IO), 7);
    assert_int_equal(cli_exit_of(ERR_NO_SPACE), 7);
    assert_int_equal(cli_exit_of(ERR_INTERNAL), 7);
}

/* 1 is what a script takes for a build that failed. */
static void no_error_has_the_exit_status_of_a_failed_build(void **state) {
    for (int code = ERR_INVALID; code <= ERR_INTERNAL; code++) {
        assert_int_not_equal(cli_exit_of((ErrCode)code), CLI_DONE);
        assert_int_not_equal(cli_exit_of((ErrCode)code), CLI_FAILED);
    }
}

static void every_exit_status_is_told(void **state) {
    _cleanup_buf_ Buf help = BUF_INIT, man = BUF_INIT, table = BUF_INIT;
    const Term plain = {0};

    help_overview(cli_commands, &plain, &help);
    assert_true(help_man(cli_commands, "pelton", &man));
    buf_adds(&table, "| status | means |\n|---|---|\n");
    for (int i = 0; i < CLI_EXITS; i++) {
        char line[128];

        snprintf(line, sizeof(line), "  %d  %s\n", i, cli_exits[i]);
        assert_non_null(strstr(buf_str(&help), line));
        snprintf(line, sizeof(line), "%d %s", i, cli_exits[i]);
        assert_non_null(strstr(buf_str(&man), line));
        buf_addf(&table, "| %d | %s |\n", i, cli_exits[i]);
    }
    docs_hold("start.md", "exit statuses", &table);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_verb_is_explained),
        cmocka_unit_test(names_are_used_once),
        cmocka_unit_test(letters_stand_for_flags_that_are_there),
        cmocka_unit_test(the_longest_name_wins),
        cmocka_unit_test(every_verb_has_a_man_page),
        cmocka_unit_test(hidden_verbs_are_not_listed),
        cmocka_unit_test(errors_map_to_exit_statuses),
        cmocka_unit_test(no_error_has_the_exit_status_of_a_failed_build),
        cmocka_unit_test(every_exit_status_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
