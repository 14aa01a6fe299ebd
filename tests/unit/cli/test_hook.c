#include "base/json.h"
#include "base/str.h"
#include "cli/hook.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define ZERO "0000000000000000000000000000000000000000"
#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static HookRef *parse(void *mem, const char *text, size_t *count) {
    HookRef *refs = NULL;
    Err err = {0};

    assert_int_equal(hook_parse_refs(text, strlen(text), mem, &refs, count, &err), 0);
    return refs;
}

static void every_ref_of_a_push_is_taken(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    size_t count = 0;
    HookRef *refs = parse(
        mem, ZERO " " A " refs/heads/main\n" A " " ZERO " refs/heads/old\n" A " " B " refs/tags/v1", &count);

    assert_int_equal(count, 3);
    assert_string_equal(refs[0].new_rev, A);
    assert_string_equal(refs[0].ref, "refs/heads/main");
    assert_false(refs[0].deleted);
    assert_true(refs[1].deleted);
    assert_string_equal(refs[2].ref, "refs/tags/v1"); /* no newline at the end */
    assert_string_equal(refs[2].author, "");
}

static void no_refs_are_fine(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    size_t count = 9;

    parse(mem, "", &count);
    assert_int_equal(count, 0);
}

static void a_ref_may_have_any_bytes(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    size_t count = 0;
    HookRef *refs = parse(mem, A " " B " refs/heads/\"x\" $(id) \xFF\n", &count);

    assert_int_equal(count, 1);
    assert_string_equal(refs[0].ref, "refs/heads/\"x\" $(id) \xFF");
}

static void wrong_lines_are_refused(void **state) {
    static const char *const wrong[] = {
        "\n",
        "x",
        A " " B,
        A " " B " ",
        A " " B "\n",
        "aaa " B " refs/heads/x\n",
        A " zzzz refs/heads/x\n",
        A "  " B " refs/heads/x\n",
        A " AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA refs/heads/x\n",
    };

    for (size_t i = 0; i < ELEMENTS(wrong); i++) {
        _cleanup_talloc_ void *mem = talloc_new(NULL);
        HookRef *refs = NULL;
        size_t count = 0;
        Err err = {0};

        assert_int_equal(hook_parse_refs(wrong[i], strlen(wrong[i]), mem, &refs, &count, &err), -ERR_INVALID);
        assert_null(refs);
    }
}

static void a_zero_byte_is_refused(void **state) {
    static const char line[] = A " " B " refs/heads/x\0y\n";
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    HookRef *refs = NULL;
    size_t count = 0;
    Err err = {0};

    assert_int_equal(hook_parse_refs(line, sizeof(line) - 1, mem, &refs, &count, &err), -ERR_INVALID);
}

static HookRef commit(void *mem, const char *text) {
    HookRef ref = {.author = "", .email = "", .subject = "", .commit = ""};

    hook_parse_commit(text, strlen(text), mem, &ref);
    return ref;
}

static void author_and_subject_are_read(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    HookRef ref = commit(
        mem, "tree " A
             "\nauthor Ada L <ada@x.org> 1700000000 +0100\ncommitter C <c@x> 1 +0\n\nFirst line\n\nMore\n");

    assert_string_equal(ref.author, "Ada L");
    assert_string_equal(ref.email, "ada@x.org");
    assert_string_equal(ref.subject, "First line");
}

static void an_author_in_the_message_is_not_one(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    HookRef ref = commit(mem, "tree " A "\n\nauthor Eve <eve@x>\n");

    assert_string_equal(ref.author, "");
    assert_string_equal(ref.subject, "author Eve <eve@x>");
}

static void bytes_that_are_not_utf8_are_replaced(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    HookRef ref = commit(mem, "author J\xF6rg <j\xFF@x> 1 +0\n\nGr\xFC\xDF"
                              "e");

    assert_true(str_utf8_valid(ref.author, strlen(ref.author)));
    assert_string_equal(ref.author, "J\xEF\xBF\xBDrg");
    assert_true(str_utf8_valid(ref.subject, strlen(ref.subject)));
}

static void odd_commits_do_no_harm(void **state) {
    static const char *const odd[] = {
        "", "\n", "author", "author \n", "author <\n", "author >a<\n", "tree x", "\n\n\n", "author a <b"};

    for (size_t i = 0; i < ELEMENTS(odd); i++) {
        _cleanup_talloc_ void *mem = talloc_new(NULL);
        char *exact =
            talloc_memdup(mem, odd[i], MAX(strlen(odd[i]), 1)); /* no zero behind it: ASan watches */
        HookRef ref = {.author = "", .email = "", .subject = ""};

        hook_parse_commit(exact, strlen(odd[i]), mem, &ref);
        assert_non_null(ref.author);
        assert_non_null(ref.subject);
    }
}

