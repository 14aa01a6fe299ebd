/* Masks a log with so many secrets and prints MB/s of CPU time, one line a kind of log:
 *   bench-mask [SECRETS] [MB] */
#include "secret/mask.h"
#include <stdint.h>
#include <string.h>
#include <time.h>

#define PIECE ((size_t)64 * 1024)

static uint64_t seed = 88172645463325252;

static unsigned next_below(unsigned n) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed >> 20) % n;
}

static const char *random_word(const void *mem, size_t len) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *word = mem_array(mem, char, len + 1);

    for (size_t i = 0; i < len; i++)
        word[i] = letters[next_below(sizeof(letters) - 1)];
    return word;
}

/* Tokens, addresses with a password in them, a key of several lines. */
static const char *secret(const void *mem, size_t i) {
    if (i % 10 == 9)
        return mem_printf(mem, "postgres://app:%s@db.example.com/app", random_word(mem, 24));
    if (i % 25 == 24)
        return mem_printf(mem, "-----BEGIN KEY-----\n%s\n%s\n%s\n-----END KEY-----\n", random_word(mem, 64),
                          random_word(mem, 64), random_word(mem, 64));
    return random_word(mem, 40);
}

typedef void (*Line)(Buf *out, const void *mem, const char *const *secrets, size_t count);

static void compiler_line(Buf *out, const void *mem, const char *const *secrets, size_t count) {
    buf_addf(out,
             "[%u/480] cc -Isrc -Wall -Wextra -O2 -fPIC -MD -MF build/file_%u.c.o.d -o build/file_%u.c.o -c "
             "https://example.com/src/file_%u.c\n",
             next_below(480), next_below(9999), next_below(9999), next_below(9999));
}

static void base64_line(Buf *out, const void *mem, const char *const *secrets, size_t count) {
    _cleanup_talloc_ void *scratch = talloc_new(NULL);

    buf_addf(out, "%s\n", random_word(scratch, 76));
}

static void secret_line(Buf *out, const void *mem, const char *const *secrets, size_t count) {
    compiler_line(out, mem, secrets, count);
    if (next_below(10) == 0)
        buf_addf(out, "token: %s\n", secrets[next_below((unsigned)count)]);
}

static double now(void) {
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double measure(Masker *m, const Buf *text, size_t total) {
    double begin = now();
    size_t out = 0;

    for (size_t done = 0; done < total; done += text->len) {
        for (size_t at = 0; at < text->len; at += PIECE)
            out += mask_feed(m, text->data + at, MIN(PIECE, text->len - at)).len;
        out += mask_end(m).len;
    }
    if (out == 0)
        abort();
    return (double)total / 1e6 / (now() - begin);
}

static double copying(const void *mem, size_t total) {
    char *from = mem_array(mem, char, 8000000), *to = mem_array(mem, char, PIECE);
    double begin = now();

    for (size_t done = 0, at = 0; done < total; done += PIECE, at = (at + PIECE) % (8000000 - PIECE)) {
        memcpy(to, from + at, PIECE);
        __asm__ volatile("" : : "r"(to) : "memory");
    }
    return (double)total / 1e6 / (now() - begin);
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        Line line;
    } kinds[] = {{"compiler", compiler_line}, {"base64", base64_line}, {"secrets", secret_line}};
    size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 100;
    size_t total = (argc > 2 ? strtoul(argv[2], NULL, 10) : 1000) * 1000000;
    void *mem = talloc_new(NULL);
    const char **secrets = mem_array(mem, const char *, count + 1);
    double begin;
    Masker *m;

    for (size_t i = 0; i < count; i++)
        secrets[i] = secret(mem, i);
    begin = now();
    m = mask_new(mem, secrets, count);
    printf("made %.1f ms\n", (now() - begin) * 1e3);
    for (size_t k = 0; m && k < ELEMENTS(kinds); k++) {
        _cleanup_buf_ Buf text = BUF_INIT;

        while (text.len < 8000000)
            kinds[k].line(&text, mem, secrets, count);
        printf("%s %.0f MB/s\n", kinds[k].name, measure(m, &text, total));
    }
    printf("copy %.0f MB/s\n", copying(mem, total));
    talloc_free(mem);
    return 0;
}
