#include "base/sha256.h"

#include "base/mem.h"
#include "base/str.h"

#if defined(__x86_64__) && !defined(SHA256_PLAIN)
#include <cpuid.h>
#include <immintrin.h>
#endif

#define BLOCK 64

static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t right(uint32_t x, unsigned n) {
    return x >> n | x << (32 - n);
}

static void schedule(uint32_t w[64], const unsigned char *data) {
    for (size_t i = 0; i < 16; i++)
        w[i] = (uint32_t)data[4 * i] << 24 | (uint32_t)data[4 * i + 1] << 16 |
               (uint32_t)data[4 * i + 2] << 8 | data[4 * i + 3];
    for (size_t i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];

        w[i] = w[i - 16] + (right(a, 7) ^ right(a, 18) ^ a >> 3) + w[i - 7] +
               (right(b, 17) ^ right(b, 19) ^ b >> 10);
    }
}

static void blocks_plain(uint32_t state[8], const unsigned char *data, size_t count) {
    uint32_t w[64], v[8], one, two;

    for (; count--; data += BLOCK) {
        schedule(w, data);
        memcpy(v, state, sizeof(v));
        for (size_t i = 0; i < 64; i++) {
            one = v[7] + (right(v[4], 6) ^ right(v[4], 11) ^ right(v[4], 25)) +
                  ((v[4] & v[5]) ^ (~v[4] & v[6])) + constants[i] + w[i];
            two = (right(v[0], 2) ^ right(v[0], 13) ^ right(v[0], 22)) +
                  ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
            memmove(v + 1, v, 7 * sizeof(v[0]));
            v[4] += one;
            v[0] = one + two;
        }
        for (size_t i = 0; i < 8; i++)
            state[i] += v[i];
    }
}

#if defined(__x86_64__) && !defined(SHA256_PLAIN)

/* Intel's SHA extensions: the state is kept as (a, b, e, f) and (c, d, g, h), four rounds a step; m holds the
 * last sixteen words of the schedule. */
__attribute__((target("sha,sse4.1"))) static void blocks_x86(uint32_t state[8], const unsigned char *data,
                                                             size_t count) {
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i low = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0xb1);
    __m128i high = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(state + 4)), 0x1b);
    __m128i abef = _mm_alignr_epi8(low, high, 8), cdgh = _mm_blend_epi16(high, low, 0xf0);

    for (; count--; data += BLOCK) {
        const __m128i abef_before = abef, cdgh_before = cdgh;
        __m128i m[4], k;

#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) {
            __m128i *now = &m[i & 3], newest = m[(i + 3) & 3];

            if (i < 4)
                *now = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + 16 * i)), swap);
            else
                *now = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(*now, m[(i + 1) & 3]),
                                                          _mm_alignr_epi8(newest, m[(i + 2) & 3], 4)),
                                            newest);
            k = _mm_add_epi32(*now, _mm_loadu_si128((const __m128i *)(constants + 4 * i)));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, k);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(k, 0x0e));
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    low = _mm_shuffle_epi32(abef, 0x1b);
    high = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(low, high, 0xf0));
    _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(high, low, 8));
}

/* CPUID leaf 7, EBX bit 29: SHA; leaf 1, ECX bit 19: SSE4.1 */
static bool has_x86(void) {
    unsigned a, b = 0, c = 0, d;
    bool sha = __get_cpuid_count(7, 0, &a, &b, &c, &d) && b & 1u << 29;

    return sha && __get_cpuid(1, &a, &b, &c, &d) && c & 1u << 19;
}

static void blocks(uint32_t state[8], const unsigned char *data, size_t count) {
    static int known; /* 0: not yet; the same whoever finds out */

    if (__atomic_load_n(&known, __ATOMIC_RELAXED) == 0)
        __atomic_store_n(&known, has_x86() ? 1 : -1, __ATOMIC_RELAXED);
    if (__atomic_load_n(&known, __ATOMIC_RELAXED) > 0)
        blocks_x86(state, data, count);
    else
        blocks_plain(state, data, count);
}
#else
#define blocks blocks_plain
#endif

void sha256_init(Sha256 *s) {
    static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

    memcpy(s->state, start, sizeof(start));
    s->len = 0;
}

void sha256_add(Sha256 *s, const void *data, size_t len) {
    const unsigned char *bytes = data;
    size_t have = s->len % BLOCK, part = have ? MIN(len, BLOCK - have) : 0;

    s->len += len;
    memcpy(s->block + have, bytes, part);
    if (part && have + part == BLOCK)
        blocks(s->state, s->block, 1);
    if (have && have + part < BLOCK)
        return;
    blocks(s->state, bytes + part, (len - part) / BLOCK);
    memcpy(s->block, bytes + len - (len - part) % BLOCK, (len - part) % BLOCK);
}

void sha256_end(Sha256 *s, unsigned char out[SHA256_SIZE]) {
    unsigned char tail[2 * BLOCK] = {0x80};
    uint64_t bits = s->len * 8;
    size_t pad = (s->len % BLOCK < 56 ? 56 : 56 + BLOCK) - s->len % BLOCK;

    for (size_t i = 0; i < 8; i++)
        tail[pad + i] = (unsigned char)(bits >> (56 - 8 * i));
    sha256_add(s, tail, pad + 8);
    for (size_t i = 0; i < SHA256_SIZE; i++)
        out[i] = (unsigned char)(s->state[i / 4] >> (24 - 8 * (i % 4)));
}

void sha256_end_hex(Sha256 *s, char out[SHA256_HEX]) {
    unsigned char hash[SHA256_SIZE];

    sha256_end(s, hash);
    str_hex(hash, sizeof(hash), out);
}