static void a_signature_is_seen_in_the_header_alone(void **state) {
    static const struct {
        const char *text;
        bool is_signed;
    } commits[] = {
        {"tree " A "\nauthor A <a@x> 1 +0\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n\nm\n", true},
        {"tree " A "\ngpgsig-sha256 -----BEGIN SSH SIGNATURE-----\n x\n\nm\n", true},
        {"tree " A "\nauthor A <a@x> 1 +0\n\ngpgsig of my own\n", false},
        {"tree " A "\nmergetag object " B "\n gpgsig x\n\nm\n", false},
        {"tree " A "\ngpgsignature x\n\nm\n", false},
        {"gpgsig", false},
    };

    for (size_t i = 0; i < ELEMENTS(commits); i++) {
        _cleanup_talloc_ void *mem = talloc_new(NULL);

        assert_int_equal(commit(mem, commits[i].text).is_signed, commits[i].is_signed);
    }
}

static void what_git_says_of_signatures_goes_to_its_commits(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    HookRef refs[] = {{.commit = A, .is_signed = true, .gpg_status = "E", .gpg_key = "", .gpg_signer = ""},
                      {.commit = B, .gpg_status = "N", .gpg_key = "", .gpg_signer = ""},
                      {.commit = A, .is_signed = true, .gpg_status = "E", .gpg_key = "", .gpg_signer = ""}};
    static const char text[] = A " G 1234ABCD\nAnn \xFF <ann@x>\n" B " B \nEve\n";

    hook_parse_signatures(text, sizeof(text) - 1, mem, refs, 3);
    for (size_t i = 0; i < 3; i += 2) {
        assert_string_equal(refs[i].gpg_status, "G");
        assert_string_equal(refs[i].gpg_key, "1234ABCD");
        assert_string_equal(refs[i].gpg_signer, "Ann \xEF\xBF\xBD <ann@x>");
    }
    assert_string_equal(refs[1].gpg_status, "N"); /* it has none */
}

static void what_git_could_not_look_at_is_said_so(void **state) {
    static const char *const odd[] = {"",     A " N \n\n",   A " G\n\n",   A " G 1",
                                      A "\n", A " Z 1\nx\n", "G 1 2\nx\n", A " GG 1\nx\n"};

    for (size_t i = 0; i < ELEMENTS(odd); i++) {
        _cleanup_talloc_ void *mem = talloc_new(NULL);
        HookRef ref = {.commit = A, .is_signed = true, .gpg_status = "E", .gpg_key = "", .gpg_signer = ""};

        hook_parse_signatures(odd[i], strlen(odd[i]), mem, &ref, 1);
        assert_string_equal(ref.gpg_status, "E");
    }
}

static void a_batch_answers_in_order(void **state) {
    static const char first[] = "author A <a@x> 1 +0\n\none\n", second[] = "author B <b@x> 1 +0\n\ntwo";
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    size_t count = 0;
    HookRef *refs = parse(mem,
                          A " " B " refs/heads/a\n" A " " ZERO " refs/heads/gone\n" A " " B
                            " refs/tags/odd\n" A " " A " refs/tags/v1\n",
                          &count);
    char *text = mem_printf(mem, B " commit %zu\n%s\n" B "^{commit} missing\n" B " commit %zu\n%s\n",
                            sizeof(first) - 1, first, sizeof(second) - 1, second);

    hook_parse_batch(text, strlen(text), mem, refs, count);
    assert_string_equal(refs[0].subject, "one");
    assert_string_equal(refs[0].gpg_status, "N");
    assert_string_equal(refs[1].gpg_status, ""); /* nobody has looked */
    assert_string_equal(refs[1].subject, "");
    assert_string_equal(refs[2].subject, "");
    assert_string_equal(refs[2].commit, "");
    assert_string_equal(refs[3].subject, "two");
    assert_string_equal(refs[3].commit, B); /* what the tag points to */
}

static void a_batch_that_lies_about_its_size_is_left(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    size_t count = 0;
    HookRef *refs = parse(mem, A " " B " refs/heads/a\n", &count);
    static const char text[] = B " commit 99999\nauthor A <a@x> 1 +0\n\nx\n";

    hook_parse_batch(text, sizeof(text) - 1, mem, refs, count);
    assert_string_equal(refs[0].author, "");
}

static void the_name_is_the_last_part(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);

    assert_string_equal(hook_repo_name(mem, "/srv/repos/hello.git"), "hello");
    assert_string_equal(hook_repo_name(mem, "/srv/repos/hello.git/"), "hello");
    assert_string_equal(hook_repo_name(mem, "/srv/hello"), "hello");
    assert_string_equal(hook_repo_name(mem, "/srv/.git"), ".git");
}

