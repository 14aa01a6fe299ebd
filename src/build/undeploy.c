/* What is live is taken off by hand. The row says so at once; who deploys then stops the release. */
#include "build/state.h"

#include "base/str.h"

static int stop_now(Tx *tx, const char *uuid, const char *by, const void *mem, Deployment **ret, Err *err) {
    Db *db = tx->b->db;
    Deployment *d;
    int r = store_deployment_by_uuid(db, uuid, tx->mem, &d, err);

    if (r >= 0 && !str_eq(d->status, "live"))
        return err_set(err, ERR_CONFLICT, "the deployment is not live: it is %s", d->status);
    if (r >= 0)
        r = store_deployment_stop(db, d->id, mem_printf(tx->mem, "stopped by %s", by), err);
    if (r >= 0)
        r = store_deployment_by_uuid(db, uuid, mem, ret, err);
    if (r >= 0)
        tx->deploy = true;
    return r;
}

int build_stop_deployment(Builds *b, const char *uuid, const char *by, const void *mem, Deployment **ret,
                          Err *err) {
    Tx tx;
    int r = tx_begin(b, &tx, err);

    return r < 0 ? r : tx_end(&tx, stop_now(&tx, uuid, by, mem, ret, err), err);
}
