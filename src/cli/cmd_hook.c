/* `pelton hook post-receive --state DIR`, run by the hook's script in the bare repository. Git shows the
 * pusher what it prints, with "remote: " before it. It cannot refuse the push: what it cannot hand over, the
 * server finds when it starts. */
#include "base/clock.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/str.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/hook.h"
#include "cli/table.h"
#include "git/git.h"

#include <inttypes.h>
#include <limits.h>

#define REFS_MAX (64U << 20)
#define OBJECTS_MAX ((size_t)64 << 20)
#define GIT_TIMEOUT (60 * US_PER_S)
#define CALL_TIMEOUT (30 * US_PER_S)
#define OPTIONS_MAX 1000
#define SIGNED_MAX 32 /* commits */
#define TOGETHER 64   /* refs in a call */

typedef struct HookOptions {
    const char *state;
} HookOptions;

static const Setting hook_flags[] = {
    {.name = "state",
     .type = SETTING_STRING,
     .offset = offsetof(HookOptions, state),
     .arg = "DIR",
     .help = "the server's state directory"},
};

static int read_input(Buf *out, Err *err) {
    for (;;) {
        ssize_t n;

        if (out->len > REFS_MAX)
            return err_set(err, ERR_TOO_LARGE, "a push of over %u bytes of refs", REFS_MAX);
        n = read(STDIN_FILENO, buf_reserve(out, 65536), 65536);
        if (n < 0)
            return err_errno(err, "read the pushed refs");
        if (n == 0)
            return 0;
        out->len += (size_t)n;
    }
}

/* Nobody's settings but the repository's. Keys that count are the server's, whoever pushes. */
static const char *const *git_env(Cli *cli, const char *repo, const char *state) {
    static const char *const keep[] = {"PATH", "TMPDIR", NULL};
    const char **envp = NULL;
    size_t count = 0;

    for (size_t i = 0; keep[i]; i++)
        if (getenv(keep[i]))
            mem_append(cli->mem, envp, count, mem_printf(cli->mem, "%s=%s", keep[i], getenv(keep[i])));
    mem_append(cli->mem, envp, count, mem_printf(cli->mem, "GIT_DIR=%s", repo));
    mem_append(cli->mem, envp, count, mem_printf(cli->mem, "GNUPGHOME=%s/gnupg", state));
    mem_append(cli->mem, envp, count, "GIT_CONFIG_NOSYSTEM=1");
    mem_append(cli->mem, envp, count, "GIT_CONFIG_GLOBAL=/dev/null");
    mem_append(cli->mem, envp, count, "LC_ALL=C");
    mem_append(cli->mem, envp, count, NULL);
    return envp;
}

/* Authors and subjects of all refs by one git. They are for people: without them the build goes on just so.
 */
static void describe(Cli *cli, const char *const *envp, const char *repo, HookRef *refs, size_t count) {
    const char *const argv[] = {"git", "-c", "safe.directory=*", "cat-file", "--batch", NULL};
    ProcOptions options = {.argv = argv, .envp = envp, .cwd = repo, .err = -1};
    _cleanup_buf_ Buf in = BUF_INIT, out = BUF_INIT;
    Err err = {0};
    int status = 0;

    for (size_t i = 0; i < count; i++)
        if (!refs[i].deleted)
            buf_addf(&in, "%s^{commit}\n", refs[i].new_rev);
    if (in.len == 0)
        return;
    if (proc_run(&options, in.data, in.len, OBJECTS_MAX, &out, NULL, NULL, GIT_TIMEOUT, &status, &err) >= 0)
        hook_parse_batch(buf_str(&out), out.len, cli->mem, refs, count);
}

/* `git push -o`, as git hands it over (githooks(5)). What is wrong with one is said; the push is there all
 * the same. pull NULL: none is pushed to. */
