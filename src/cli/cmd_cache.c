#include "base/clock.h"
#include "base/str.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/table.h"

typedef struct RmOptions {
    bool all;
} RmOptions;

static const Setting rm_flags[] = {
    {.name = "all",
     .type = SETTING_BOOL,
     .offset = offsetof(RmOptions, all),
     .help = "all of the repository's"},
};

static const char *path_of(Cli *cli) {
    return mem_printf(cli->mem, "/api/repos/%s/caches", str_url_encode(cli->mem, cli->args[0], false));
}

static int list_run(Cli *cli, void *arg, Err *err) {
    static const char *const headers[] = {"ID", "KEY", "REF", "SIZE", "USED", NULL};
    Table *table = table_new(cli->mem, headers);
    _cleanup_json_ json_t *answer = NULL;
    _cleanup_buf_ Buf out = BUF_INIT;
    json_t *list = NULL, *cache;
    size_t i;
    int r = cli_request(cli, "GET", path_of(cli), NULL, &answer, err);

    if (r < 0)
        return r;
    if (cli->json)
        return cli_print_json(cli, answer, err);
    r = cli_answer_array(answer, "caches", &list, err);
    if (r < 0)
        return r;
    json_array_foreach (list, i, cache) {
        table_cell(table, STYLE_BOLD, field_text(cli->mem, cache, "id"));
        table_cell(table, STYLE_PLAIN, text_clean(cli->mem, field_text(cli->mem, cache, "key")));
        table_cell(table, STYLE_PLAIN, text_clean(cli->mem, field_text(cli->mem, cache, "ref")));
        table_cell(table, STYLE_PLAIN, size_human(cli->mem, field_int(cache, "size", 0)));
        table_cell(table, STYLE_DIM, time_ago(cli->mem, field_time(cache, "used_at"), clock_now()));
    }
    if (json_array_size(list) == 0)
        cli_note(cli, "no caches; jobs keep what `cache:` of their pipeline says");
    table_print(table, &cli->out, &out);
    return cli_print(&out, err);
}

static int rm_run(Cli *cli, void *arg, Err *err) {
    const RmOptions *options = arg;
    _cleanup_json_ json_t *answer = NULL;
    const char *path = path_of(cli);
    int64_t id;
    int r;

    if (options->all == (cli->arg_count == 2)) {
        cli->hint = "pelton cache list NAME shows the numbers";
        return err_set(err, ERR_INVALID, "cache rm: which one? give its number, or --all");
    }
    if (cli->arg_count == 2) {
        if (!str_to_i64(cli->args[1], 1, INT64_MAX, &id))
            return err_set(err, ERR_INVALID, "\"%s\" is not the number of a cache",
                           text_clean(cli->mem, cli->args[1]));
        path = mem_printf(cli->mem, "%s/%s", path, cli->args[1]);
    }
    r = cli_request(cli, "DELETE", path, NULL, &answer, err);
    if (r < 0)
        return r;
    cli_note(cli, "removed: %s", field_text(cli->mem, answer, "removed"));
    return cli->json ? cli_print_json(cli, answer, err) : CLI_DONE;
}

static const char *const list_examples[] = {"pelton cache list hello",
                                            "what hello's jobs keep for later ones, used last first", NULL};
static const char *const rm_examples[] = {
    "pelton cache rm hello 7",
    "remove one: the next job makes it again",
    "pelton cache rm hello --all",
    "remove all of them",
    NULL,
};

const Command command_cache_list = {
    .name = "cache list",
    .brief = "list a repository's caches",
    .usage = "cache list REPO",
    .examples = list_examples,
    .min_args = 1,
    .max_args = 1,
    .operand = "repo",
    .run = list_run,
};

const Command command_cache_rm = {
    .name = "cache rm",
    .brief = "remove caches",
    .usage = "cache rm REPO (ID | --all)",
    FLAGS(rm_flags),
    .options_size = sizeof(RmOptions),
    .examples = rm_examples,
    .min_args = 1,
    .max_args = 2,
    .operand = "repo",
    .run = rm_run,
};
