#include "base/title.h"

#include <stdarg.h>
#include <string.h>

static char *room;
static size_t room_size;

/* The strings lie one behind the other; where they do not, the first ends what is used. */
void title_keep(int argc, char **argv) {
    char *end = argc > 0 ? argv[0] : NULL;

    for (int i = 0; i < argc && argv[i] == end; i++)
        end += strlen(argv[i]) + 1;
    room = argc > 0 ? argv[0] : NULL;
    room_size = (size_t)(end - room);
}

void title_set(const char *fmt, ...) {
    va_list ap;
    int len;

    if (!room)
        return;
    va_start(ap, fmt);
    len = vsnprintf(room, room_size, fmt, ap);
    va_end(ap);
    if (len >= 0 && (size_t)len < room_size)
        memset(room + len, 0, room_size - (size_t)len);
}
