#include "server/runners.h"

#include "auth/auth.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/log.h"
#include <inttypes.h>
#include <string.h>
#include <sys/utsname.h>

/* One that is known keeps its facts until it tells them anew: whoever asks what it could run is told so. */
static int put_row(Db *db, const RunnerChild *child, const char *name, const void *mem, int64_t *ret_id,
                   Err *err) {
    struct utsname host;
    char uuid[ID_UUID_SIZE];
    Runner row = {.uuid = uuid,
                  .name = name,
                  .arch = host.machine,
                  .labels = "{}",
                  .executors = "[]",
                  .slots = child->slots,
                  .version = "",
                  .created_at = clock_now()};
    Runner *known;
    int r = store_runner_by_name(db, name, mem, &known, err);

    if (r >= 0)
        *ret_id = known->id;
    if (r != -ERR_NOT_FOUND)
        return r;
    uname(&host);
    id_uuid(uuid);
    r = db_begin(db, err);
    if (r < 0)
        return r;
    r = store_runner_put(db, &row, mem, err);
    if (r >= 0)
        r = db_commit(db, err);
    db_rollback(db);
    *ret_id = row.id;
    return r;
}

bool runner_child_wanted(void *arg) {
    _cleanup_talloc_ TALLOC_CTX *mem = talloc_new(NULL);
    RunnerSeat *seat = arg;
    Runner *row;
    Err err;

    if (store_runner_by_id(seat->db, seat->id, mem, &row, &err) < 0) {
        log_err("server", "look whether a runner is drained", &err);
        return true;
    }
    if (row->drained_at && !seat->told)
        log_info("server",
                 "runner %s is drained by %s, and not started; to let it work again: pelton runner resume %s",
                 row->name, row->drained_by, row->name);
    seat->told = row->drained_at != 0;
    return row->drained_at == 0;
}

int runner_child_prepare(Db *db, RunnerChild *child, const void *mem, const char *const **ret_argv,
                         Err *err) {
    const char *suffix = child->number ? mem_printf(mem, "-%d", child->number + 1) : "";
    const char *name = mem_printf(mem, "local%s", suffix);
    const char *dir = mem_printf(mem, "%s/runner%s", child->state, suffix);
    const char *token_file = mem_printf(mem, "%s/token", dir);
    const char *argv[] = {child->program,
                          "runner",
                          "--server",
                          child->url,
                          "--server-file",
                          mem_printf(mem, "%s/server.json", child->state),
                          "--dir",
                          dir,
                          "--name",
                          name,
                          "--slots",
                          mem_printf(mem, "%" PRId64, child->slots),
                          "--min-free-space",
                          mem_printf(mem, "%" PRIu64, child->min_free_space),
                          "--cancel-grace",
                          mem_printf(mem, "%" PRId64 "ms", child->cancel_grace_us / US_PER_MS),
                          "--cleanup-time",
                          mem_printf(mem, "%" PRId64 "ms", child->cleanup_us / US_PER_MS),
                          child->allow_shell ? "--allow-shell" : "--no-allow-shell",
                          NULL};
    TokenRequest token = {.name = mem_printf(mem, "runner %s", name), .role = "runner"};
    char text[AUTH_TOKEN_SIZE];
    const char **copy;
    size_t labels = 0;
    bool fresh;
    int r = file_mkdirs(dir, 0711, err);

    if (r >= 0)
        r = put_row(db, child, name, mem, &token.runner_id, err);
    if (r >= 0)
        r = auth_token_file(db, token_file, &token, text, &child->token_id, &fresh, err);
    if (r < 0)
        return err_wrap(err, "runner %s", name);
    child->id = token.runner_id;
    while (child->labels && child->labels[labels])
        labels++;
    copy = mem_array(mem, const char *, ELEMENTS(argv) + 2 * labels);
    memcpy(copy, argv, sizeof(argv));
    for (size_t i = 0; i < labels; i++) {
        copy[ELEMENTS(argv) - 1 + 2 * i] = "--label";
        copy[ELEMENTS(argv) + 2 * i] = child->labels[i];
    }
    copy[ELEMENTS(argv) - 1 + 2 * labels] = NULL;
    *ret_argv = copy;
    return 0;
}