static void read_options(Cli *cli, HookPull *pull) {
    const char *text = getenv("GIT_PUSH_OPTION_COUNT");
    int64_t count = 0;

    if (!str_to_i64(text, 0, OPTIONS_MAX, &count))
        return;
    for (int64_t i = 0; i < count; i++) {
        const char *option = getenv(mem_printf(cli->mem, "GIT_PUSH_OPTION_%" PRId64, i));
        const char *wrong = option ? hook_option(option, cli->mem, pull) : NULL;

        if (wrong)
            fprintf(stderr, "pelton: option \"%.100s\" of the push is left out: %s\n",
                    text_clean(cli->mem, option), wrong);
    }
}

static void describe_pulls(Cli *cli, HookRef *refs, size_t count) {
    HookPull *pull = NULL;

    for (size_t i = 0; i < count; i++) {
        if (!git_pull_number(refs[i].ref) || refs[i].deleted)
            continue;
        if (!pull)
            pull = mem_new(cli->mem, HookPull);
        refs[i].pull = pull;
    }
    read_options(cli, pull);
}

/* Of the commits that are signed, which costs a gpg each: the pusher waits, so not of many. */
static void verify(Cli *cli, const char *const *envp, const char *repo, const char *state, HookRef *refs,
                   size_t count) {
    const char *signers = mem_printf(cli->mem, "gpg.ssh.allowedSignersFile=%s/allowed_signers", state);
    const char *const argv[] = {"git",       "-c",      "safe.directory=*", "-c", signers, "log",
                                "--no-walk", "--stdin", HOOK_SIGNATURES,    NULL};
    ProcOptions options = {.argv = argv, .envp = envp, .cwd = repo, .err = -1};
    _cleanup_buf_ Buf in = BUF_INIT, out = BUF_INIT;
    size_t asked = 0;
    Err err = {0};
    int status = 0;

    for (size_t i = 0; i < count && asked < SIGNED_MAX; i++)
        if (refs[i].is_signed && !(in.len && strstr(buf_str(&in), refs[i].commit))) {
            buf_addf(&in, "%s\n", refs[i].commit);
            asked++;
        }
    if (in.len == 0)
        return;
    if (proc_run(&options, in.data, in.len, OBJECTS_MAX, &out, NULL, NULL, GIT_TIMEOUT, &status, &err) >= 0)
        hook_parse_signatures(buf_str(&out), out.len, cli->mem, refs, count);
}

/* The server's address and the hook's token, out of the state directory. */
static int connect_state(Cli *cli, const char *state, Err *err) {
    _cleanup_buf_ Buf text = BUF_INIT, token = BUF_INIT;
    _cleanup_json_ json_t *server = NULL;
    const char *url = NULL;
    int r = file_read(mem_printf(cli->mem, "%s/server.json", state), 65536, &text, err);

    if (r >= 0)
        r = json_read(buf_str(&text), text.len, &server, err);
    if (r >= 0)
        r = json_get_str(server, "url", &url, err);
    if (r >= 0)
        r = file_read(mem_printf(cli->mem, "%s/hook.token", state), 4096, &token, err);
    if (r < 0)
        return err_wrap(err, "find the server");
    cli->url = mem_strdup(cli->mem, url);
    cli->token = mem_strndup(cli->mem, buf_str(&token), strcspn(buf_str(&token), " \t\r\n"));
    return http_client_new(cli->mem, cli->url, cli->token, &cli->client, err);
}

static const char *short_ref(Cli *cli, const char *ref) {
    const char *branch = str_after(ref, "refs/heads/"), *tag = str_after(ref, "refs/tags/");

    if (git_pull_number(ref))
        return mem_printf(cli->mem, "pull request %" PRId64, git_pull_number(ref));
    return text_clean(cli->mem, branch ? branch : tag ? tag : ref);
}

