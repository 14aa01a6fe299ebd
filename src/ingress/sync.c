#include "ingress/sync.h"

#include "base/str.h"
#include <poll.h>

/* Bits of srv_admin_state, HAProxy 2.6 management guide, `show servers state`. */
#define ADMIN_MAINT 0x01
#define ADMIN_CONFIG_MAINT 0x04
#define ADMIN_DRAIN 0x08

typedef struct Seen {
    char *release;
    char *address;
    int64_t admin;
} Seen;

typedef struct SeenSlot {
    Seen *items;
    size_t count;
} SeenSlot;

/* "be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state …", field 19 is the port. */
static void read_server_line(SeenSlot *seen, char *line) {
    char *field[19] = {0};
    Seen item;

    for (size_t i = 0; i < ELEMENTS(field); i++)
        field[i] = ha_word(&line, ' ');
    if (!field[18] || !str_to_i64(field[6], 0, 255, &item.admin))
        return;
    item.release = mem_strdup(seen, field[3]);
    item.address = mem_printf(seen, "%s:%s", field[4], field[18]);
    mem_append(seen, seen->items, seen->count, item);
}

static int look(const HaSocket *s, unsigned slot, SeenSlot *seen, Err *err) {
    _cleanup_buf_ Buf answer = BUF_INIT;
    char *text, *line;

    if (hasocket_ask(s, &answer, err, "show servers state app%u", slot) < 0)
        return -(int)err->code;
    if (answer.len == 0 || answer.data[0] != '1')
        return err_set(err, ERR_NOT_FOUND, "HAProxy has no backend app%u", slot);
    text = answer.data;
    (void)ha_line(&text);
    while ((line = ha_line(&text)))
        if (*line && *line != '#')
            read_server_line(seen, line);
    return 0;
}

static const Seen *seen_find(const SeenSlot *seen, const char *release) {
    for (size_t i = 0; i < seen->count; i++)
        if (str_eq(seen->items[i].release, release))
            return &seen->items[i];
    return NULL;
}

/* Sessions that are shut end a moment later, when HAProxy gets to them. It cannot tell when: asked again with
 * growing pauses, for a second at most. */
static int remove_server(const HaSocket *s, unsigned slot, const char *release, Err *err) {
    int ret = 0;

    if (hasocket_do(s, NULL, err, "set server app%u/%s state maint", slot, release) < 0)
        return -(int)err->code;
    for (int pause = 1, waited = 0; waited < 1000; waited += pause, pause = MIN(pause * 2, 100)) {
        if (hasocket_do(s, NULL, err, "shutdown sessions server app%u/%s", slot, release) < 0)
            return -(int)err->code;
        ret = hasocket_do(s, "Server deleted.", err, "del server app%u/%s", slot, release);
        if (ret == 0 || err->code != ERR_CONFLICT)
            return ret;
        poll(NULL, 0, pause);
    }
    return err_wrap(err, "remove the release %s", release);
}

static const char *state_word(RouteState state) {
    return state == ROUTE_LIVE ? "ready" : state == ROUTE_DRAINING ? "drain" : "maint";
}

static bool state_holds(RouteState state, int64_t admin) {
    bool maint = admin & (ADMIN_MAINT | ADMIN_CONFIG_MAINT), drain = admin & ADMIN_DRAIN;

    switch (state) {
    case ROUTE_LIVE:
        return !maint && !drain;
    case ROUTE_DRAINING:
        return drain && !maint;
    default:
        return maint;
    }
}

static int put_server(const HaSocket *s, unsigned slot, const RouteServer *server, const Seen *is, Err *err) {
    if (is && !str_eq(is->address, server->address)) {
        if (remove_server(s, slot, server->release, err) < 0)
            return -(int)err->code;
        is = NULL;
    }
    if (!is && hasocket_do(s, "New server registered.", err, "add server app%u/%s %s", slot, server->release,
                           server->address) < 0)
        return -(int)err->code;
    if (is ? state_holds(server->state, is->admin) : server->state == ROUTE_ADDED)
        return 0;
    return hasocket_do(s, NULL, err, "set server app%u/%s state %s", slot, server->release,
                       state_word(server->state));
}

int sync_slot(const HaSocket *s, const RouteApp *app, unsigned slot, Err *err) {
    _cleanup_talloc_ SeenSlot *seen = mem_new(NULL, SeenSlot);
    static const RouteState order[] = {ROUTE_LIVE, ROUTE_ADDED, ROUTE_DRAINING};

    if (look(s, slot, seen, err) < 0)
        return -(int)err->code;
    for (size_t o = 0; app && o < ELEMENTS(order); o++)
        for (size_t i = 0; i < app->count; i++)
            if (app->servers[i].state == order[o] &&
                put_server(s, slot, &app->servers[i], seen_find(seen, app->servers[i].release), err) < 0)
                return -(int)err->code;
    for (size_t i = 0; i < seen->count; i++)
        if ((!app || !routes_server(app, seen->items[i].release)) &&
            remove_server(s, slot, seen->items[i].release, err) < 0)
            return -(int)err->code;
    return 0;
}

int sync_host(const HaSocket *s, const char *host, int slot, Err *err) {
    Err why;

    if (slot < 0)
        return hasocket_do(s, "Key not found.", err, "del map hosts.map %s", host);
    if (hasocket_do(s, NULL, &why, "set map hosts.map %s app%d", host, slot) == 0)
        return 0;
    return hasocket_do(s, NULL, err, "add map hosts.map %s app%d", host, slot);
}

/* "0x55… hello.localhost app0" a line. */
static int clean_map(const HaSocket *s, const Routes *r, const char *domain, Err *err) {
    _cleanup_buf_ Buf answer = BUF_INIT;
    char *text, *line;

    if (hasocket_ask(s, &answer, err, "show map hosts.map") < 0)
        return -(int)err->code;
    for (text = answer.data; (line = ha_line(&text));) {
        char *host = (ha_word(&line, ' '), ha_word(&line, ' ')), *dot = host ? strchr(host, '.') : NULL;
        bool known = false;

        if (!host)
            continue;
        if (dot && str_eq(dot + 1, domain)) {
            *dot = '\0';
            known = routes_app(r, host) != NULL;
            *dot = '.';
        }
        if (!known && sync_host(s, host, -1, err) < 0)
            return -(int)err->code;
    }
    return 0;
}

int sync_all(const HaSocket *s, const Routes *r, const char *domain, Err *err) {
    _cleanup_talloc_ bool *used = mem_array(NULL, bool, MAX(r->slots, 1u));

    for (size_t i = 0; i < r->count; i++) {
        _cleanup_talloc_ char *host = mem_printf(NULL, "%s.%s", r->apps[i].slug, domain);

        if (r->apps[i].slot < r->slots)
            used[r->apps[i].slot] = true;
        if (sync_slot(s, &r->apps[i], r->apps[i].slot, err) < 0 ||
            sync_host(s, host, (int)r->apps[i].slot, err) < 0)
            return -(int)err->code;
    }
    for (unsigned slot = 0; slot < r->slots; slot++)
        if (!used[slot] && sync_slot(s, NULL, slot, err) < 0)
            return -(int)err->code;
    return clean_map(s, r, domain, err);
}
