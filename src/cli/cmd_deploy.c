#include "base/clock.h"
#include "base/proc.h"
#include "base/str.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/table.h"

typedef struct DeploymentsOptions {
    const char *repo;
} DeploymentsOptions;

static const Setting deployments_flags[] = {
    {.name = "repo",
     .type = SETTING_STRING,
     .offset = offsetof(DeploymentsOptions, repo),
     .arg = "NAME",
     .help = "only those of the repository"},
};

static int load(Cli *cli, const char *repo, json_t **ret_answer, Err *err) {
    const char *path = mem_printf(cli->mem, "/api/deployments%s%s", repo ? "?repo=" : "",
                                  repo ? str_url_encode(cli->mem, repo, false) : "");

    return cli_request(cli, "GET", path, NULL, ret_answer, err);
}

static void deployment_row(Cli *cli, Table *table, const json_t *d) {
    const char *status = field_text(cli->mem, d, "status"), *error = field_text(cli->mem, d, "error_message");

    table_cell(table, STYLE_BOLD, field_text(cli->mem, d, "project"));
    table_cell(table, status_style(status), status);
    table_cell(table, STYLE_DIM, time_ago(cli->mem, field_time(d, "created_at"), clock_now()));
    table_cell(table, STYLE_PLAIN, field_text(cli->mem, d, "build_id"));
    table_cell(table, STYLE_PLAIN, mem_printf(cli->mem, "%.8s", field_text(cli->mem, d, "commit_sha")));
    table_cell(table, STYLE_PLAIN, field_text(cli->mem, d, "branch"));
    table_cell(table, STYLE_PLAIN, *error ? error : field_text(cli->mem, d, "url"));
}

static int deployments_run(Cli *cli, void *arg, Err *err) {
    static const char *const headers[] = {"PROJECT", "STATUS", "WHEN", "BUILD",
                                          "COMMIT",  "BRANCH", "URL",  NULL};
    const DeploymentsOptions *options = arg;
    Table *table = table_new(cli->mem, headers);
    _cleanup_json_ json_t *answer = NULL;
    _cleanup_buf_ Buf out = BUF_INIT;
    json_t *list = NULL, *deployment;
    size_t i;
    int r = load(cli, options->repo, &answer, err);

    if (r < 0)
        return r;
    if (cli->json)
        return cli_print_json(cli, answer, err);
    r = cli_answer_array(answer, "deployments", &list, err);
    if (r < 0)
        return r;
    json_array_foreach (list, i, deployment) {
        deployment_row(cli, table, deployment);
    }
    table_print(table, &cli->out, &out);
    if (json_array_size(list) == 0)
        cli_note(cli, "nothing is deployed; a deploy: part in .pelton.yml does it");
    return cli_print(&out, err);
}

/* On a desk only: a browser for what the terminal has just printed. Its fate is not ours. */
static void browse(const Cli *cli, const char *url) {
    const char *const argv[] = {"xdg-open", url, NULL};
    ProcOptions options = {.argv = argv, .out = -1, .err = -1, .new_session = true};
    Err err = {0};
    pid_t pid;

    if (!cli->out.tty || cli->json || (str_empty(getenv("DISPLAY")) && str_empty(getenv("WAYLAND_DISPLAY"))))
        return;
    if (!str_after(url, "http://") && !str_after(url, "https://"))
        return;
    if (proc_start(&options, &pid, NULL, &err) < 0)
        cli_note(cli, "open it yourself: %s", err.msg);
}

/* The deployment of the repository that is live, in *ret_answer. */
static int load_live(Cli *cli, const char *repo, json_t **ret_answer, json_t **ret, Err *err) {
    json_t *list = NULL, *deployment;
    size_t i;
    int r = load(cli, repo, ret_answer, err);

    if (r >= 0)
        r = cli_answer_array(*ret_answer, "deployments", &list, err);
    if (r < 0)
        return r;
    json_array_foreach (list, i, deployment)
        if (str_eq(field_text(cli->mem, deployment, "status"), "live")) {
            *ret = deployment;
            return 0;
        }
    cli->hint = mem_printf(cli->mem, "see: pelton deployments --repo %s", repo);
    return err_set(err, ERR_NOT_FOUND, "nothing of %s is live", repo);
}

static int open_run(Cli *cli, void *arg, Err *err) {
    _cleanup_json_ json_t *answer = NULL;
    _cleanup_buf_ Buf out = BUF_INIT;
    json_t *live = NULL;
    const char *url;
    int r = load_live(cli, cli->args[0], &answer, &live, err);

    if (r < 0)
        return r;
    url = field_text(cli->mem, live, "url");
    if (!*url)
        return err_set(err, ERR_NOT_FOUND, "%s is live, but the server was started with --ingress off",
                       cli->args[0]);
    if (cli->json)
        return cli_print_json(cli, live, err);
    buf_addf(&out, "%s\n", text_clean(cli->mem, url));
    r = cli_print(&out, err);
    browse(cli, url);
    return r;
}

static int stop_run(Cli *cli, void *arg, Err *err) {
    _cleanup_json_ json_t *answer = NULL, *stopped = NULL;
    json_t *live = NULL;
    int r = load_live(cli, cli->args[0], &answer, &live, err);

    if (r >= 0)
        r = cli_request(cli, "POST",
                        mem_printf(cli->mem, "/api/deployments/%s/stop",
                                   str_url_encode(cli->mem, field_text(cli->mem, live, "id"), false)),
                        NULL, &stopped, err);
    if (r < 0)
        return r;
    if (cli->json)
        return cli_print_json(cli, stopped, err);
    cli_note(cli, "%s is taken off; a rerun of build %s puts it back: pelton rerun %s", cli->args[0],
             field_text(cli->mem, live, "build_id"), field_text(cli->mem, live, "build_id"));
    return 0;
}

static const char *const deployments_examples[] = {
    "pelton deployments",
    "what is live, and what was",
    "pelton deployments --repo hello --json",
    "those of one repository, for a script",
    NULL,
};
static const char *const open_examples[] = {
    "pelton open hello",
    "print the URL of what is live, and open it on a desktop",
    "curl \"$(pelton open hello)\"",
    "fetch it",
    NULL,
};

const Command command_deployments = {
    .name = "deployments",
    .brief = "list deployments, newest first",
    .usage = "deployments [--repo NAME]",
    FLAGS(deployments_flags),
    .options_size = sizeof(DeploymentsOptions),
    .examples = deployments_examples,
    .run = deployments_run,
};

static const char *const deployment_examples[] = {
    "pelton deployment stop hello",
    "take off what is live; its URL answers 503 until the next deploy",
    NULL,
};

const Command command_deployment_stop = {
    .name = "deployment stop",
    .brief = "take off what is live",
    .usage = "deployment stop NAME",
    .about = "Its program is stopped and nothing takes its place. The next deploy, or a rerun, puts it back.",
    .examples = deployment_examples,
    .min_args = 1,
    .max_args = 1,
    .operand = "repo",
    .run = stop_run,
};

const Command command_open = {
    .name = "open",
    .brief = "print the URL of what is live, and open it",
    .usage = "open NAME",
    .about = "A browser is opened on a terminal of a desktop only.",
    .examples = open_examples,
    .min_args = 1,
    .max_args = 1,
    .operand = "repo",
    .run = open_run,
};
