#include "ingest.h"

#include <math.h>
#include <string.h>

static int machine_is_little(void)
{
    const uint16_t one = 1;
    unsigned char first;
    memcpy(&first, &one, 1);
    return first == 1;
}

ingest_status ingest_parse_dtype(const char *text, ingest_dtype *dtype)
{
    if (strlen(text) != 3 || strchr("<>|=", text[0]) == NULL || strchr("fiu", text[1]) == NULL) {
        return INGEST_DTYPE;
    }
    const size_t size = (size_t)(text[2] - '0');
    const int known = size == 2 || size == 4 || size == 8 || (size == 1 && text[1] != 'f');
    if (!known || (text[0] == '|' && size != 1)) {
        return INGEST_DTYPE;
    }
    dtype->kind = text[1];
    dtype->size = size;
    dtype->swapped = size > 1 && ((text[0] == '<' && !machine_is_little()) || (text[0] == '>' && machine_is_little()));
    return INGEST_OK;
}

/*
 * What is inlined into two functions, one of them for processors with AVX2, is compiled for either; which one runs is
 * decided when it is called.
 */
#if defined(__x86_64__) && defined(__GNUC__)
#define INLINED static inline __attribute__((always_inline))
#define WITH_AVX2 __attribute__((target("avx2")))
#define HAS_AVX2 __builtin_cpu_supports("avx2")
#else
#define INLINED static inline
#define WITH_AVX2
#define HAS_AVX2 0
#endif
#if defined(__GNUC__)
#define PREFETCH(at, written) __builtin_prefetch((const void *)(at), written)
#else
#define PREFETCH(at, written) ((void)(at))
#endif

/* ---- numbers of the wire to float ---- */

INLINED uint8_t swap1(uint8_t bits)
{
    return bits;
}

INLINED uint16_t swap2(uint16_t bits)
{
    return (uint16_t)(bits << 8 | bits >> 8);
}

INLINED uint32_t swap4(uint32_t bits)
{
    return bits << 24 | (bits & 0xff00u) << 8 | (bits >> 8 & 0xff00u) | bits >> 24;
}

INLINED uint64_t swap8(uint64_t bits)
{
    return (uint64_t)swap4((uint32_t)bits) << 32 | swap4((uint32_t)(bits >> 32));
}

