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

static int open_run(Cli *cli, void *arg, Err *err) {
    _cleanup_json_ json_t *answer = NULL;
    _cleanup_buf_ Buf out = BUF_INIT;
    json_t *list = NULL, *deployment;
    size_t i;
    int r = load(cli, cli->args[0], &answer, err);

    if (r >= 0)
        r = cli_answer_array(answer, "deployments", &list, err);
    if (r < 0)
        return r;
    json_array_foreach (list, i, deployment) {
        const char *url = field_text(cli->mem, deployment, "url");

        if (!str_eq(field_text(cli->mem, deployment, "status"), "live") || !*url)
            continue;
        if (cli->json)
            return cli_print_json(cli, deployment, err);
        buf_addf(&out, "%s\n", text_clean(cli->mem, url));
        r = cli_print(&out, err);
        browse(cli, url);
        return r;
    }
    cli->hint = mem_printf(cli->mem, "see: pelton deployments --repo %s", cli->args[0]);
    return err_set(err, ERR_NOT_FOUND, "nothing of %s is live", cli->args[0]);
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
