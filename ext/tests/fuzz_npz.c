/*
 * What any bytes do to the reader of archives and to the ingest pass. LLVMFuzzerTestOneInput is what libFuzzer calls, and
 * fuzz_driver.c where there is no libFuzzer. More is asked than that nothing crashes: whatever is accepted has to have the
 * pixels, the census and the checksum that the plainest loops find in the same bytes.
 */
#include "checksum.h"
#include "npz.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size);

#define MUST(truth)                                                        \
    do {                                                                   \
        if (!(truth)) {                                                    \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #truth);    \
            abort();                                                       \
        }                                                                  \
    } while (0)

enum { BANDS = 3, END_SIZE = 22, ENTRY_SIZE = 46, LOCAL_SIZE = 30, LIMIT = 1 << 20, MAX_COUNT = 1 << 16 };

static const char NAMES[] = "image_g\0image_r\0image_z";

static size_t number_at(const unsigned char *at, size_t bytes)
{
    size_t number = 0;
    while (bytes-- > 0) {
        number = number << 8 | at[bytes];
    }
    return number;
}

/* A copy that ends where its memory ends, so that a look beyond is seen. */
static unsigned char *copy_of(const unsigned char *bytes, size_t size)
{
    unsigned char *copy = malloc(size > 0 ? size : 1);
    MUST(copy != NULL);
    if (size > 0) {
        memcpy(copy, bytes, size);
    }
    return copy;
}

/* ---- the pass, against the plainest loop ---- */

static float plain_number(const unsigned char *at, ingest_dtype dtype, int big)
{
    unsigned char little[8] = {0};
    for (size_t byte = 0; byte < dtype.size; byte++) {
        little[byte] = at[big ? dtype.size - 1 - byte : byte];
    }
    const uint64_t bits = number_at(little, 8);
    const int width = (int)(8 * dtype.size);
    if (dtype.kind == 'u') {
        return (float)bits;
    }
    if (dtype.kind == 'i') {
        const int negative = (bits >> (width - 1) & 1) != 0;
        return negative ? -(float)((width < 64 ? (uint64_t)1 << width : 0) - bits) : (float)bits;
    }
    if (dtype.size == 8) {
        double value;
        memcpy(&value, &bits, sizeof value);
        return (float)value;
    }
    if (dtype.size == 4) {
        const uint32_t narrow = (uint32_t)bits;
        float value;
        memcpy(&value, &narrow, sizeof value);
        return value;
    }
    const int exponent = (int)(bits >> 10 & 31u);
    const double fraction = (double)(bits & 1023u) / 1024;
    const double size = exponent == 31  ? (fraction > 0 ? (double)NAN : (double)INFINITY)
                        : exponent == 0 ? ldexp(fraction, -14)
                                        : ldexp(1 + fraction, exponent - 15);
    return (float)((bits >> 15 & 1u) != 0 ? -size : size);
}

static void check_plane(const unsigned char *wire, size_t stride, ingest_dtype dtype, int big, const float *out,
                        size_t pixels, const ingest_census *census)
{
    size_t finite = 0, zeros = 0;
    float low = INFINITY, high = -INFINITY;
    for (size_t at = 0; at < pixels; at++) {
        const float expected = plain_number(wire + at * stride, dtype, big);
        MUST((isnan(expected) && isnan(out[at])) || memcmp(&expected, out + at, sizeof expected) == 0);
        if (isfinite(expected)) {
            finite++;
            zeros += expected == 0;
            low = expected < low ? expected : low;
            high = expected > high ? expected : high;
        }
    }
    MUST(census->finite == finite && census->zeros == zeros);
    MUST(finite > 0 ? census->low == low && census->high == high : isnan(census->low) && isnan(census->high));
}

static int is_big(const char *type)
{
    const uint16_t one = 1;
    unsigned char first;
    memcpy(&first, &one, 1);
    return type[0] == '>' || (type[0] == '=' && first == 0);
}