INLINED float half_to_float(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    const uint32_t exponent = half >> 10 & 0x1fu;
    const uint32_t fraction = half & 0x3ffu;
    if (exponent == 0) {
        const float size = (float)fraction * 0x1p-24f;
        return sign ? -size : size;
    }
    const uint32_t wide = exponent == 0x1fu ? 0xffu : exponent + 112u;
    const uint32_t bits = sign | wide << 23 | fraction << 13;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#define AS_FLOAT(type, value) ((float)(value))
#define AS_HALF(type, value) half_to_float(value)

/* One loop a type, byte order and stride known at compile time where that pays: contiguous and native is the usual case. */
#define LOOP(bits_type, type, swap, as, step)                  \
    for (size_t at = 0; at < count; at++) {                    \
        bits_type bits;                                        \
        type value;                                            \
        memcpy(&bits, wire + at * (step), sizeof bits);        \
        bits = swap(bits);                                     \
        memcpy(&value, &bits, sizeof value);                   \
        out[at] = as(type, value);                             \
    }

#define SAME(bits) (bits)

#define CONVERTER(linkage, name, bits_type, type, swap, as)                                                                  \
    linkage void name(const unsigned char *restrict wire, size_t stride, size_t count, int swapped,                     \
                      float *restrict out)                                                                              \
    {                                                                                                                   \
        if (stride == sizeof(type) && swapped) {                                                                        \
            LOOP(bits_type, type, swap, as, sizeof(type))                                                               \
        } else if (stride == sizeof(type)) {                                                                            \
            LOOP(bits_type, type, SAME, as, sizeof(type))                                                               \
        } else if (swapped) {                                                                                           \
            LOOP(bits_type, type, swap, as, stride)                                                                     \
        } else {                                                                                                        \
            LOOP(bits_type, type, SAME, as, stride)                                                                     \
        }                                                                                                               \
    }

CONVERTER(static, from_f2, uint16_t, uint16_t, swap2, AS_HALF)
CONVERTER(INLINED, from_f4, uint32_t, float, swap4, AS_FLOAT)
CONVERTER(static, from_f8, uint64_t, double, swap8, AS_FLOAT)
CONVERTER(static, from_i1, uint8_t, int8_t, swap1, AS_FLOAT)
CONVERTER(static, from_i2, uint16_t, int16_t, swap2, AS_FLOAT)
CONVERTER(static, from_i4, uint32_t, int32_t, swap4, AS_FLOAT)
CONVERTER(static, from_i8, uint64_t, int64_t, swap8, AS_FLOAT)
CONVERTER(static, from_u1, uint8_t, uint8_t, swap1, AS_FLOAT)
CONVERTER(static, from_u2, uint16_t, uint16_t, swap2, AS_FLOAT)
CONVERTER(static, from_u4, uint32_t, uint32_t, swap4, AS_FLOAT)
CONVERTER(static, from_u8, uint64_t, uint64_t, swap8, AS_FLOAT)

/* Three bands side by side, the usual cube, to three planes in one pass. */
INLINED void part_bands(const unsigned char *restrict wire, size_t count, int swapped, float *restrict first,
                        float *restrict second, float *restrict third)
{
    for (size_t at = 0; at < count; at++) {
        uint32_t a, b, c;
        memcpy(&a, wire + 12 * at, sizeof a);
        memcpy(&b, wire + 12 * at + 4, sizeof b);
        memcpy(&c, wire + 12 * at + 8, sizeof c);
        a = swapped ? swap4(a) : a;
        b = swapped ? swap4(b) : b;
        c = swapped ? swap4(c) : c;
        memcpy(first + at, &a, sizeof a);
        memcpy(second + at, &b, sizeof b);
        memcpy(third + at, &c, sizeof c);
    }
}

INLINED int is_float32(ingest_dtype dtype)
{
    return dtype.kind == 'f' && dtype.size == sizeof(float);
}

typedef void (*converter)(const unsigned char *, size_t, size_t, int, float *);

static converter converter_of(ingest_dtype dtype)
{
    switch (dtype.size) {
    case 1:
        return dtype.kind == 'i' ? from_i1 : from_u1;
    case 2:
        return dtype.kind == 'f' ? from_f2 : dtype.kind == 'i' ? from_i2 : from_u2;
    case 4:
        return dtype.kind == 'i' ? from_i4 : from_u4;
    default:
        return dtype.kind == 'f' ? from_f8 : dtype.kind == 'i' ? from_i8 : from_u8;
    }
}

INLINED void convert_plane(const unsigned char *wire, size_t stride, size_t count, ingest_dtype dtype, float *out)
{
    if (is_float32(dtype)) {
        from_f4(wire, stride, count, dtype.swapped, out);
    } else {
        converter_of(dtype)(wire, stride, count, dtype.swapped, out);
    }
}

/* ---- digest: XXH64 as published (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md), over floats ---- */

#define PRIME_1 0x9E3779B185EBCA87u
#define PRIME_2 0xC2B2AE3D27D4EB4Fu
#define PRIME_3 0x165667B19E3779F9u
#define PRIME_4 0x85EBCA77C2B2AE63u
#define PRIME_5 0x27D4EB2F165667C5u

INLINED uint64_t rotate(uint64_t word, int by)
{
    return word << by | word >> (64 - by);
}

INLINED uint64_t mix(uint64_t lane, uint64_t word)
{
    return rotate(lane + word * PRIME_2, 31) * PRIME_1;
}

INLINED uint64_t merge(uint64_t hash, uint64_t lane)
{
    return (hash ^ mix(0, lane)) * PRIME_1 + PRIME_4;
}

INLINED uint64_t one_float(const float *values)
{
    uint32_t bits;
    memcpy(&bits, values, sizeof bits);
    return bits;
}

/* Two floats as the word that their little-endian bytes make. */
INLINED uint64_t two_floats(const float *values)
{
    return one_float(values) | one_float(values + 1) << 32;
}

/* Eight floats, two a lane. */
INLINED void take_eight(uint64_t lanes[4], const float *values)
{
    lanes[0] = mix(lanes[0], two_floats(values));
    lanes[1] = mix(lanes[1], two_floats(values + 2));
    lanes[2] = mix(lanes[2], two_floats(values + 4));
    lanes[3] = mix(lanes[3], two_floats(values + 6));
}

ingest_hash ingest_start(void)
{
    return (ingest_hash){{PRIME_1 + PRIME_2, PRIME_2, 0, 0 - PRIME_1}, 0};
}

uint64_t ingest_finish(ingest_hash begun, const float *values, size_t count)
{
    uint64_t hash = PRIME_5;
    size_t at = begun.taken;
    for (; at + 8 <= count; at += 8) {
        take_eight(begun.lanes, values + at);
    }
    if (count >= 8) {
        const uint64_t *lanes = begun.lanes;
        hash = rotate(lanes[0], 1) + rotate(lanes[1], 7) + rotate(lanes[2], 12) + rotate(lanes[3], 18);
        hash = merge(merge(merge(merge(hash, lanes[0]), lanes[1]), lanes[2]), lanes[3]);
    }
    hash += (uint64_t)count * sizeof(float);
    for (; at + 2 <= count; at += 2) {
        hash = rotate(hash ^ mix(0, two_floats(values + at)), 27) * PRIME_1 + PRIME_4;
    }
    if (at < count) {
        hash = rotate(hash ^ one_float(values + at) * PRIME_1, 23) * PRIME_2 + PRIME_3;
    }
    hash = (hash ^ hash >> 33) * PRIME_2;
    hash = (hash ^ hash >> 29) * PRIME_3;
    return hash ^ hash >> 32;
}

uint64_t ingest_digest(const float *values, size_t count)
{
    return ingest_finish(ingest_start(), values, count);
}

/* ---- census ---- */

enum {
    LINE = 64,     /* bytes that come from memory together */
    AHEAD = 2048,  /* bytes: far enough that they are there when their turn comes, however far the memory is */
    STEP = 256,    /* pixels converted between two requests for memory */
    LANES = 16,      /* counts and extremes are kept in lanes, so that the loop is one of vectors on every compiler */
    CHUNK = 1 << 16 /* counts within a chunk stay 32 bits wide, as wide as the pixels */
};

INLINED uint32_t magnitude_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits & 0x7fffffffu;
}

