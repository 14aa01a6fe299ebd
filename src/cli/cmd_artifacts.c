#include "base/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/str.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/table.h"

#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <sodium/crypto_hash_sha256.h>

typedef struct ArtifactsOptions {
    const char *output;
} ArtifactsOptions;

static const Setting artifacts_flags[] = {
    {.name = "output",
     .type = SETTING_STRING,
     .offset = offsetof(ArtifactsOptions, output),
     .arg = "FILE",
     .help = "where get writes to; - is standard output (default: the artifact's own name, here)"},
};

static int list_artifacts(Cli *cli, int64_t build, Err *err) {
    static const char *const headers[] = {"PATH", "SIZE", "JOB", "MADE", "SHA256", NULL};
    const char *path = mem_printf(cli->mem, "/api/builds/%" PRId64 "/artifacts", build);
    Table *table = table_new(cli->mem, headers);
    _cleanup_json_ json_t *answer = NULL;
    _cleanup_buf_ Buf out = BUF_INIT;
    json_t *list = NULL, *artifact;
    size_t i;
    int r = cli_request(cli, "GET", path, NULL, &answer, err);

    if (r < 0)
        return r;
    if (cli->json)
        return cli_print_json(cli, answer, err);
    r = cli_answer_array(answer, "artifacts", &list, err);
    if (r < 0)
        return r;
    json_array_foreach (list, i, artifact) {
        table_cell(table, STYLE_BOLD, field_text(cli->mem, artifact, "path"));
        table_cell(table, STYLE_PLAIN, size_human(cli->mem, field_int(artifact, "size", 0)));
        table_cell(table, STYLE_PLAIN, field_text(cli->mem, artifact, "job"));
        table_cell(table, STYLE_DIM, time_ago(cli->mem, field_time(artifact, "created_at"), clock_now()));
        table_cell(table, STYLE_DIM, mem_printf(cli->mem, "%.16s", field_text(cli->mem, artifact, "sha256")));
    }
    table_print(table, &cli->out, &out);
    if (json_array_size(list) == 0)
        cli_note(cli, "build %" PRId64 " has no artifacts", build);
    return cli_print(&out, err);
}

/* ---- get ---- */

typedef struct Download {
    Cli *cli;
    int fd;
    uint64_t size;
    int64_t drawn_at;
    crypto_hash_sha256_state hash;
    Err err;
} Download;

static void draw_progress(Download *d) {
    int64_t now = clock_mono();
    _cleanup_talloc_ void *mem = NULL;

    if (!d->cli->err.tty || d->cli->json || d->fd == STDOUT_FILENO || now - d->drawn_at < 100 * US_PER_MS)
        return;
    mem = talloc_new(NULL);
    fprintf(stderr, "\r\033[K%s", size_human(mem, (int64_t)d->size));
    fflush(stderr);
    d->drawn_at = now;
}

static int on_data(void *arg, const void *data, size_t len) {
    Download *d = arg;

    crypto_hash_sha256_update(&d->hash, data, len);
    d->size += len;
    draw_progress(d);
    return file_write_all(d->fd, data, len, &d->err);
}

/* The artifact's own sha256, out of the build's list: the client shows no headers, and this way a wrong
 * header could not vouch for wrong bytes. */
static int expected_hash(Cli *cli, int64_t build, const char *path, const char **ret, Err *err) {
    _cleanup_json_ json_t *answer = NULL;
    json_t *list = NULL, *artifact;
    size_t i;
    int r = cli_request(cli, "GET", mem_printf(cli->mem, "/api/builds/%" PRId64 "/artifacts", build), NULL,
                        &answer, err);

    if (r >= 0)
        r = cli_answer_array(answer, "artifacts", &list, err);
    if (r < 0)
        return r;
    json_array_foreach (list, i, artifact) {
        if (str_eq(field_text(cli->mem, artifact, "path"), path)) {
            *ret = mem_strdup(cli->mem, field_text(cli->mem, artifact, "sha256"));
            return 0;
        }
    }
    cli->hint = mem_printf(cli->mem, "pelton artifacts %" PRId64 " lists them", build);
    return err_set(err, ERR_NOT_FOUND, "build %" PRId64 " has no artifact \"%s\"", build, path);
}

