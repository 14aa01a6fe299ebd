#include "base/zone.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/str.h"
#include <ctype.h>

#define FOLDER "/usr/share/zoneinfo/"
#define FILE_MAX (1024 * 1024)
#define HEADER 44
#define TYPE_SIZE 6
#define NAME_LEN 63

struct Zone {
    int64_t *at;     /* sorted */
    int32_t *offset; /* from at[i] on */
    size_t count;
    int32_t first; /* before at[0] */
};

static int64_t number(const char *bytes, size_t len) {
    uint64_t value = (unsigned char)bytes[0] & 0x80 ? UINT64_MAX : 0;

    for (size_t i = 0; i < len; i++)
        value = value << 8 | (unsigned char)bytes[i];
    return (int64_t)value;
}

typedef struct Header {
    size_t utc, std, leap, times, types, chars;
} Header;

static bool read_header(const Buf *file, size_t at, Header *ret) {
    size_t counts[6];

    if (file->len < at + HEADER || memcmp(file->data + at, "TZif", 4) != 0)
        return false;
    for (size_t i = 0; i < 6; i++) {
        int64_t count = number(file->data + at + 20 + 4 * i, 4);

        if (count < 0 || count > FILE_MAX)
            return false;
        counts[i] = (size_t)count;
    }
    *ret = (Header){counts[0], counts[1], counts[2], counts[3], counts[4], counts[5]};
    return true;
}

static size_t body_size(const Header *h, size_t word) {
    return h->times * (word + 1) + h->types * TYPE_SIZE + h->chars + h->leap * (word + 4) + h->std + h->utc;
}

/* The second part, with times of 64 bits (version 2 and later; all that are made today). */
static bool parse(const Buf *file, Zone *zone) {
    const char *times, *kinds, *types;
    size_t at;
    Header h;

    if (!read_header(file, 0, &h))
        return false;
    at = HEADER + body_size(&h, 4);
    if (!read_header(file, at, &h) || h.types == 0 || file->len < at + HEADER + body_size(&h, 8))
        return false;
    times = file->data + at + HEADER;
    kinds = times + h.times * 8;
    types = kinds + h.times;
    zone->first = (int32_t)number(types, 4);
    zone->at = mem_array(zone, int64_t, h.times);
    zone->offset = mem_array(zone, int32_t, h.times);
    zone->count = h.times;
    for (size_t i = 0; i < h.times; i++) {
        size_t kind = (unsigned char)kinds[i];

        if (kind >= h.types)
            return false;
        zone->at[i] = number(times + i * 8, 8);
        zone->offset[i] = (int32_t)number(types + kind * TYPE_SIZE, 4);
    }
    return true;
}

/* Letters, digits and a few signs in segments that are no dots: nothing that leaves the folder. */
static bool is_zone_name(const char *name) {
    if (!isalpha((unsigned char)*name) || strlen(name) > NAME_LEN)
        return false;
    for (const char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("/_-+", *p))
            return false;
    return true;
}

/* ---- what was probably meant ---- */

/* The third column of zone.tab: "DE\t+5230+01322\tEurope/Berlin\tmost of Germany". */
static const char **known_names(char *text, const void *mem) {
    const char **names = NULL;
    size_t count = 0;

    for (char *line, *rest = text; (line = strsep(&rest, "\n"));) {
        char *name;

        if (*line == '#' || !strsep(&line, "\t") || !strsep(&line, "\t"))
            continue;
        name = strsep(&line, "\t");
        if (name)
            mem_append(mem, names, count, name);
    }
    mem_append(mem, names, count, NULL);
    return names;
}

/* "berlin" is the one in Europe. */
static const char *by_place(const char *name, const char *const *names) {
    for (; *names; names++) {
        const char *slash = strrchr(*names, '/');

        if (slash && strcasecmp(slash + 1, name) == 0)
            return *names;
    }
    return NULL;
}

/* "; did you mean …?", or "". In mem. */
static const char *meant(const char *name, const void *mem) {
    _cleanup_buf_ Buf table = BUF_INIT;
    const char **names, *nearest;

    if (file_read(FOLDER "zone.tab", FILE_MAX, &table, NULL) < 0)
        return "";
    names = known_names(buf_dup(&table, mem), mem);
    nearest = by_place(name, names);
    if (!nearest)
        nearest = str_nearest(name, names);
    return nearest ? mem_printf(mem, "; did you mean \"%s\"?", nearest) : "";
}

static int unknown(const char *name, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    char *shown = mem_strndup(mem, name, NAME_LEN);

    for (char *c = shown; *c; c++)
        if (!isprint((unsigned char)*c))
            *c = '?';
    return err_set(err, ERR_INVALID,
                   "time zone \"%s\" is not known here; expected a name such as Europe/Berlin, or UTC%s",
                   shown, meant(name, mem));
}

int zone_read(const char *name, const void *mem, Zone **ret, Err *err) {
    _cleanup_buf_ Buf file = BUF_INIT;
    Zone *zone;
    Err why;

    zone = mem_new(mem, Zone);
    if (!str_eq(name, "UTC")) {
        _cleanup_talloc_ char *path = mem_printf(NULL, FOLDER "%s", is_zone_name(name) ? name : "");

        if (!is_zone_name(name) || file_read(path, FILE_MAX, &file, &why) < 0 || !parse(&file, zone)) {
            talloc_free(zone);
            return unknown(name, err);
        }
    }
    *ret = zone;
    return 0;
}

int64_t zone_offset(const Zone *zone, int64_t at) {
    size_t low = 0, high = zone->count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (zone->at[middle] <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? zone->offset[low - 1] : zone->first;
}