INLINED int is_finite(float value)
{
    return magnitude_bits(value) < 0x7f800000u;
}

INLINED void count_pixel(float value, uint32_t *finite, uint32_t *zeros, float *low, float *high)
{
    const int good = is_finite(value);
    const float for_low = good ? value : INFINITY, for_high = good ? value : -INFINITY;
    *finite += (uint32_t)good;
    *zeros += (uint32_t)(magnitude_bits(value) == 0);
    *low = for_low < *low ? for_low : *low;
    *high = for_high > *high ? for_high : *high;
}

/* The digest keeps other parts of a processor busy than the census: side by side they take little more than one. */
INLINED void count_chunk(const float *values, size_t count, ingest_census *census, ingest_hash *hash)
{
    uint64_t lanes[4];
    memcpy(lanes, hash->lanes, sizeof lanes);
    uint32_t finite[LANES] = {0}, zeros[LANES] = {0};
    float low[LANES], high[LANES];
    for (int lane = 0; lane < LANES; lane++) {
        low[lane] = INFINITY;
        high[lane] = -INFINITY;
    }
    size_t at = 0;
    for (; at + LANES <= count; at += LANES) {
        for (int lane = 0; lane < LANES; lane++) {
            count_pixel(values[at + (size_t)lane], finite + lane, zeros + lane, low + lane, high + lane);
        }
        take_eight(lanes, values + at);
        take_eight(lanes, values + at + 8);
    }
    memcpy(hash->lanes, lanes, sizeof lanes);
    hash->taken += at;
    for (; at < count; at++) {
        count_pixel(values[at], finite, zeros, low, high);
    }
    for (int lane = 0; lane < LANES; lane++) {
        census->finite += finite[lane];
        census->zeros += zeros[lane];
        census->low = low[lane] < census->low ? low[lane] : census->low;
        census->high = high[lane] > census->high ? high[lane] : census->high;
    }
}

/* Planes that end within a step leave the whole digest to ingest_finish: it takes in a row without a gap. */
INLINED ingest_census count_plane(const float *values, size_t count, ingest_hash *hash)
{
    ingest_census census = {0, 0, INFINITY, -INFINITY};
    ingest_hash spare = *hash;
    hash = count % LANES == 0 ? hash : &spare;
    for (size_t start = 0; start < count; start += CHUNK) {
        count_chunk(values + start, count - start < CHUNK ? count - start : CHUNK, &census, hash);
    }
    if (census.finite == 0) {
        census.low = NAN;
        census.high = NAN;
    }
    return census;
}

/* ---- the pass ---- */

/* Ask for memory that is read, or written, soon; asking beyond its end does no harm. */
INLINED void ask_to_read(const void *from, size_t size)
{
    for (size_t at = 0; at < size; at += LINE) {
        PREFETCH((uintptr_t)from + AHEAD + at, 0);
    }
}

INLINED void ask_to_write(const void *to, size_t size)
{
    for (size_t at = 0; at < size; at += LINE) {
        PREFETCH((uintptr_t)to + AHEAD + at, 1);
    }
}

