/* What real programs make of a secret is hidden: shells, base64, jq's and Python's encoders. */
#include "base/proc.h"
#include "secret/mask.h"

/* cmocka needs these before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static const char *const secrets[] = {
    "s3cr3t-with-plain-letters",
    "it's \"quoted\" \\ $HOME `x` & <b> #1 100%",
    "gr\xc3\xbc\xc3\x9f"
    "e/aus+M\xc3\xbcnchen?=\xf0\x9f\x94\x91",
    "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj\nAgEAAoIBAQC7VJTUt9Us8cKjMzEfYyjiWA4R4\n"
    "-----END KEY-----\n",
    "a very long one of a single line: 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789",
};

/* What the command writes, to both its outputs, with the secret as its $S. */
static void run(const char *command, const char *secret, Buf *out) {
    _cleanup_talloc_ char *env_secret = mem_printf(NULL, "S=%s", secret);
    const char *env[] = {"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", env_secret, NULL};
    const char *argv[] = {"/bin/bash", "-c", command, NULL};
    ProcOptions options = {.argv = argv, .envp = env};
    int status;
    Err err;

    if (proc_run(&options, NULL, 0, 1 << 20, out, NULL, NULL, 20000000, &status, &err) < 0)
        fail_msg("%s", err.msg);
    if (status != 0)
        fail_msg("%s: exit status %d", command, status);
}

/* Bytes that are neither a mask nor what stands around a text. */
static size_t visible(const char *text) {
    size_t count = 0;

    for (; *text; text++)
        count += !strchr("* \n\t'\"$=", *text);
    return count;
}

typedef struct Writer {
    const char *command;
    size_t around; /* visible bytes that are not the secret's */
} Writer;

static const Writer writers[] = {
    {"printf %s \"$S\"", 0},
    {"echo $S 2>&1", 1}, /* the shell joins the lines; ours has a short one */
    {"printf %s \"$S\" | base64", 7},
    {"echo \"$S\" | base64", 7}, /* its last line may be shorter than a piece */
    {"printf %s \"$S\" | base64 -w 0", 0},
    {"printf x%s \"$S\" | base64", 24},
    {"printf xy%sz \"$S\" | base64", 24},
    {"printf xyz%s \"$S\" | base64", 24},
    {"printf %s \"$S\" | base64 -w 0 | tr +/ -_ | tr -d =", 0},
    {"printf %q \"$S\"", 2},
    /* a newline at the end */
    {"printf %s \"${S@Q}\"", 2},
    {"declare -p S", 12},
    {"exec 2>&1; set -x; : \"$S\"", 3},
    {"exec 2>&1; dash -xc ': \"$S\"'", 3},
    {"set | sed -n '/^S=/,/^SHELL=/{/^SHELL=/d;p}'", 4},
};

static const char *const python_writers[] = {
    "import json; print(json.dumps(s))",
    "import json; print(json.dumps(s, ensure_ascii=False))",
    "import json; print(json.dumps(s).replace('/', '\\\\/'))",
    "import urllib.parse as u; print(u.quote(s))",
    "import urllib.parse as u; print(u.quote(s, safe=''))",
    "import urllib.parse as u; print(u.quote_plus(s))",
    "import urllib.parse as u; print(u.quote(s, safe='').lower() if s.islower() else '')",
    "import shlex; print(shlex.quote(s))",
    "import html; print(html.escape(s))",
    "import xml.sax.saxutils as x; print(x.escape(s))",
    "import base64; print(base64.urlsafe_b64encode(s.encode()).decode())",
    "import base64; print(base64.encodebytes(s.encode()).decode())",
    "print(repr(s)[1:-1])",
};

static void assert_hidden(const Masker *m, const char *command, const char *secret, size_t around) {
    _cleanup_buf_ Buf out = BUF_INIT;
    char *text;

    run(command, secret, &out);
    text = mask_text(m, NULL, buf_str(&out));
    if (visible(text) > around)
        fail_msg("%s:\n%swhich was\n%s", command, text, buf_str(&out));
    talloc_free(text);
}

static void test_what_shells_write_is_hidden(void **state) {
    for (size_t i = 0; i < ELEMENTS(secrets); i++) {
        Masker *m = mask_new(NULL, &secrets[i], 1);

        for (size_t k = 0; k < ELEMENTS(writers); k++)
            assert_hidden(m, writers[k].command, secrets[i], writers[k].around);
        talloc_free(m);
    }
}

