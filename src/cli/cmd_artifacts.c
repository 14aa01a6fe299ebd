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
    const char *output, *name, *job;
} ArtifactsOptions;

static const Setting artifacts_flags[] = {
    {.name = "output",
     .type = SETTING_STRING,
     .offset = offsetof(ArtifactsOptions, output),
     .arg = "FILE",
     .help = "where get writes to; - is standard output (default: the artifact's own name, here); without a "
             "path to get, the folder"},
    {.name = "name",
     .type = SETTING_STRING,
     .offset = offsetof(ArtifactsOptions, name),
     .arg = "NAME",
     .help = "only files of the artifact that the pipeline calls so"},
    {.name = "job",
     .type = SETTING_STRING,
     .offset = offsetof(ArtifactsOptions, job),
     .arg = "NAME",
     .help = "only files that this job has made"},
};

/* The build's artifacts and what of them has expired, as far as the options want them. */
static int load_list(Cli *cli, int64_t build, const ArtifactsOptions *o, json_t **ret, json_t **ret_list,
                     Err *err) {
    const char *path = mem_printf(cli->mem, "/api/builds/%" PRId64 "/artifacts", build), *sign = "?";
    int r;

    if (o->name) {
        path = mem_printf(cli->mem, "%s?name=%s", path, str_url_encode(cli->mem, o->name, false));
        sign = "&";
    }
    if (o->job)
        path = mem_printf(cli->mem, "%s%sjob=%s", path, sign, str_url_encode(cli->mem, o->job, false));
    r = cli_request(cli, "GET", path, NULL, ret, err);
    return r < 0 ? r : cli_answer_array(*ret, "artifacts", ret_list, err);
}

/* "short of job make: 2 files, 10 B, removed 3 s ago, after its keep of 1h" */
static const char *expired_text(Cli *cli, const json_t *expired) {
    const char *name = field_text(cli->mem, expired, "name");

    return mem_printf(cli->mem, "%s%sjob %s: %" PRId64 " files, %s, removed %s, after a keep of %s", name,
                      *name ? " of " : "", field_text(cli->mem, expired, "job"),
                      field_int(expired, "files", 0), size_human(cli->mem, field_int(expired, "size", 0)),
                      time_ago(cli->mem, field_time(expired, "removed_at"), clock_now()),
                      field_text(cli->mem, expired, "keep"));
}

static void add_row(Cli *cli, Table *table, const json_t *artifact) {
    const void *mem = cli->mem;

    table_cell(table, STYLE_BOLD, field_text(mem, artifact, "path"));
    table_cell(table, STYLE_PLAIN, field_text(mem, artifact, "name"));
    table_cell(table, STYLE_PLAIN, size_human(mem, field_int(artifact, "size", 0)));
    table_cell(table, STYLE_PLAIN, field_text(mem, artifact, "job"));
    table_cell(table, STYLE_DIM, time_ago(mem, field_time(artifact, "created_at"), clock_now()));
    table_cell(table, STYLE_DIM, time_ago(mem, field_time(artifact, "expires_at"), clock_now()));
    table_cell(table, STYLE_DIM, mem_printf(mem, "%.16s", field_text(mem, artifact, "sha256")));
}

