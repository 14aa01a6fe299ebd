#include "server/settings.h"

#include "base/file.h"
#include "base/str.h"
#include "pipeline/pipeline.h"
#include <stddef.h>

extern char **environ;

static const char *const executors[] = {"shell", NULL};
static const char *const off[] = {SETTINGS_OFF, NULL};
static const char *const levels[] = {"debug", "info", "warn", "error", NULL};
static const char *const syncs[] = {"answers", "full", "normal", NULL};

#define AT(field) offsetof(Settings, field)
#define S INT64_C(1000000)
/* These settings have no variable: see not_ours. */
#define COMMAND_LINES(variable) "; " variable " is the command line's, and not read here"

const Setting server_settings[SERVER_SETTINGS] = {
    {.name = "config",
     .type = SETTING_STRING,
     .offset = AT(config),
     .arg = "FILE",
     .help =
         "settings file (YAML); without it STATE/pelton.yml, if there is one" COMMAND_LINES("PELTON_CONFIG")},
    {.name = "state",
     .type = SETTING_STRING,
     .offset = AT(state),
     .fallback = "./state",
     .arg = "DIR",
     .help = "folder of everything that is kept"},
    {.name = "listen",
     .type = SETTING_ADDRESS,
     .offset = AT(listen),
     .fallback = "127.0.0.1:8080",
     .arg = "ADDR:PORT",
     .help = "where the API, the page and git are served; port 0 takes a free one"},
    {.name = "ingress",
     .type = SETTING_ADDRESS,
     .offset = AT(ingress),
     .words = off,
     .fallback = "127.0.0.1:8081",
     .arg = "ADDR:PORT",
     .help = "where the deployed applications are served; port 0 takes a free one; off: nothing is deployed"},
    {.name = "domain",
     .type = SETTING_STRING,
     .offset = AT(domain),
     .fallback = "localhost",
     .arg = "NAME",
     .help = "an application's host name is its repository's name and this"},
    {.name = "ingress-url",
     .type = SETTING_STRING,
     .offset = AT(ingress_url),
     .arg = "URL",
     .help = "how people reach the applications where a proxy is before the ingress: https://DOMAIN, without "
             "an application's name; without it http://, the domain and the ingress's port"},
    {.name = "trusted-proxy",
     .type = SETTING_WORDS,
     .offset = AT(trusted_proxy),
     .arg = "ADDRESS",
     .help = "an address or a network (10.0.0.0/8) of proxies before the ingress: whom they name in "
             "X-Forwarded-For applications are told; what others say there is dropped"},
    {.name = "url",
     .type = SETTING_STRING,
     .offset = AT(url),
     .arg = "URL",
     .help = "how people reach this server, for links; without it http:// and the address it listens "
             "at" COMMAND_LINES("PELTON_URL")},
    {.name = "runners",
     .type = SETTING_INT,
     .offset = AT(runners),
     .min = 0,
     .max = 16,
     .fallback = "1",
     .arg = "N",
     .help = "runners that the server starts itself; 0: only others'"},
    {.name = "slots",
     .type = SETTING_INT,
     .offset = AT(slots),
     .min = 1,
     .max = 256,
     .fallback = "2",
     .arg = "N",
     .help = "jobs that each of them runs at a time"},
    {.name = "runner-label",
     .type = SETTING_WORDS,
     .offset = AT(runner_label),
     .arg = "K=V",
     .help = "labels of theirs that jobs may ask for"},
    {.name = "allow-executor",
     .type = SETTING_WORDS,
     .offset = AT(allow_executor),
     .words = executors,
     .arg = "NAME",
     .help = "allow pipelines an executor that trusts them: shell runs steps as the server's own user"},
    {.name = "smtp",
     .type = SETTING_STRING,
     .offset = AT(smtp),
     .arg = "URL",
     .help = "the mail server for notifications: smtp://HOST:PORT or smtps://HOST:PORT; without it no mail "
             "is sent"},
    {.name = "smtp-from",
     .type = SETTING_STRING,
     .offset = AT(smtp_from),
     .fallback = "pelton@localhost",
     .arg = "ADDRESS",
     .help = "whom that mail is from"},
    {.name = "smtp-user",
     .type = SETTING_STRING,
     .offset = AT(smtp_user),
     .arg = "NAME",
     .help = "a name to log in at the mail server with; only over TLS"},
    {.name = "smtp-password-file",
     .type = SETTING_STRING,
     .offset = AT(smtp_password_file),
     .arg = "FILE",
     .help = "a file with its password"},
    {.name = "notify-allow",
     .type = SETTING_WORDS,
     .offset = AT(notify_allow),
     .arg = "ADDRESS",
     .help = "an address of this machine or its link that webhooks of pipelines may call, such as 127.0.0.1; "
             "others of these are refused"},
    {.name = "lease",
     .type = SETTING_DURATION,
     .offset = AT(lease),
     .min = 2 * S,
     .max = 3600 * S,
     .fallback = "30s",
     .arg = "TIME",
     .help = "a runner that is silent for so long has lost its jobs"},
    {.name = "job-timeout",
     .type = SETTING_DURATION,
     .offset = AT(job_timeout),
     .min = S,
     .max = 30 * 86400 * S,
     .fallback = "1h",
     .arg = "TIME",
     .help = "a job that sets no timeout of its own is ended after this"},
    {.name = "max-attempts",
     .type = SETTING_INT,
     .offset = AT(max_attempts),
     .min = 1,
     .max = 10,
     .fallback = "3",
     .arg = "N",
     .help = "attempts of a job whose runner is lost, before it fails as lost"},
    {.name = "compare-refs",
     .type = SETTING_DURATION,
     .offset = AT(compare_refs),
     .min = 0,
     .max = 86400 * S,
     .fallback = "5m",
     .arg = "TIME",
     .help = "how often refs are compared, for pushes that nobody told of; 0: only at the start"},
    {.name = "cancel-grace",
     .type = SETTING_DURATION,
     .offset = AT(cancel_grace),
     .min = 0,
     .max = 600 * S,
     .fallback = "10s",
     .arg = "TIME",
     .help = "between SIGTERM and SIGKILL for a step that must stop"},
    {.name = "cleanup-time",
     .type = SETTING_DURATION,
     .offset = AT(cleanup_time),
     .min = S,
     .max = 86400 * S,
     .fallback = "1m",
     .arg = "TIME",
     .help = "what steps that run after a cancel or the job's timeout (if: always()) have together"},
    {.name = "drain-grace",
     .type = SETTING_DURATION,
     .offset = AT(drain_grace),
     .min = 0,
     .max = 3600 * S,
     .fallback = "30s",
     .arg = "TIME",
     .help = "an old release may finish its requests for so long"},
    {.name = "session",
     .type = SETTING_DURATION,
     .offset = AT(session),
     .min = 60 * S,
     .max = 400 * 86400 * S,
     .fallback = "7d",
     .arg = "TIME",
     .help = "how long a login of the page lasts"},
    {.name = "threads",
     .type = SETTING_INT,
     .offset = AT(threads),
     .min = 1,
     .max = 64,
     .fallback = "2",
     .arg = "N",
     .help = "threads that serve connections"},
    {.name = "workers",
     .type = SETTING_INT,
     .offset = AT(workers),
     .min = 1,
     .max = 1024,
     .fallback = "64",
     .arg = "N",
     .help = "at most so many requests that may block (git, uploads) at a time"},
    {.name = "connections",
     .type = SETTING_INT,
     .offset = AT(connections),
     .min = 0,
     .max = 1000000,
     .fallback = "0",
     .arg = "N",
     .help = "open connections at most; 0: what the limit on descriptors allows"},
    {.name = "max-body",
     .type = SETTING_SIZE,
     .offset = AT(max_body),
     .min = 1024,
     .max = 1 << 30,
     .fallback = "1M",
     .arg = "SIZE",
     .help = "the largest JSON body"},
    {.name = "artifact-keep",
     .type = SETTING_DURATION,
     .offset = AT(artifact_keep),
     .min = 0,
     .max = 3650 * 86400 * S,
     .fallback = "0",
     .arg = "TIME",
     .help = "how long after its build's end an artifact is kept that says nothing of it (`keep`); releases "
             "stay; 0: for ever"},
    {.name = "cache-project",
     .type = SETTING_SIZE,
     .offset = AT(cache_project),
     .min = 0,
     .max = INT64_MAX,
     .fallback = "5G",
     .arg = "SIZE",
     .help = "caches of one repository together; what was used longest ago goes first"},
    {.name = "cache-total",
     .type = SETTING_SIZE,
     .offset = AT(cache_total),
     .min = 0,
     .max = INT64_MAX,
     .fallback = "20G",
     .arg = "SIZE",
     .help = "all caches together"},
    {.name = "idle-timeout",
     .type = SETTING_DURATION,
     .offset = AT(idle_timeout),
     .min = S,
     .max = 3600 * S,
     .fallback = "60s",
     .arg = "TIME",
     .help = "a connection that says nothing is closed"},
    {.name = "request-timeout",
     .type = SETTING_DURATION,
     .offset = AT(request_timeout),
     .min = S,
     .max = 3600 * S,
     .fallback = "30s",
     .arg = "TIME",
     .help = "headers and a JSON body must have come by then"},
    {.name = "database-sync",
     .type = SETTING_STRING,
     .offset = AT(database_sync),
     .words = syncs,
     .fallback = "answers",
     .arg = "HOW",
     .help = "answers: what was answered survives a power loss; full: every commit does, before anybody sees "
             "it; normal: the last seconds may be lost, for a disk that is slow to sync"},
    {.name = "min-free-space",
     .type = SETTING_SIZE,
     .offset = AT(min_free_space),
     .min = 0,
     .max = INT64_C(1) << 50,
     .fallback = "256M",
     .arg = "SIZE",
     .help =
         "with less free in the state directory (at most a tenth of its disk counts) nothing new is taken: "
         "pushes, builds, logs, artifacts; jobs wait; 0: as long as it goes"},
    {.name = "log-level",
     .type = SETTING_STRING,
     .offset = AT(log_level),
     .words = levels,
     .fallback = "info",
     .arg = "LEVEL",
     .help = "the lowest level that is logged"},
    {.name = "access-log",
     .type = SETTING_BOOL,
     .offset = AT(access_log),
     .fallback = "false",
     .help = "log a line for every request"},
    {.name = "print-config",
     .type = SETTING_BOOL,
     .offset = AT(print_config),
     .fallback = "false",
     .help = "print what holds and where it comes from, and stop"},
    {.name = "json",
     .type = SETTING_BOOL,
     .offset = AT(json),
     .fallback = "false",
     .help = "print the configuration, or where the server listens, as JSON"},
};

