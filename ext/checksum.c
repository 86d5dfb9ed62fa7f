#include "checksum.h"

#include <string.h>

/* Eight tables, so that eight bytes take eight look-ups that do not wait for each other. */
static void make_tables(uint32_t tables[8][256])
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t rest = byte;
        for (int bit = 0; bit < 8; bit++) {
            rest = rest >> 1 ^ (0xEDB88320u & (0u - (rest & 1u)));
        }
        tables[0][byte] = rest;
    }
    for (int table = 1; table < 8; table++) {
        for (uint32_t byte = 0; byte < 256; byte++) {
            const uint32_t before = tables[table - 1][byte];
            tables[table][byte] = before >> 8 ^ tables[0][before & 0xffu];
        }
    }
}

/* The tables are made anew for every piece of work: nothing is shared, so no thread waits or sees half a table. */
static uint32_t go_on_by_tables(uint32_t rest, const unsigned char *bytes, size_t size)
{
    uint32_t tables[8][256];
    make_tables(tables);
    for (; size >= 8; bytes += 8, size -= 8) {
        const uint32_t low = rest ^ ((uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
                                     (uint32_t)bytes[3] << 24);
        rest = tables[7][low & 0xffu] ^ tables[6][low >> 8 & 0xffu] ^ tables[5][low >> 16 & 0xffu] ^
               tables[4][low >> 24] ^ tables[3][bytes[4]] ^ tables[2][bytes[5]] ^ tables[1][bytes[6]] ^
               tables[0][bytes[7]];
    }
    for (; size > 0; bytes++, size--) {
        rest = rest >> 8 ^ tables[0][(rest ^ *bytes) & 0xffu];
    }
    return rest;
}

uint32_t checksum_by_tables(const unsigned char *bytes, size_t size)
{
    return ~go_on_by_tables(~0u, bytes, size);
}

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#define WITH_CARRYLESS __attribute__((target("pclmul,sse4.1")))

WITH_CARRYLESS static inline __m128i load(const unsigned char *bytes)
{
    return _mm_loadu_si128((const __m128i *)(const void *)bytes);
}

/* Move 128 bits of the remainder on by as many bits as the constants stand for, and take in what stands there. */
WITH_CARRYLESS static inline __m128i fold(__m128i rest, __m128i by, __m128i next)
{
    const __m128i low = _mm_clmulepi64_si128(rest, by, 0x00), high = _mm_clmulepi64_si128(rest, by, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

enum { AHEAD = 2048 }; /* far enough that bytes are there when their turn comes, however far the memory is */

/* Ask for memory that will be read soon; asking beyond its end does no harm. */
WITH_CARRYLESS static inline void ahead(uintptr_t at)
{
    _mm_prefetch((const char *)at, _MM_HINT_T0);
}

/*
 * Whole blocks of 16 bytes, at least 64 bytes: V. Gopal et al., "Fast CRC Computation for Generic Polynomials Using
 * PCLMULQDQ Instruction" (Intel, 2009); the constants are those of its table for this polynomial, reflected.
 */
WITH_CARRYLESS static uint32_t go_on_by_folding(uint32_t rest, const unsigned char *bytes, size_t size)
{
    const __m128i by_512 = _mm_set_epi64x(0x1c6e41596, 0x154442bd4);
    const __m128i by_128 = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);
    const __m128i by_64 = _mm_set_epi64x(0, 0x163cd6124);
    const __m128i barrett = _mm_set_epi64x(0x1f7011641, 0x1db710641);
    const __m128i words = _mm_setr_epi32(~0, 0, ~0, 0);
    __m128i a = _mm_xor_si128(load(bytes), _mm_cvtsi32_si128((int)rest));
    __m128i b = load(bytes + 16), c = load(bytes + 32), d = load(bytes + 48);
    for (bytes += 64, size -= 64; size >= 64; bytes += 64, size -= 64) {
        ahead((uintptr_t)bytes + AHEAD);
        a = fold(a, by_512, load(bytes));
        b = fold(b, by_512, load(bytes + 16));
        c = fold(c, by_512, load(bytes + 32));
        d = fold(d, by_512, load(bytes + 48));
    }
    a = fold(fold(fold(a, by_128, b), by_128, c), by_128, d);
    for (; size >= 16; bytes += 16, size -= 16) {
        a = fold(a, by_128, load(bytes));
    }
    a = _mm_xor_si128(_mm_srli_si128(a, 8), _mm_clmulepi64_si128(a, by_128, 0x10));
    b = _mm_srli_si128(a, 4);
    a = _mm_xor_si128(_mm_clmulepi64_si128(_mm_and_si128(a, words), by_64, 0x00), b);
    b = _mm_and_si128(_mm_clmulepi64_si128(_mm_and_si128(a, words), barrett, 0x10), words);
    a = _mm_xor_si128(a, _mm_clmulepi64_si128(b, barrett, 0x00));
    return (uint32_t)_mm_extract_epi32(a, 1);
}

/* A few bytes, bit by bit: not worth tables. */
static uint32_t go_on_by_bits(uint32_t rest, const unsigned char *bytes, size_t size)
{
    for (; size > 0; bytes++, size--) {
        rest ^= *bytes;
        for (int bit = 0; bit < 8; bit++) {
            rest = rest >> 1 ^ (0xEDB88320u & (0u - (rest & 1u)));
        }
    }
    return rest;
}

uint32_t checksum(const unsigned char *bytes, size_t size)
{
    if (size < 64) {
        return ~go_on_by_bits(~0u, bytes, size);
    }
    if (!__builtin_cpu_supports("pclmul") || !__builtin_cpu_supports("sse4.1")) {
        return checksum_by_tables(bytes, size);
    }
    const size_t whole = size - size % 16;
    return ~go_on_by_bits(go_on_by_folding(~0u, bytes, whole), bytes + whole, size - whole);
}

#else

uint32_t checksum(const unsigned char *bytes, size_t size)
{
    return checksum_by_tables(bytes, size);
}

#endif