static int list_artifacts(Cli *cli, int64_t build, const ArtifactsOptions *o, Err *err) {
    static const char *const headers[] = {"PATH", "NAME", "SIZE", "JOB", "MADE", "GOES", "SHA256", NULL};
    Table *table = table_new(cli->mem, headers);
    _cleanup_json_ json_t *answer = NULL;
    _cleanup_buf_ Buf out = BUF_INIT;
    json_t *list = NULL, *item;
    size_t i;
    int r = load_list(cli, build, o, &answer, &list, err);

    if (r < 0)
        return r;
    if (cli->json)
        return cli_print_json(cli, answer, err);
    json_array_foreach (list, i, item)
        add_row(cli, table, item);
    table_print(table, &cli->out, &out);
    json_array_foreach (json_object_get(answer, "expired"), i, item)
        buf_addf(&out, "%s\n", text_clean(cli->mem, expired_text(cli, item)));
    if (out.len == 0)
        cli_note(cli, "build %" PRId64 " has no such artifacts", build);
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

/* The file of that path, out of the build's list; of several the last job's. Its sha256 is from there, for
 * the client shows no headers, and this way a wrong header could not vouch for wrong bytes. */
static int find_artifact(Cli *cli, int64_t build, const char *path, const json_t *answer, const json_t **ret,
                         Err *err) {
    const json_t *list = json_object_get(answer, "artifacts");
    const json_t *expired = json_array_get(json_object_get(answer, "expired"), 0);

    for (size_t i = json_array_size(list); i-- > 0;) {
        *ret = json_array_get(list, i);
        if (str_eq(field_text(cli->mem, *ret, "path"), path))
            return 0;
    }
    cli->hint = mem_printf(cli->mem, "pelton artifacts %" PRId64 " lists them", build);
    if (expired)
        return err_set(err, ERR_NOT_FOUND, "build %" PRId64 " has no artifact \"%s\" any more; %s", build,
                       path, expired_text(cli, expired));
    return err_set(err, ERR_NOT_FOUND, "build %" PRId64 " has no artifact \"%s\"", build, path);
}

/* Which of several files of a path it is, the list has said. */
static const char *url_of(Cli *cli, int64_t build, const json_t *artifact) {
    const char *path = field_text(cli->mem, artifact, "path"), *job = field_text(cli->mem, artifact, "job");
    const char *url = mem_printf(cli->mem, "/api/builds/%" PRId64 "/artifacts/%s", build,
                                 str_url_encode(cli->mem, path, true));

    return *job ? mem_printf(cli->mem, "%s?job=%s&name=%s", url, str_url_encode(cli->mem, job, false),
                             str_url_encode(cli->mem, field_text(cli->mem, artifact, "name"), false))
                : url;
}

static int fetch(Download *d, int64_t build, const json_t *artifact, Err *err) {
    Cli *cli = d->cli;
    const char *path = field_text(cli->mem, artifact, "path");
    const char *expected = field_text(cli->mem, artifact, "sha256");
    HttpCall call = {
        .method = "GET", .path = url_of(cli, build, artifact), .stream = true, .on_data = on_data, .arg = d};
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
static int fetch_to_file(Cli *cli, int64_t build, const json_t *artifact, const char *target,
                         int64_t *ret_size, Err *err) {
    mode_t mode = json_is_true(json_object_get(artifact, "executable")) ? 0777 : 0666;
    Download d = {.cli = cli};
    char random[9];
    const char *part;
    _cleanup_close_ int fd = -1;
    int r;

    id_random(random, 8);
    part = mem_printf(cli->mem, "%s.%s.part", target, random);
    fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return err_errno(err, "write %s", target);
    d.fd = fd;
    r = fetch(&d, build, artifact, err);
    if (r >= 0 && rename(part, target) < 0)
        r = err_errno(err, "write %s", target);
    if (r < 0)
        unlink(part);
    *ret_size = (int64_t)d.size;
    return r;
}

static void add_report(json_t *files, const json_t *artifact, const char *target, int64_t size) {
    json_array_append_new(files, json_pack("{s:O,s:s,s:I,s:O}", "path", json_object_get(artifact, "path"),
                                           "file", target, "size", (json_int_t)size, "sha256",
                                           json_object_get(artifact, "sha256")));
}

static int get_artifact(Cli *cli, int64_t build, const char *path, const ArtifactsOptions *o, Err *err) {
    const char *target = o->output ? o->output : basename(mem_strdup(cli->mem, path));
    _cleanup_json_ json_t *answer = NULL, *files = json_array();
    Download d = {.cli = cli, .fd = STDOUT_FILENO};
    const json_t *artifact = NULL;
    json_t *list = NULL;
    int64_t size = 0;
    int r = load_list(cli, build, o, &answer, &list, err);

    if (r >= 0)
        r = find_artifact(cli, build, path, answer, &artifact, err);
    if (r < 0)
        return r;
    if (str_eq(target, "-"))
        return fetch(&d, build, artifact, err);
    r = fetch_to_file(cli, build, artifact, target, &size, err);
    if (r < 0)
        return r;
    cli_note(cli, "%s: %s", target, size_human(cli->mem, size));
    add_report(files, artifact, target, size);
    return cli->json ? cli_print_json(cli, json_array_get(files, 0), err) : 0;
}

/* ---- all of an artifact ---- */

/* With its folders, below the one that was given. */
static int get_one(Cli *cli, int64_t build, const char *folder, const json_t *artifact, json_t *files,
                   int64_t *size, Err *err) {
    const char *path = field_text(cli->mem, artifact, "path");
    char *target = mem_printf(cli->mem, "%s/%s", folder, path), *slash = strrchr(target, '/');
    int64_t one = 0;
    int r = file_check_path(path, err);

    if (r < 0)
        return r;
    *slash = '\0';
    r = file_mkdirs(target, 0777, err);
    *slash = '/';
    if (r >= 0)
        r = fetch_to_file(cli, build, artifact, target, &one, err);
    *size += one;
    if (r >= 0)
        add_report(files, artifact, target, one);
    return r;
}

static int get_all(Cli *cli, int64_t build, const ArtifactsOptions *o, Err *err) {
    _cleanup_json_ json_t *answer = NULL, *report = NULL, *files = json_array();
    const char *folder = o->output ? o->output : ".", *what = o->name ? o->name : o->job;
    const json_t *expired;
    json_t *list = NULL;
    int64_t size = 0;
    int r = load_list(cli, build, o, &answer, &list, err);

    if (r < 0)
        return r;
    expired = json_array_get(json_object_get(answer, "expired"), 0);
    if (expired)
        return err_set(err, ERR_NOT_FOUND, "build %" PRId64 ": %s", build, expired_text(cli, expired));
    if (json_array_size(list) == 0)
        return err_set(err, ERR_NOT_FOUND, "build %" PRId64 " has no artifact of \"%s\"", build, what);
    for (size_t i = 0; r >= 0 && i < json_array_size(list); i++)
        r = get_one(cli, build, folder, json_array_get(list, i), files, &size, err);
    if (r < 0)
        return r;
    cli_note(cli, "%s: %zu files, %s", what, json_array_size(files), size_human(cli->mem, size));
    report = json_pack("{s:O}", "files", files);
    return cli->json ? cli_print_json(cli, report, err) : 0;
}

static int artifacts_run(Cli *cli, void *arg, Err *err) {
    const ArtifactsOptions *options = arg;
    bool get = cli->arg_count > 1, all = cli->arg_count == 2 && (options->name || options->job);
    int64_t build;
    int r;

    if (get && (!str_eq(cli->args[1], "get") || (cli->arg_count != 3 && !all))) {
        cli->hint = "usage: pelton artifacts BUILD [get PATH [-o FILE] | get --name NAME [-o FOLDER]]";
        return err_set(err, ERR_INVALID, "artifacts: expected \"get PATH\" behind the build");
    }
    r = cli_build_id(cli, cli->args[0], &build, err);
    if (r < 0)
        return r;
    if (all)
        return get_all(cli, build, options, err);
    return get ? get_artifact(cli, build, cli->args[2], options, err)
               : list_artifacts(cli, build, options, err);
}

static const char *const artifacts_examples[] = {
    "pelton artifacts 12",
    "what build 12 has made",
    "pelton artifacts 12 get dist/hello.tar.gz",
    "fetch one into this folder",
    "pelton artifacts 12 get dist/hello.tar.gz -o - | tar tz",
    "or into a pipe",
    "pelton artifacts 12 get --name dist -o there",
    "all files of an artifact, with their folders",
    NULL,
};

const Command command_artifacts = {
    .name = "artifacts",
    .brief = "list or fetch what a build has made",
    .usage = "artifacts BUILD [--name NAME] [--job NAME] [get [PATH] [-o FILE]]",
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