/* Any type, layout, shape and alignment: the first eight bytes say which, the others are the wire. */
static void fuzz_row(const unsigned char *bytes, size_t size)
{
    if (size < 8) {
        return;
    }
    const char type[] = {(char)bytes[0], (char)bytes[1], (char)bytes[2], 0};
    const ingest_layout layout = bytes[3] & 1 ? INGEST_HWC : INGEST_CHW;
    const size_t bands = bytes[4] % 5, pixels = bytes[5], offset = bytes[6] % 8, more = bytes[7];
    ingest_dtype dtype;
    if (ingest_parse_dtype(type, &dtype) != INGEST_OK) {
        return;
    }
    const size_t out_size = bands * pixels * sizeof(float), wire_size = size - 8 < offset ? 0 : size - 8 - offset;
    unsigned char *copy = copy_of(bytes + 8, size - 8);
    const unsigned char *wire = wire_size > 0 ? copy + offset : copy;
    float *out = malloc(out_size + 1);
    ingest_census census[5];
    uint64_t digest = 0;
    MUST(out != NULL);
    const size_t exact = bands * pixels * dtype.size <= wire_size && more % 4 != 0 ? bands * pixels * dtype.size : wire_size;
    const ingest_status status =
        ingest_row(wire, exact, dtype, layout, bands, pixels, out, out_size, census, &digest);
    MUST((status == INGEST_OK) == (exact == bands * pixels * dtype.size));
    for (size_t band = 0; status == INGEST_OK && band < bands; band++) {
        const size_t stride = layout == INGEST_CHW ? dtype.size : dtype.size * bands;
        const unsigned char *from = wire + band * (layout == INGEST_CHW ? dtype.size * pixels : dtype.size);
        check_plane(from, stride, dtype, is_big(type), out + band * pixels, pixels, census + band);
    }
    free(copy);
    free(out);
}

/* ---- archives ---- */

/* What "inflates" without a library: the bytes as they stand, in memory that ends with them. */
typedef struct {
    unsigned char *content;
} standin;

static const unsigned char *as_it_stands(void *context, const unsigned char *packed, size_t packed_size, size_t size)
{
    standin *held = context;
    free(held->content);
    held->content = packed_size == size ? copy_of(packed, size) : NULL;
    return held->content;
}

/* An npz of one member that is these bytes, with its checksum right: most of what is wrong lies behind the checksum. */
static void fuzz_plane(const unsigned char *bytes, size_t size)
{
    unsigned char *copy = copy_of(bytes, size);
    const npz_member member = {0, size, size, checksum(copy, size), 0};
    npz_plane plane;
    ingest_dtype dtype;
    MUST(checksum_by_tables(copy, size) == member.checksum);
    if (npz_read_plane(copy, &member, as_it_stands, NULL, &plane)) {
        MUST(ingest_parse_dtype(plane.type, &dtype) == INGEST_OK);
        MUST(plane.pixels + plane.height * plane.width * dtype.size == copy + size);
    }
    free(copy);
}

/* Make the checksum of every entry of a directory right, wherever the entry says that its bytes are. */
static void mend_checksums(unsigned char *archive, size_t size)
{
    for (size_t at = 0; at + ENTRY_SIZE <= size; at++) {
        if (memcmp(archive + at, "PK\x01\x02", 4) != 0) {
            continue;
        }
        const size_t packed_size = number_at(archive + at + 20, 4), offset = number_at(archive + at + 42, 4);
        if (offset > size || size - offset < LOCAL_SIZE) {
            continue;
        }
        const size_t start =
            offset + LOCAL_SIZE + number_at(archive + offset + 26, 2) + number_at(archive + offset + 28, 2);
        if (start <= size && packed_size <= size - start) {
            const uint32_t sum = checksum(archive + start, packed_size);
            for (size_t byte = 0; byte < 4; byte++) {
                archive[at + 16 + byte] = (unsigned char)(sum >> 8 * byte & 0xffu);
            }
        }
    }
}

/* What is accepted must be the planes that its own members hold. */
static void fuzz_archive(const unsigned char *bytes, size_t size, int mended)
{
    unsigned char *archive = copy_of(bytes, size);
    standin held = {NULL};
    npz_member members[BANDS];
    npz_plane plane;
    ingest_dtype dtype;
    if (mended) {
        mend_checksums(archive, size);
    }
    if (npz_find_members(archive, size, NAMES, BANDS, LIMIT, members) &&
        npz_read_plane(archive, members, as_it_stands, &held, &plane)) {
        const size_t height = plane.height, width = plane.width, pixels = height * width;
        float *out = malloc(BANDS * pixels * sizeof *out);
        ingest_census census[BANDS];
        uint64_t digest = 0;
        MUST(out != NULL && pixels <= size);
        if (npz_ingest(archive, size, NAMES, BANDS, height, width, LIMIT, as_it_stands, &held, out, census, &digest)) {
            MUST(digest == ingest_digest(out, BANDS * pixels));
            for (size_t band = 0; band < BANDS; band++) {
                MUST(npz_read_plane(archive, members + band, as_it_stands, &held, &plane));
                MUST(ingest_parse_dtype(plane.type, &dtype) == INGEST_OK);
                check_plane(plane.pixels, dtype.size, dtype, is_big(plane.type), out + band * pixels, pixels,
                            census + band);
            }
        }
        free(out);
    }
    free(held.content);
    free(archive);
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size)
{
    if (size <= MAX_COUNT) {
        fuzz_archive(bytes, size, 0);
        fuzz_archive(bytes, size, 1);
        fuzz_plane(bytes, size);
        fuzz_row(bytes, size);
    }
    return 0;
}
