#include "pipeline/pattern.h"

#include "base/str.h"

/* "{a,b}", which others read as two. */
static bool has_choice(const char *open) {
    const char *comma = strchr(open, ','), *end = strchr(open, '}');

    return comma && end && comma < end;
}

const char *pattern_fault(const char *pattern, bool first) {
    if (first && pattern[0] == '!')
        return "takes away from the patterns before it, and there is none: begin with \"**\"";
    for (const char *p = pattern; *p; p++) {
        size_t len = str_glob_class(p);

        if (*p == '\\' && p[1])
            p++;
        else if (len)
            p += len - 1;
        else if (*p == '[')
            return "has a [ without its ]; for the character itself write \\[";
        else if (*p == '{' && has_choice(p))
            return "has { , }, which means nothing in a pattern: name each in a list; for the character "
                   "itself "
                   "write \\{";
    }
    return NULL;
}