/* Of the other programs that share the environment; the first two are settings' names too, but mean the
 * command line's, which the help of these says. */
static const char *const not_ours[] = {"PELTON_URL", "PELTON_CONFIG", "PELTON_TOKEN",
                                       "PELTON_BIN", "PELTON_PUSHER", NULL};

static bool is_named(const char *variable, const char *name) {
    const char *rest = str_after(variable, name);

    return rest && *rest == '=';
}

/* A server may be started in a step of a job, too. */
static bool is_ours(const char *variable) {
    for (size_t i = 0; not_ours[i]; i++)
        if (is_named(variable, not_ours[i]))
            return false;
    for (const PlanVariable *v = plan_variables; v->name; v++)
        if (is_named(variable, v->name))
            return false;
    return true;
}

static const char *const *our_environment(const void *mem) {
    const char **ours = NULL;
    size_t count = 0;

    for (char **e = environ; *e; e++)
        if (is_ours(*e))
            mem_append(mem, ours, count, *e);
    mem_append(mem, ours, count, NULL);
    return ours;
}

/* --state and --config are needed to find the file, before the flags' turn has come. */
static const char *peek(int argc, char **argv, const char *name) {
    size_t len = strlen(name);

    for (int i = 1; i < argc; i++) {
        const char *flag = str_after(argv[i], "--");

        if (!flag || strncmp(flag, name, len) != 0)
            continue;
        if (flag[len] == '=')
            return flag + len + 1;
        if (!flag[len] && i + 1 < argc)
            return argv[i + 1];
    }
    return NULL;
}