static int fetch(Download *d, int64_t build, const char *path, const char *expected, Err *err) {
    Cli *cli = d->cli;
    const char *url = mem_printf(cli->mem, "/api/builds/%" PRId64 "/artifacts/%s", build,
                                 str_url_encode(cli->mem, path, true));
    HttpCall call = {.method = "GET", .path = url, .stream = true, .on_data = on_data, .arg = d};
    unsigned char hash[crypto_hash_sha256_BYTES];
    char hex[2 * sizeof(hash) + 1];
    int r;

    crypto_hash_sha256_init(&d->hash);
    r = cli_call(cli, &call, err);
    buf_done(&call.answer);
    if (cli->err.tty && d->drawn_at)
        fputs("\r\033[K", stderr);
    if (d->err.code) {
        *err = d->err;
        return err_wrap(err, "write %s", path);
    }
    if (r < 0)
        return r;
    crypto_hash_sha256_final(&d->hash, hash);
    str_hex(hash, sizeof(hash), hex);
    if (!str_eq(hex, expected)) {
        cli->hint = "the bytes were changed on the way or on the server's disk; try again";
        return err_set(err, ERR_IO, "%s: its sha256 is %s, expected %s", path, hex, expected);
    }
    return 0;
}

/* Beside the target under another name, and renamed when its bytes have been checked. */
static int fetch_to_file(Download *d, int64_t build, const char *path, const char *expected,
                         const char *target, Err *err) {
    char random[9];
    const char *part;
    _cleanup_close_ int fd = -1;
    int r;

    id_random(random, 8);
    part = mem_printf(d->cli->mem, "%s.%s.part", target, random);
    fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return err_errno(err, "write %s", target);
    d->fd = fd;
    r = fetch(d, build, path, expected, err);
    if (r >= 0 && rename(part, target) < 0)
        r = err_errno(err, "write %s", target);
    if (r < 0)
        unlink(part);
    return r;
}

static int get_artifact(Cli *cli, int64_t build, const char *path, const char *output, Err *err) {
    Download d = {.cli = cli, .fd = STDOUT_FILENO};
    const char *expected = NULL, *target = output ? output : basename(mem_strdup(cli->mem, path));
    _cleanup_json_ json_t *report = NULL;
    int r = expected_hash(cli, build, path, &expected, err);

    if (r < 0)
        return r;
    if (str_eq(target, "-"))
        return fetch(&d, build, path, expected, err);
    r = fetch_to_file(&d, build, path, expected, target, err);
    if (r < 0)
        return r;
    cli_note(cli, "%s: %s", target, size_human(cli->mem, (int64_t)d.size));
    report = json_pack("{s:s,s:s,s:I,s:s}", "path", path, "file", target, "size", (json_int_t)d.size,
                       "sha256", expected);
    return cli->json ? cli_print_json(cli, report, err) : 0;
}

static int artifacts_run(Cli *cli, void *arg, Err *err) {
    const ArtifactsOptions *options = arg;
    bool get = cli->arg_count > 1;
    int64_t build;
    int r;

    if (get && (!str_eq(cli->args[1], "get") || cli->arg_count != 3)) {
        cli->hint = "usage: pelton artifacts BUILD [get PATH [-o FILE]]";
        return err_set(err, ERR_INVALID, "artifacts: expected \"get PATH\" behind the build");
    }
    r = cli_build_id(cli, cli->args[0], &build, err);
    if (r < 0)
        return r;
    return get ? get_artifact(cli, build, cli->args[2], options->output, err)
               : list_artifacts(cli, build, err);
}

static const char *const artifacts_examples[] = {
    "pelton artifacts 12",
    "what build 12 has made",
    "pelton artifacts 12 get dist/hello.tar.gz",
    "fetch one into this folder",
    "pelton artifacts 12 get dist/hello.tar.gz -o - | tar tz",
    "or into a pipe",
    NULL,
};

const Command command_artifacts = {
    .name = "artifacts",
    .brief = "list or fetch what a build has made",
    .usage = "artifacts BUILD [get PATH [-o FILE]]",
    .about = "What is fetched is checked against its sha256 before it gets its name.",
    FLAGS(artifacts_flags),
    .options_size = sizeof(ArtifactsOptions),
    .shorts = "o=output",
    .examples = artifacts_examples,
    .min_args = 1,
    .max_args = 3,
    .operand = "build",
    .run = artifacts_run,
};
