#include "git/env.h"

#include "base/str.h"
#include <stdarg.h>

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct GitEnv {
    char **vars;
    size_t count;
    unsigned configs;
};

static const char *const always[] = {
    "GIT_CONFIG_NOSYSTEM=1",
    "GIT_CONFIG_GLOBAL=/dev/null",
    "GIT_ATTR_NOSYSTEM=1",
    "GIT_TERMINAL_PROMPT=0",
    "GIT_ASKPASS=true",
    "SSH_ASKPASS=true",
    "GIT_ADVICE=0",
    "GIT_PAGER=cat",
    "GIT_EDITOR=true",
    "GIT_ALLOW_PROTOCOL=http:https", /* over protocol.*.allow, also for submodules: no ext, file, ssh */
    "HOME=/nonexistent",
    "LC_ALL=C",
    "TZ=UTC",
};

static const struct {
    const char *key, *value;
} settings[] = {
    {"safe.directory", "*"},          {"protocol.ext.allow", "never"}, {"protocol.file.allow", "never"},
    {"advice.detachedHead", "false"}, {"credential.helper", ""},
};

static const char *const passed_on[] = {
    "http_proxy", "HTTP_PROXY", "https_proxy",   "HTTPS_PROXY",  "all_proxy",      "ALL_PROXY",
    "no_proxy",   "NO_PROXY",   "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH",
};

static void env_take(GitEnv *env, char *var) {
    mem_append(env, env->vars, env->count, var);
}

void git_env_add(GitEnv *env, const char *fmt, ...) {
    va_list ap;
    char *var;

    va_start(ap, fmt);
    var = talloc_vasprintf(env, fmt, ap);
    va_end(ap);
    if (!var)
        abort();
    env_take(env, var);
}

void git_env_config(GitEnv *env, const char *key, const char *value) {
    git_env_add(env, "GIT_CONFIG_KEY_%u=%s", env->configs, key);
    git_env_add(env, "GIT_CONFIG_VALUE_%u=%s", env->configs, value);
    env->configs++;
}

GitEnv *git_env_new(const void *mem) {
    const char *path = getenv("PATH");
    GitEnv *env = mem_new(mem, GitEnv);

    for (size_t i = 0; i < ELEMENTS(always); i++)
        git_env_add(env, "%s", always[i]);
    git_env_add(env, "PATH=%s", path && *path ? path : DEFAULT_PATH);
    for (size_t i = 0; i < ELEMENTS(settings); i++)
        git_env_config(env, settings[i].key, settings[i].value);
    return env;
}

/* Whom the machine's other programs believe; a git with GnuTLS does not read what says so. */
static void trust(GitEnv *env, const char *name, const char *from) {
    const char *value = getenv(from);

    if (str_empty(getenv(name)) && !str_empty(value))
        git_env_add(env, "%s=%s", name, value);
}

void git_env_network(GitEnv *env) {
    for (size_t i = 0; i < ELEMENTS(passed_on); i++) {
        const char *value = getenv(passed_on[i]);

        if (value)
            git_env_add(env, "%s=%s", passed_on[i], value);
    }
    trust(env, "GIT_SSL_CAINFO", "SSL_CERT_FILE");
    trust(env, "GIT_SSL_CAPATH", "SSL_CERT_DIR");
    git_env_config(env, "http.lowSpeedLimit", "1");
    git_env_config(env, "http.lowSpeedTime", "60");
}

const char *const *git_env_vector(GitEnv *env) {
    git_env_add(env, "GIT_CONFIG_COUNT=%u", env->configs);
    env_take(env, NULL);
    return (const char *const *)env->vars;
}