static void report_outcome(Cli *cli, const HookRef *ref, const json_t *answer) {
    const char *status = text_clean(cli->mem, field_text(cli->mem, answer, "status"));
    const char *message = text_clean_lines(cli->mem, field_text(cli->mem, answer, "message"), "pelton:   ");
    const char *url = text_clean(cli->mem, field_text(cli->mem, answer, "url"));
    int64_t id = field_int(answer, "id", 0);

    if (!answer)
        return;
    if (id == 0) {
        fprintf(stderr, "pelton: %s: %s\n", short_ref(cli, ref->ref), *message ? message : status);
        return;
    }
    if (!*url)
        url = mem_printf(cli->mem, "%s/builds/%" PRId64, cli->url, id);
    if (*message)
        fprintf(stderr, "pelton: build %" PRId64 " %s: %s\n", id, status, message);
    fprintf(stderr, "pelton: build %" PRId64 " %s: %s\n", id, status, url);
}

/* ERR_INVALID: the server will not have it, now or later. */
static int post(Cli *cli, const char *path, const Buf *body, json_t **ret, Err *err) {
    HttpCall call = {.method = "POST",
                     .path = path,
                     .content_type = "application/json",
                     .body = body->data,
                     .body_len = body->len,
                     .headers = cli_accept_json,
                     .timeout_us = CALL_TIMEOUT};
    int r = http_client_call(cli->client, &call, err);

    if (r >= 0 && (call.status < 200 || call.status > 299)) {
        bool never = call.status >= 400 && call.status < 500 && call.status != 401 && call.status != 403 &&
                     call.status != 408 && call.status != 429;

        r = http_call_check(&call, err);
        if (r < 0 && never) {
            err->code = ERR_INVALID;
            r = -ERR_INVALID;
        } else {
            err->code = ERR_UNAVAILABLE;
            r = err_wrap(err, "%s answers %d", cli->url, call.status);
        }
    } else if (r < 0) {
        err_wrap(err, "no server at %s", cli->url);
    } else if (json_read(buf_str(&call.answer), call.answer.len, ret, err) < 0) {
        *ret = NULL; /* it is told, whatever it says */
    }
    buf_done(&call.answer);
    return r;
}

static int post_one(Cli *cli, const HookRef *ref, const char *repo, const char *pusher, Err *err) {
    _cleanup_json_ json_t *answer = NULL;
    _cleanup_buf_ Buf body = BUF_INIT;
    int r;

    hook_payload(ref, repo, pusher, &body);
    r = post(cli, "/api/builds", &body, &answer, err);
    if (r >= 0)
        report_outcome(cli, ref, answer);
    return r;
}

/* *ret_left: those that could not be taken now; err is why the last of them was not. */
static int post_many(Cli *cli, const HookRef *refs, size_t count, const char *repo, const char *pusher,
                     size_t *ret_left, Err *err) {
    _cleanup_json_ json_t *answer = NULL;
    _cleanup_buf_ Buf body = BUF_INIT;
    json_t *results;
    int r;

    buf_adds(&body, "{\"pushes\":[");
    for (size_t i = 0; i < count; i++) {
        if (i)
            buf_addc(&body, ',');
        hook_payload(&refs[i], repo, pusher, &body);
    }
    buf_adds(&body, "]}");
    r = post(cli, "/api/pushes", &body, &answer, err);
    results = json_object_get(answer, "results");
    for (size_t i = 0; r >= 0 && i < count; i++) {
        const json_t *result = json_array_get(results, i);
        const char *error = field_text(cli->mem, result, "error");

        if (!*error) {
            report_outcome(cli, &refs[i], result);
            continue;
        }
        ++*ret_left;
        (void)err_set(err, ERR_UNAVAILABLE, "%s: %s", short_ref(cli, refs[i].ref), error);
    }
    return r;
}

/* answered: the server is there, and would not or could not take it. The hook's script tells of every other
 * end itself. */
