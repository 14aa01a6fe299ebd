/* Makes the running HAProxy do what the routes say, by its runtime socket. Repeatable: it looks first and
 * changes what differs. */
#pragma once

#include "ingress/hasocket.h"
#include "ingress/routes.h"

/* The servers of one slot; app NULL: the slot is to be empty. Live ones first, so that there is always one.
 */
_must_check_ int sync_slot(const HaSocket *s, const RouteApp *app, unsigned slot, Err *err);
/* The host's entry in the map; slot < 0 removes it. */
_must_check_ int sync_host(const HaSocket *s, const char *host, int slot, Err *err);
/* All slots and the whole map. */
_must_check_ int sync_all(const HaSocket *s, const Routes *r, const char *domain, Err *err);