static void test_what_encoders_write_is_hidden(void **state) {
    for (size_t i = 0; i < ELEMENTS(secrets); i++) {
        Masker *m = mask_new(NULL, &secrets[i], 1);

        for (size_t k = 0; k < ELEMENTS(python_writers); k++) {
            char *command =
                mem_printf(NULL, "/usr/bin/python3 - <<'END'\nimport os; s = os.environ['S']\n%s\nEND\n",
                           python_writers[k]);
            assert_hidden(m, command, secrets[i], 7); /* a newline at the end, a short last line */
            talloc_free(command);
        }
        talloc_free(m);
    }
}

/* Broken at any column, so that no line but the first begins where a group of base64 does. */
static void test_base64_in_lines_of_any_length_shows_only_scraps(void **state) {
    const char *secret = secrets[4];
    Masker *m = mask_new(NULL, &secret, 1);

    for (int width = 24; width < 90; width++) {
        char *command = mem_printf(NULL, "printf abc%%s \"$S\" | base64 -w %d", width);

        assert_hidden(m, command, secret, 12 + 14 * (size_t)(140 / width));
        talloc_free(command);
    }
    talloc_free(m);
}

/* In which a backslash means something to those who write it out. */
static const char *const escaped[] = {
    "pass\\nw0rd\\tand\\\\more\\0101\\101\\0x\\q\\",
    "gr\\u00fcn-\\ud83d\\ude00-\\x41\\e[1m",
    ("{\"id\": \"me\", \"key\": "
     "\"-----\\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\\nAgEAAoIBAQC7VJTUt9Us8cKj\\/M\\ud83d\\ude00=\\n-----\"}"),
};

static const Writer readers[] = {
    {"dash -c 'echo \"$S\"'", 0},   {"dash -c 'printf %b \"$S\"'", 0},
    {"dash -c 'printf \"$S\"'", 0}, {"dash -c 'echo \"$S\"' | base64 -w 0", 0},
    {"echo -e \"$S\"", 0},          {"printf %b \"$S\"", 0},
    {"printf \"$S\"", 0},
};

static void test_what_shells_read_of_backslashes_is_hidden(void **state) {
    for (size_t i = 0; i < ELEMENTS(escaped); i++) {
        Masker *m = mask_new(NULL, &escaped[i], 1);

        for (size_t k = 0; k < ELEMENTS(readers); k++)
            assert_hidden(m, readers[k].command, escaped[i], readers[k].around);
        talloc_free(m);
    }
}

/* sh's echo says CORP, and stops: a word that much else has in it. */
static void test_a_short_beginning_of_a_secret_is_not_hidden(void **state) {
    const char *secret = "CORP\\carol-of-accounting";
    Masker *m = mask_new(NULL, &secret, 1);
    char *text = mask_text(m, NULL, "built by CORP for CORP\\carol-of-accounting\n");

    assert_string_equal(text, "built by CORP for ***\n");
    talloc_free(text);
    talloc_free(m);
    secret = "a-long-beginning\\cut";
    m = mask_new(NULL, &secret, 1);
    text = mask_text(m, NULL, "a-long-beginning\n");
    assert_string_equal(text, "***\n");
    talloc_free(text);
    talloc_free(m);
}

static void test_lines_of_a_text_in_json_are_hidden(void **state) {
    Masker *m = mask_new(NULL, &escaped[2], 1);
    char *text = mask_text(
        m, NULL, "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nAgEAAoIBAQC7VJTUt9Us8cKj/M\xf0\x9f\x98\x80=\n-----\n");

    assert_string_equal(text, "***\n***\n-----\n");
    talloc_free(text);
    text = mask_text(m, NULL, "\"MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\\\\nAgEA");
    assert_string_equal(text, "\"***\\\\nAgEA");
    talloc_free(text);
    talloc_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_shells_write_is_hidden),
        cmocka_unit_test(test_what_encoders_write_is_hidden),
        cmocka_unit_test(test_base64_in_lines_of_any_length_shows_only_scraps),
        cmocka_unit_test(test_what_shells_read_of_backslashes_is_hidden),
        cmocka_unit_test(test_a_short_beginning_of_a_secret_is_not_hidden),
        cmocka_unit_test(test_lines_of_a_text_in_json_are_hidden),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