INLINED void pass_over_row(const unsigned char *wire, ingest_dtype dtype, ingest_layout layout, size_t bands,
                           size_t pixels, float *out, ingest_census *census, ingest_hash *hash)
{
    const size_t stride = layout == INGEST_CHW ? dtype.size : dtype.size * bands;
    const size_t next_band = layout == INGEST_CHW ? dtype.size * pixels : dtype.size;
    const int parted = layout == INGEST_HWC && bands == 3 && is_float32(dtype);
    for (size_t start = 0; parted && start < pixels; start += STEP) {
        const size_t count = pixels - start < STEP ? pixels - start : STEP;
        const unsigned char *from = wire + start * stride;
        float *to = out + start;
        ask_to_read(from, count * stride);
        ask_to_write(to, count * sizeof *to);
        ask_to_write(to + pixels, count * sizeof *to);
        ask_to_write(to + 2 * pixels, count * sizeof *to);
        if (dtype.swapped) {
            part_bands(from, count, 1, to, to + pixels, to + 2 * pixels);
        } else {
            part_bands(from, count, 0, to, to + pixels, to + 2 * pixels);
        }
    }
    for (size_t band = 0; band < bands; band++) {
        float *plane = out + band * pixels;
        for (size_t start = 0; !parted && start < pixels; start += STEP) {
            const size_t count = pixels - start < STEP ? pixels - start : STEP;
            const unsigned char *from = wire + band * next_band + start * stride;
            ask_to_read(from, count * stride);
            ask_to_write(plane + start, count * sizeof *plane);
            convert_plane(from, stride, count, dtype, plane + start);
        }
        census[band] = count_plane(plane, pixels, hash);
    }
}

WITH_AVX2 static void pass_with_avx2(const unsigned char *wire, ingest_dtype dtype, ingest_layout layout, size_t bands,
                                     size_t pixels, float *out, ingest_census *census, ingest_hash *hash)
{
    pass_over_row(wire, dtype, layout, bands, pixels, out, census, hash);
}

static void pass_anywhere(const unsigned char *wire, ingest_dtype dtype, ingest_layout layout, size_t bands,
                          size_t pixels, float *out, ingest_census *census, ingest_hash *hash)
{
    pass_over_row(wire, dtype, layout, bands, pixels, out, census, hash);
}

static void pass(const void *wire, ingest_dtype dtype, ingest_layout layout, size_t bands, size_t pixels, float *out,
                 ingest_census *census, ingest_hash *hash)
{
    (HAS_AVX2 ? pass_with_avx2 : pass_anywhere)(wire, dtype, layout, bands, pixels, out, census, hash);
}

ingest_census ingest_plane(const void *wire, ingest_dtype dtype, size_t pixels, float *out, ingest_hash *hash)
{
    ingest_census census;
    pass(wire, dtype, INGEST_CHW, 1, pixels, out, &census, hash);
    return census;
}

/* Whether a * b == product, without overflow. */
static int is_product(size_t a, size_t b, size_t product)
{
    return a == 0 || b == 0 ? product == 0 : product % a == 0 && product / a == b;
}

ingest_status ingest_row(const void *wire, size_t wire_size, ingest_dtype dtype, ingest_layout layout, size_t bands,
                         size_t pixels, float *out, size_t out_size, ingest_census *census, uint64_t *digest)
{
    if (out_size % sizeof(float) != 0 || !is_product(bands, pixels, out_size / sizeof(float))) {
        return INGEST_OUT_SIZE;
    }
    if (!is_product(out_size / sizeof(float), dtype.size, wire_size)) {
        return INGEST_WIRE_SIZE;
    }
    if ((uintptr_t)out % sizeof(float) != 0) {
        return INGEST_ALIGNMENT;
    }
    ingest_hash hash = ingest_start();
    pass(wire, dtype, layout, pixels > 0 ? bands : 0, pixels, out, census, &hash);
    for (size_t band = 0; pixels == 0 && band < bands; band++) {
        census[band] = (ingest_census){0, 0, NAN, NAN};
    }
    *digest = ingest_finish(hash, out, bands * pixels);
    return INGEST_OK;
}

const char *ingest_message(ingest_status status)
{
    switch (status) {
    case INGEST_OK:
        return "ok";
    case INGEST_DTYPE:
        return "dtype must be like '<f4': a byte order, f, i or u, and a size of at most 8 bytes";
    case INGEST_WIRE_SIZE:
        return "the wire does not hold exactly as many numbers as the row";
    case INGEST_OUT_SIZE:
        return "the row does not hold exactly (band, y, x) floats";
    default:
        return "the row is not aligned";
    }
}
