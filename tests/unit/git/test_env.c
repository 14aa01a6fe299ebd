/* What git is told of the machine's own settings. */
#include "base/mem.h"
#include "git/env.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The variable's value for a git that uses the network, or NULL. */
static const char *told(const void *mem, const char *name) {
    GitEnv *env = git_env_new(mem);
    size_t len = strlen(name);

    git_env_network(env);
    for (const char *const *var = git_env_vector(env); *var; var++)
        if (strncmp(*var, name, len) == 0 && (*var)[len] == '=')
            return *var + len + 1;
    return NULL;
}

static void it_believes_whom_other_programs_believe(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);

    unsetenv("GIT_SSL_CAINFO");
    unsetenv("GIT_SSL_CAPATH");
    setenv("SSL_CERT_FILE", "/ca.pem", 1);
    setenv("SSL_CERT_DIR", "/cas", 1);
    assert_string_equal(told(mem, "GIT_SSL_CAINFO"), "/ca.pem");
    assert_string_equal(told(mem, "GIT_SSL_CAPATH"), "/cas");
    setenv("SSL_CERT_FILE", "", 1);
    unsetenv("SSL_CERT_DIR");
    assert_null(told(mem, "GIT_SSL_CAINFO"));
    assert_null(told(mem, "GIT_SSL_CAPATH"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_believes_whom_other_programs_believe),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
