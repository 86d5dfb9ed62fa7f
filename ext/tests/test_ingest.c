/* The ingest pass against loops that say the same in the plainest way. Built with sanitizers by the Makefile here. */
#include "ingest.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures = 0;

#define CHECK(truth)                                                       \
    do {                                                                   \
        if (!(truth)) {                                                    \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #truth);    \
            failures++;                                                    \
        }                                                                  \
    } while (0)

enum { BANDS = 3, HEIGHT = 5, WIDTH = 11, PIXELS = HEIGHT * WIDTH, COUNT = BANDS * PIXELS };

static const char *const TYPES[] = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"};

static int same(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

/* Bytes of a small whole number, least significant first, as the named type stores it. */
static void encode(const char *type, int number, unsigned char *bytes)
{
    const size_t size = (size_t)(type[1] - '0');
    uint64_t bits = (uint64_t)(int64_t)number;
    if (strcmp(type, "f4") == 0) {
        const float value = (float)number;
        uint32_t narrow;
        memcpy(&narrow, &value, 4);
        bits = narrow;
    } else if (strcmp(type, "f8") == 0) {
        const double value = number;
        memcpy(&bits, &value, 8);
    } else if (strcmp(type, "f2") == 0) {
        int exponent = 0;
        const double fraction = frexp(abs(number), &exponent); /* in [0.5, 1) */
        bits = number == 0 ? 0 : (uint64_t)((exponent + 14) << 10) + (uint64_t)((fraction * 2 - 1) * 1024);
        bits |= number < 0 ? 0x8000u : 0;
    }
    for (size_t at = 0; at < size; at++) {
        bytes[at] = (unsigned char)(bits >> (8 * at));
    }
}

static int number_at(const char *type, size_t at)
{
    const int number = (int)(at * 29 % 101);
    return type[0] == 'u' ? number : number - 50;
}

/* Every type, byte order, layout and misalignment. */
static void test_conversion(const char *type, char order, ingest_layout layout, size_t offset)
{
    const size_t size = (size_t)(type[1] - '0');
    const char name[] = {order, type[0], type[1], 0};
    unsigned char *memory = malloc(COUNT * size + offset), *wire = memory + offset;
    float *out = malloc(COUNT * sizeof *out);
    ingest_census census[BANDS];
    ingest_dtype dtype;
    uint64_t digest;
    for (size_t band = 0; band < BANDS; band++) {
        for (size_t pixel = 0; pixel < PIXELS; pixel++) {
            unsigned char little[8];
            const size_t at = layout == INGEST_CHW ? band * PIXELS + pixel : pixel * BANDS + band;
            encode(type, number_at(type, band * PIXELS + pixel), little);
            for (size_t byte = 0; byte < size; byte++) {
                wire[at * size + byte] = little[order == '>' ? size - 1 - byte : byte];
            }
        }
    }
    CHECK(ingest_parse_dtype(name, &dtype) == INGEST_OK);
    CHECK(ingest_row(wire, COUNT * size, dtype, layout, BANDS, PIXELS, out, COUNT * sizeof *out, census, &digest) ==
          INGEST_OK);
    for (size_t band = 0; band < BANDS; band++) {
        size_t zeros = 0;
        float low = INFINITY, high = -INFINITY;
        for (size_t pixel = 0; pixel < PIXELS; pixel++) {
            const float expected = (float)number_at(type, band * PIXELS + pixel);
            CHECK(out[band * PIXELS + pixel] == expected);
            zeros += expected == 0.0f;
            low = expected < low ? expected : low;
            high = expected > high ? expected : high;
        }
        CHECK(census[band].finite == PIXELS && census[band].zeros == zeros);
        CHECK(census[band].low == low && census[band].high == high);
    }
    CHECK(digest == ingest_digest(out, COUNT));
    free(memory);
    free(out);
}

static void test_census_of_bad_pixels(void)
{
    float values[] = {NAN, INFINITY, -INFINITY, -0.0f, 0.0f, 3e38f, -1e-45f, NAN, NAN, INFINITY, NAN, -INFINITY};
    float out[12];
    ingest_census census[2];
    ingest_dtype dtype;
    uint64_t digest;
    CHECK(ingest_parse_dtype("=f4", &dtype) == INGEST_OK);
    CHECK(ingest_row(values, sizeof values, dtype, INGEST_CHW, 2, 6, out, sizeof out, census, &digest) == INGEST_OK);
    CHECK(census[0].finite == 3 && census[0].zeros == 2 && census[0].low == 0.0f && census[0].high == 3e38f);
    CHECK(census[1].finite == 1 && census[1].zeros == 0 && census[1].low == -1e-45f && census[1].high == -1e-45f);
    for (size_t at = 0; at < 12; at++) {
        CHECK(same(out[at], values[at]));
    }
    CHECK(ingest_row(values + 7, 5 * sizeof *values, dtype, INGEST_CHW, 1, 5, out, 5 * sizeof *out, census, &digest) ==
          INGEST_OK);
    CHECK(census[0].finite == 0 && isnan(census[0].low) && isnan(census[0].high));
}

/* A plane longer than the census counts at a time. */
static void test_large_plane(void)
{
    const size_t count = 200003;
    float *values = malloc(count * sizeof *values), *out = malloc(count * sizeof *out);
    ingest_census census;
    ingest_dtype dtype;
    uint64_t digest;
    for (size_t at = 0; at < count; at++) {
        values[at] = (float)(at % 1000);
    }
    values[70000] = NAN;
    values[count - 1] = -5.0f;
    CHECK(ingest_parse_dtype("=f4", &dtype) == INGEST_OK);
    CHECK(ingest_row(values, count * sizeof *values, dtype, INGEST_HWC, 1, count, out, count * sizeof *out, &census,
                     &digest) == INGEST_OK);
    CHECK(census.finite == count - 1 && census.zeros == 200 && census.low == -5.0f && census.high == 999.0f);
    free(values);
    free(out);
}

/* However many pixels a plane has, and however many of them the census counts at a time. */
static void test_digest_of_planes(void)
{
    static const size_t sizes[] = {1, 8, 15, 16, 24, 48, 65536, 65539, 65552};
    ingest_census census[3];
    ingest_dtype dtype;
    uint64_t digest;
    CHECK(ingest_parse_dtype("=f4", &dtype) == INGEST_OK);
    for (size_t row = 0; row < sizeof sizes / sizeof *sizes; row++) {
        const size_t pixels = sizes[row], size = 3 * pixels * sizeof(float);
        float *values = malloc(size), *out = malloc(size);
        for (size_t at = 0; at < 3 * pixels; at++) {
            values[at] = (float)at;
        }
        for (int layout = INGEST_CHW; layout <= INGEST_HWC; layout++) {
            CHECK(ingest_row(values, size, dtype, (ingest_layout)layout, 3, pixels, out, size, census, &digest) ==
                  INGEST_OK);
            CHECK(digest == ingest_digest(out, 3 * pixels));
        }
        free(values);
        free(out);
    }
}

static void test_half_floats(void)
{
    const uint16_t halves[] = {0x0000, 0x8000, 0x0001, 0x83ff, 0x0400, 0x3c00, 0xfbff, 0x7c00, 0xfc00, 0x7e01};
    const float expected[] = {0.0f,  -0.0f,     0x1p-24f,  -0x3ffp-24f, 0x1p-14f,
                              1.0f, -65504.0f, INFINITY, -INFINITY,   NAN};
    float out[10];
    ingest_census census;
    ingest_dtype dtype;
    uint64_t digest;
    CHECK(ingest_parse_dtype("=f2", &dtype) == INGEST_OK);
    CHECK(ingest_row(halves, sizeof halves, dtype, INGEST_CHW, 1, 10, out, sizeof out, &census, &digest) == INGEST_OK);
    for (size_t at = 0; at < 10; at++) {
        CHECK(same(out[at], expected[at]));
    }
}

static void test_empty(void)
{
    float out[1];
    ingest_census census[2];
    ingest_dtype dtype;
    uint64_t digest = 0;
    CHECK(ingest_parse_dtype("<f4", &dtype) == INGEST_OK);
    CHECK(ingest_row("", 0, dtype, INGEST_CHW, 2, 0, out, 0, census, &digest) == INGEST_OK);
    CHECK(digest == 0xEF46DB3751D8E999u && census[1].finite == 0 && isnan(census[1].low));
    CHECK(ingest_row("", 0, dtype, INGEST_HWC, 0, 6, out, 0, census, &digest) == INGEST_OK);
}

/* Digests of the bytes 11, 48, 85, ... (steps of 37) as the reference implementation of XXH64 gives them. */
static void test_digest(void)
{
    static const struct {
        size_t count;
        uint64_t digest;
    } known[] = {
        {0, 0xEF46DB3751D8E999u},
        {1, 0xFB1E5CF2F1AE4D95u},
        {2, 0x57CB2B7521F3E21Au},
        {3, 0x2F53B00266039E64u},
        {7, 0xFF5C77EF1446F7E5u},
        {8, 0xCC6B8AAADA790B2Du},
        {9, 0xBEBB6D8C24FB3CFAu},
        {15, 0x2BAFA54DFA33D5A4u},
        {16, 0x155CCCE4BF32BEFCu},
        {17, 0x775582F16A463143u},
        {18, 0x657FC372B173AAE2u},
        {1000, 0x2E74CE5F02B70DECu},
    };
    float values[1000];
    for (size_t row = 0; row < sizeof known / sizeof *known; row++) {
        for (size_t at = 0; at < known[row].count; at++) {
            uint32_t bits = 0;
            for (size_t byte = 0; byte < 4; byte++) {
                bits |= (uint32_t)(unsigned char)((4 * at + byte) * 37 + 11) << (8 * byte);
            }
            memcpy(values + at, &bits, sizeof bits);
        }
        CHECK(ingest_digest(values, known[row].count) == known[row].digest);
    }
}

static void test_refusals(void)
{
    static const char *const wrong[] = {"", "f4", "<f1", "|f4", "<f3", "<c8", "<f44", "?f4", "<i9", "<f:"};
    float out[8];
    char bytes[32] = {0};
    ingest_census census[4];
    ingest_dtype dtype;
    uint64_t digest;
    for (size_t at = 0; at < sizeof wrong / sizeof *wrong; at++) {
        CHECK(ingest_parse_dtype(wrong[at], &dtype) == INGEST_DTYPE);
    }
    CHECK(ingest_parse_dtype("|u1", &dtype) == INGEST_OK && dtype.size == 1 && !dtype.swapped);
    CHECK(ingest_parse_dtype("<f4", &dtype) == INGEST_OK);
    CHECK(ingest_row(bytes, 31, dtype, INGEST_CHW, 2, 4, out, 32, census, &digest) == INGEST_WIRE_SIZE);
    CHECK(ingest_row(bytes, 16, dtype, INGEST_CHW, 2, 4, out, 32, census, &digest) == INGEST_WIRE_SIZE);
    CHECK(ingest_row(bytes, 32, dtype, INGEST_CHW, 3, 4, out, 32, census, &digest) == INGEST_OUT_SIZE);
    CHECK(ingest_row(bytes, 0, dtype, INGEST_CHW, SIZE_MAX / 2 + 2, 2, out, 8, census, &digest) == INGEST_OUT_SIZE);
    CHECK(ingest_row(bytes, 28, dtype, INGEST_CHW, 1, 7, (float *)(void *)((char *)out + 1), 28, census, &digest) ==
          INGEST_ALIGNMENT);
    for (ingest_status status = INGEST_OK; status <= INGEST_ALIGNMENT; status++) {
        CHECK(strlen(ingest_message(status)) > 0);
    }
}

int main(void)
{
    for (size_t type = 0; type < sizeof TYPES / sizeof *TYPES; type++) {
        for (size_t offset = 0; offset < 8; offset++) {
            test_conversion(TYPES[type], '<', INGEST_CHW, offset);
            test_conversion(TYPES[type], '>', INGEST_CHW, offset);
            test_conversion(TYPES[type], '<', INGEST_HWC, offset);
            test_conversion(TYPES[type], '>', INGEST_HWC, offset);
        }
    }
    test_census_of_bad_pixels();
    test_large_plane();
    test_digest_of_planes();
    test_half_floats();
    test_empty();
    test_digest();
    test_refusals();
    if (failures > 0) {
        fprintf(stderr, "%d checks failed\n", failures);
        return 1;
    }
    puts("ingest: all checks passed");
    return 0;
}
