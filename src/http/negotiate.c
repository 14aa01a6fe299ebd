/* Which of the media types that we have a peer likes best (RFC 9110, section 12.5.1). */
#include "http/request.h"

#include "base/str.h"
#include <ctype.h>
#include <strings.h>

#define WHOLE 1000 /* a weight of 1 */

/* What a header says of a type. */
typedef struct Wish {
    int exact;    /* of the range that says it: 3 a type, 2 "text" and any, 1 any at all; 0: nothing */
    int weight;   /* of WHOLE; 0: not that one */
    size_t place; /* of the range in the header */
} Wish;

/* ";q=0.5", anywhere behind the type. What is not a weight is none. */
static int weight_of(const char *at, const char *end) {
    int weight = 0, unit = WHOLE;

    while (at < end && !(tolower((unsigned char)at[0]) == 'q' && at[1] == '=')) {
        at += strcspn(at, ";,");
        at += *at == ';';
        at += strspn(at, " \t");
    }
    if (at >= end || !isdigit((unsigned char)at[2]))
        return WHOLE;
    for (at += 2; at < end && unit && (isdigit((unsigned char)*at) || *at == '.'); at++) {
        if (*at == '.')
            continue;
        weight += (*at - '0') * unit;
        unit /= 10;
    }
    return MIN(weight, WHOLE);
}

static int match(const char *range, size_t len, const char *type) {
    size_t kind = strcspn(type, "/") + 1;

    if (len == strlen(type) && strncasecmp(range, type, len) == 0)
        return 3;
    if (len == kind + 1 && range[kind] == '*' && strncasecmp(range, type, kind) == 0)
        return 2;
    return len == 3 && memcmp(range, "*/*", 3) == 0;
}

/* The range that is nearest to the type counts. */
static Wish wish_of(const char *accept, const char *type) {
    Wish best = {0};
    size_t place = 0;

    for (const char *at = accept; *at; place++) {
        const char *end;
        int exact;

        at += strspn(at, " \t,");
        end = at + strcspn(at, ",");
        exact = match(at, strcspn(at, " \t;,"), type);
        if (exact > best.exact)
            best = (Wish){exact, weight_of(at, end), place};
        at = end;
    }
    return best;
}

static bool is_better(const Wish *a, const Wish *b) {
    if (a->weight != b->weight)
        return a->weight > b->weight;
    return a->exact != b->exact ? a->exact > b->exact : a->place < b->place;
}

const char *negotiate(const char *accept, const char *const *types) {
    const char *found = NULL;
    Wish best = {0};

    for (; accept && *types; types++) {
        Wish wish = wish_of(accept, *types);

        if (wish.weight && (!found || is_better(&wish, &best))) {
            found = *types;
            best = wish;
        }
    }
    return found;
}

const char *http_accepted(const HttpRequest *req, const char *const *types) {
    return negotiate(http_header(req, "Accept"), types);
}