static int not_handed_over(Cli *cli, size_t left, bool answered, const Err *err) {
    fprintf(stderr,
            "pelton: %s\n"
            "pelton: THE PUSH IS STORED, BUT NOT BUILT YET (%zu ref%s).\n"
            "pelton: %s\n",
            text_clean(cli->mem, err->msg), left, left == 1 ? "" : "s",
            answered
                ? "The server will find it when it compares the refs: every --compare-refs, and at its start."
                : "It will be built when the server is back: pelton server --state DIR");
    if (answered && err->sys == 401)
        fprintf(stderr,
                "pelton: It does not know the token of its hooks, hook.token: its start makes a new one.\n");
    return CLI_UNREACHABLE;
}

static void refused(Cli *cli, const HookRef *refs, size_t count, const Err *err) {
    const char *first = short_ref(cli, refs[0].ref);
    const char *what = count == 1 ? first : mem_printf(cli->mem, "%s and %zu more", first, count - 1);

    fprintf(stderr, "pelton: %s is not built: %s\n", what, text_clean(cli->mem, err->msg));
}

/* Many refs together, so that the server reads what they hold together. */
static int hand_over(Cli *cli, const HookRef *refs, size_t count, const char *repo) {
    const char *pusher = getenv("PELTON_PUSHER");
    size_t left = 0;
    Err err = {0};

    if (str_empty(pusher))
        pusher = getenv("REMOTE_USER");
    pusher = pusher ? pusher : "";
    for (size_t i = 0, n; i < count; i += n) {
        int r;

        n = MIN(count - i, (size_t)TOGETHER);
        r = n == 1 ? post_one(cli, &refs[i], repo, pusher, &err)
                   : post_many(cli, &refs[i], n, repo, pusher, &left, &err);
        if (r == -ERR_INVALID)
            refused(cli, &refs[i], n, &err);
        else if (r < 0)
            return not_handed_over(cli, left + count - i, err.sys >= 400, &err);
    }
    return left ? not_handed_over(cli, left, true, &err) : CLI_DONE;
}

static int hook_run(Cli *cli, void *arg, Err *err) {
    const HookOptions *options = arg;
    const char *dir = getenv("GIT_DIR");
    _cleanup_buf_ Buf input = BUF_INIT;
    _cleanup_free_ char *repo = NULL;
    const char *const *envp;
    HookRef *refs = NULL;
    size_t count = 0;
    int r;

    if (!options->state)
        return err_set(err, ERR_INVALID, "hook post-receive: --state DIR is missing");
    r = read_input(&input, err);
    if (r >= 0)
        r = hook_parse_refs(buf_str(&input), input.len, cli->mem, &refs, &count, err);
    if (r < 0)
        return err_wrap(err, "post-receive");
    if (count == 0)
        return CLI_DONE;
    repo = realpath(str_empty(dir) ? "." : dir, NULL);
    if (!repo)
        return err_errno(err, "post-receive: the repository %s", str_empty(dir) ? "." : dir);
    if (git_sync(repo, err) < 0)
        fprintf(stderr, "pelton: THE PUSH MAY NOT SURVIVE A POWER LOSS: %s\n",
                text_clean(cli->mem, err->msg));
    if (connect_state(cli, options->state, err) < 0)
        return not_handed_over(cli, count, false, err);
    envp = git_env(cli, repo, options->state);
    describe(cli, envp, repo, refs, count);
    verify(cli, envp, repo, options->state, refs, count);
    describe_pulls(cli, refs, count);
    return hand_over(cli, refs, count, repo);
}

static const char *const hook_examples[] = {
    "pelton hook post-receive --state /var/lib/pelton < refs",
    "what the script hooks/post-receive of a repository does",
    NULL,
};

const Command command_hook = {
    .name = "hook post-receive",
    .brief = "hand a push over to the server",
    .usage = "hook post-receive --state DIR",
    FLAGS(hook_flags),
    .options_size = sizeof(HookOptions),
    .examples = hook_examples,
    .hidden = true,
    .run = hook_run,
};