static int read_file(Config *c, int argc, char **argv, const void *mem, Err *err) {
    const char *file = peek(argc, argv, "config");
    const char *state = peek(argc, argv, "state");

    if (file) {
        int r = config_read_file(c, file, true, err);

        if (r == -ERR_NOT_FOUND)
            return err_set(err, ERR_INVALID, "--config: %s is not there", file);
        return r;
    }
    if (!state)
        state = getenv("PELTON_STATE");
    return config_read_file(c, mem_printf(mem, "%s/pelton.yml", state ? state : "./state"), false, err);
}

/* Links are made by adding to it. */
static int check_url(Settings *settings, const void *mem, Err *err) {
    const char *url = settings->url;
    size_t len = url ? strlen(url) : 0;

    if (!url)
        return 0;
    if (!str_after(url, "http://") && !str_after(url, "https://"))
        return err_set(err, ERR_INVALID, "setting \"url\": expected http://host or https://host, got \"%s\"",
                       url);
    while (len && url[len - 1] == '/')
        len--;
    settings->url = mem_strndup(mem, url, len);
    return 0;
}

/* Its host is the domain, which need not be told twice. */
static int check_ingress_url(Config *c, Settings *settings, const void *mem, Err *err) {
    const char *url = settings->ingress_url, *host, *domain, *rest;
    size_t len;
    int64_t port;

    if (!url)
        return 0;
    host = str_after(url, "https://") ? str_after(url, "https://") : str_after(url, "http://");
    len = host ? strcspn(host, ":/") : 0;
    rest = host ? host + len : "";
    domain = len ? mem_strndup(mem, host, len) : "";
    settings->ingress_url = mem_strndup(mem, url, strlen(url) - (size_t)str_ends(url, "/"));
    rest = mem_strndup(mem, rest, strlen(rest) - (size_t)str_ends(rest, "/"));
    if (!*domain || (*rest && (*rest != ':' || !str_to_i64(rest + 1, 1, 65535, &port))))
        return err_set(err, ERR_INVALID,
                       "setting \"ingress-url\": expected https://DOMAIN or https://DOMAIN:PORT, got \"%s\"",
                       url);
    if (config_is_set(c, "domain") && !str_eq(domain, settings->domain))
        return err_set(
            err, ERR_INVALID,
            "setting \"ingress-url\": its host is \"%s\", and the domain is \"%s\": leave one away", domain,
            settings->domain);
    return config_set(c, "domain", domain, "ingress-url", err);
}

int settings_read(int argc, char **argv, const void *mem, Settings *ret, Buf *ret_print, Err *err) {
    Config *c = config_new(mem, server_settings, SERVER_SETTINGS, ret);
    const char **operands;
    int r = read_file(c, argc, argv, mem, err);

    if (r >= 0)
        r = config_read_env(c, our_environment(mem), not_ours, err);
    if (r >= 0)
        r = config_read_flags(c, argc, argv, &operands, err);
    if (r < 0)
        return r;
    if (operands && operands[0])
        return err_set(err, ERR_INVALID, "unexpected argument \"%s\"; see: pelton server --help",
                       operands[0]);
    r = check_url(ret, mem, err);
    if (r >= 0)
        r = check_ingress_url(c, ret, mem, err);
    if (r < 0)
        return r;
    if (ret->print_config && ret->json)
        config_print_json(c, ret_print);
    else if (ret->print_config)
        config_print(c, ret_print);
    return 0;
}
