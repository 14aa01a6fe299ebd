/* What git hands to the post-receive hook, and what becomes of it: refs, a zero byte, and the answer of
 * git cat-file --batch. The payload is JSON whatever came in, and what is shown to the pusher cannot steer a
 * terminal. */
#include "base/json.h"
#include "base/str.h"
#include "cli/hook.h"
#include "cli/term.h"
#include "fuzz.h"

#include <assert.h>
#include <string.h>

/* Whatever an option of the push is, what is said of the pull request is text. */
static void check_option(HookRef *ref, const char *option) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    _cleanup_buf_ Buf out = BUF_INIT;
    _cleanup_json_ json_t *body = NULL;
    HookPull pull = {0};
    Err err = {0};

    if (hook_option(option, mem, &pull))
        assert(!pull.title && !pull.target && !pull.source && !pull.fork);
    ref->pull = &pull;
    hook_payload(ref, "/srv/repos/hello.git", "", &out);
    assert(json_read(out.data, out.len, &body, &err) == 0 && json_object_size(body) == 13);
    ref->pull = NULL;
}

static void check_payload(const HookRef *ref) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    _cleanup_buf_ Buf out = BUF_INIT;
    _cleanup_json_ json_t *body = NULL;
    const char *shown = text_clean(mem, ref->ref);
    Err err = {0};

    assert(str_utf8_valid(ref->author, strlen(ref->author)) &&
           str_utf8_valid(ref->email, strlen(ref->email)));
    assert(str_utf8_valid(ref->subject, strlen(ref->subject)) && !strchr(ref->subject, '\n'));
    assert(strlen(ref->gpg_status) <= 1 && str_utf8_valid(ref->gpg_signer, strlen(ref->gpg_signer)));
    hook_payload(ref, "/srv/repos/hello.git", "", &out);
    assert(json_read(out.data, out.len, &body, &err) == 0 && json_object_size(body) == 12);
    for (; *shown; shown++)
        assert((unsigned char)*shown >= 0x20 && *shown != 0x7f);
}

/* A log as it may reach a terminal: whatever the pieces, the same, and no escape but a colour's. */
static void check_filter(const char *data, size_t size) {
    _cleanup_buf_ Buf whole = BUF_INIT, pieces = BUF_INIT;
    TermFilter a = {0}, b = {0};

    term_filter(&a, data, size, &whole);
    for (size_t i = 0; i < size; i++)
        term_filter(&b, data + i, 1, &pieces);
    assert(whole.len == pieces.len && (!whole.len || memcmp(whole.data, pieces.data, whole.len) == 0));
    for (const char *at = whole.data; at && (at = memchr(at, '\033', whole.len - (size_t)(at - whole.data)));
         at++)
        assert(at[1] == '[' && at[2 + strspn(at + 2, "0123456789;:")] == 'm');
    term_filter_done(&a);
    term_filter_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    const char *text = (const char *)data, *batch = size ? memchr(data, 0, size) : NULL;
    size_t len = batch ? (size_t)(batch - text) : size;
    HookRef *refs = NULL;
    size_t count = 0;
    Err err = {0};

    check_filter(text, size);
    if (hook_parse_refs(text, len, mem, &refs, &count, &err) < 0)
        return 0;
    if (batch)
        hook_parse_batch(batch + 1, size - len - 1, mem, refs, count);
    if (batch)
        hook_parse_signatures(batch + 1, size - len - 1, mem, refs, count);
    for (size_t i = 0; i < count; i++) {
        check_payload(&refs[i]);
        check_option(&refs[i], refs[i].ref); /* a name of a ref that is also an option: "title=…" */
    }
    return 0;
}