static void options_of_a_push_say_what_its_pull_request_is(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    HookPull pull = {0};

    assert_null(hook_option("target=release/1", mem, &pull));
    assert_null(hook_option("source=topic", mem, &pull));
    assert_null(hook_option("title=a = b \xff", mem, &pull));
    assert_string_equal(pull.target, "release/1");
    assert_string_equal(pull.source, "topic");
    assert_string_equal(pull.title, "a = b \xEF\xBF\xBD");
    assert_null(pull.fork);
    assert_null(hook_option("fork", mem, &pull));
    assert_string_equal(pull.fork, "true");
    assert_null(hook_option("fork=false", mem, &pull));
    assert_string_equal(pull.fork, "false");
}

static void an_option_that_is_wrong_says_so_and_changes_nothing(void **state) {
    static const char *const wrong[] = {
        "target=", "target=../x", "target", "source=a b", "fork=no", "taget=main", "", "=x", "titles=x"};
    static const HookPull nothing;
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    HookPull pull = {0};

    for (size_t i = 0; i < ELEMENTS(wrong); i++) {
        assert_non_null(hook_option(wrong[i], mem, &pull));
        assert_memory_equal(&pull, &nothing, sizeof(pull));
    }
}

static void the_payload_has_the_pull_request(void **state) {
    static const HookPull pull = {.target = "main", .fork = "true"};
    _cleanup_buf_ Buf out = BUF_INIT;
    _cleanup_json_ json_t *body = NULL;
    HookRef ref = {.old_rev = ZERO, .new_rev = A, .ref = "refs/pull/7/head", .commit = A, .pull = &pull};
    json_t *said = NULL;
    Err err = {0};

    ref.author = ref.email = ref.subject = "";
    hook_payload(&ref, "/srv/repos/hello.git", "ada", &out);
    assert_int_equal(json_read(out.data, out.len, &body, &err), 0);
    assert_int_equal(json_opt_object(body, "pull_request", &said, &err), 0);
    assert_int_equal(json_integer_value(json_object_get(said, "number")), 7);
    assert_string_equal(json_string_value(json_object_get(said, "target")), "main");
    assert_true(json_is_true(json_object_get(said, "fork")));
    assert_true(json_is_null(json_object_get(said, "title")));
}

static void the_payload_is_json_whatever_is_in_it(void **state) {
    _cleanup_buf_ Buf out = BUF_INIT;
    _cleanup_json_ json_t *body = NULL;
    HookRef ref = {.old_rev = ZERO,
                   .new_rev = A,
                   .ref = "refs/heads/\"\\\n\xFF",
                   .commit = B,
                   .author = "\"}",
                   .email = "",
                   .subject = "\x01",
                   .gpg_status = "B",
                   .gpg_key = "\"",
                   .gpg_signer = "\n"};
    const char *text = NULL;
    Err err = {0};

    hook_payload(&ref, "/srv/repos/he\"llo.git", "ada", &out);
    assert_int_equal(json_read(out.data, out.len, &body, &err), 0);
    assert_int_equal(json_get_str(body, "repo", &text, &err), 0);
    assert_string_equal(text, "he\"llo");
    assert_int_equal(json_get_str(body, "new_rev", &text, &err), 0);
    assert_string_equal(text, B);
    assert_int_equal(json_get_str(body, "pusher", &text, &err), 0);
    assert_string_equal(text, "ada");
    assert_int_equal(json_get_str(body, "gpg_status", &text, &err), 0);
    assert_string_equal(text, "B");
    assert_int_equal(json_object_size(body), 12);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_ref_of_a_push_is_taken),
        cmocka_unit_test(no_refs_are_fine),
        cmocka_unit_test(a_ref_may_have_any_bytes),
        cmocka_unit_test(wrong_lines_are_refused),
        cmocka_unit_test(a_zero_byte_is_refused),
        cmocka_unit_test(author_and_subject_are_read),
        cmocka_unit_test(an_author_in_the_message_is_not_one),
        cmocka_unit_test(bytes_that_are_not_utf8_are_replaced),
        cmocka_unit_test(odd_commits_do_no_harm),
        cmocka_unit_test(a_signature_is_seen_in_the_header_alone),
        cmocka_unit_test(what_git_says_of_signatures_goes_to_its_commits),
        cmocka_unit_test(what_git_could_not_look_at_is_said_so),
        cmocka_unit_test(a_batch_answers_in_order),
        cmocka_unit_test(a_batch_that_lies_about_its_size_is_left),
        cmocka_unit_test(the_name_is_the_last_part),
        cmocka_unit_test(options_of_a_push_say_what_its_pull_request_is),
        cmocka_unit_test(an_option_that_is_wrong_says_so_and_changes_nothing),
        cmocka_unit_test(the_payload_has_the_pull_request),
        cmocka_unit_test(the_payload_is_json_whatever_is_in_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
