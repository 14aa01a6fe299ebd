/* An Accept header: whatever it says, one of our types or none, and of fewer types no other one. */
#include "fuzz.h"
#include "http/request.h"

#include "base/str.h"
#include <assert.h>

static const char *const types[] = {"text/plain", "application/json", NULL};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _cleanup_talloc_ char *accept = mem_strndup(NULL, (const char *)data, size);
    const char *found = negotiate(accept, types);

    assert(!found || found == types[0] || found == types[1]);
    if (found == types[1])
        assert(negotiate(accept, types + 1) == found);
    return 0;
}
