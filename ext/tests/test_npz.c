/* Archives that are whole, and the same with every byte changed and every end cut off, under the sanitizers. */
#include "checksum.h"
#include "npz.h"

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

enum { BANDS = 2, HEIGHT = 5, WIDTH = 7, PIXELS = HEIGHT * WIDTH, HEADER = 128, LIMIT = 1 << 20 };

static const char NAMES[] = "image_g\0image_r";
static const char *const FILES[BANDS] = {"image_g.npy", "image_r.npy"};

/* Where "inflating" is taking as it stands: only who calls it, and with what, is tested. */
static const unsigned char *as_it_stands(void *context, const unsigned char *packed, size_t packed_size, size_t size)
{
    (*(int *)context)++;
    return packed_size == size ? packed : NULL;
}

static void put(unsigned char *to, size_t number, size_t bytes)
{
    for (size_t at = 0; at < bytes; at++) {
        to[at] = (unsigned char)(number >> 8 * at & 0xffu);
    }
}

static float pixel(size_t band, size_t at)
{
    return (float)(band * 1000 + at) - 17.5f;
}

/* An npy of a plane; its size. */
static size_t make_plane(unsigned char *to, size_t band)
{
    const char *text = "{'descr': '<f4', 'fortran_order': False, 'shape': (5, 7), }";
    memset(to, ' ', HEADER);
    memcpy(to, "\x93NUMPY\x01\x00", 8);
    put(to + 8, HEADER - 10, 2);
    memcpy(to + 10, text, strlen(text));
    to[HEADER - 1] = '\n';
    for (size_t at = 0; at < PIXELS; at++) {
        const float value = pixel(band, at);
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        put(to + HEADER + 4 * at, bits, 4);
    }
    return HEADER + 4 * PIXELS;
}

/* A zip of the planes, each stored; its size. */
static size_t make_archive(unsigned char *archive)
{
    size_t size = 0, directory_size = 0;
    unsigned char directory[512] = {0};
    for (size_t band = 0; band < BANDS; band++) {
        unsigned char *local = archive + size, *entry = directory + directory_size;
        const size_t name = strlen(FILES[band]), content = make_plane(local + 30 + name, band);
        memset(local, 0, 30);
        memcpy(local, "PK\x03\x04", 4);
        memcpy(entry, "PK\x01\x02", 4);
        put(entry + 16, checksum(local + 30 + name, content), 4);
        put(entry + 20, content, 4);
        put(entry + 24, content, 4);
        put(entry + 28, name, 2);
        put(entry + 42, size, 4);
        memcpy(local + 14, entry + 16, 14);
        memcpy(local + 30, FILES[band], name);
        memcpy(entry + 46, FILES[band], name);
        size += 30 + name + content;
        directory_size += 46 + name;
    }
    memcpy(archive + size, directory, directory_size);
    unsigned char *end = archive + size + directory_size;
    memset(end, 0, 22);
    memcpy(end, "PK\x05\x06", 4);
    put(end + 8, BANDS, 2);
    put(end + 10, BANDS, 2);
    put(end + 12, directory_size, 4);
    put(end + 16, size, 4);
    return size + directory_size + 22;
}

/* Ingest a copy that ends where its memory ends, so that a look beyond is seen. */
static int ingest(const unsigned char *archive, size_t size, size_t limit, float *out)
{
    ingest_census census[BANDS];
    uint64_t digest = 0;
    int inflated = 0;
    unsigned char *copy = malloc(size > 0 ? size : 1);
    memcpy(copy, archive, size);
    const int done = npz_ingest(copy, size, NAMES, BANDS, HEIGHT, WIDTH, limit, as_it_stands, &inflated, out, census,
                                &digest);
    free(copy);
    if (done) {
        CHECK(census[0].finite == PIXELS && census[1].finite == PIXELS);
        CHECK(digest == ingest_digest(out, BANDS * PIXELS));
    }
    return done;
}

static int is_image(const float *out)
{
    int same = 1;
    for (size_t at = 0; at < BANDS * PIXELS; at++) {
        same = same && out[at] == pixel(at / PIXELS, at % PIXELS);
    }
    return same;
}

static void test_archive(void)
{
    static unsigned char archive[4096];
    float out[BANDS * PIXELS] = {0};
    const size_t size = make_archive(archive);
    CHECK(ingest(archive, size, LIMIT, out));
    CHECK(is_image(out));
    CHECK(!ingest(archive, size, HEADER + 4 * PIXELS, out));
    for (size_t cut = 0; cut < size; cut++) {
        CHECK(!ingest(archive, cut, LIMIT, out));
    }
    int refused = 0;
    for (size_t at = 0; at < size; at++) {
        for (int bit = 0; bit < 8; bit++) {
            archive[at] = (unsigned char)(archive[at] ^ 1u << bit);
            const int done = ingest(archive, size, LIMIT, out);
            CHECK(!done || is_image(out)); /* what is not looked at, dates for instance, may be anything */
            refused += !done;
            archive[at] = (unsigned char)(archive[at] ^ 1u << bit);
        }
    }
    CHECK(refused > (int)(8 * BANDS * (HEADER + 4 * PIXELS)));
}

static void test_checksum(void)
{
    static unsigned char bytes[1024];
    for (size_t at = 0; at < sizeof bytes; at++) {
        bytes[at] = (unsigned char)(at * 131 + at / 7);
    }
    CHECK(checksum((const unsigned char *)"123456789", 9) == 0xCBF43926u); /* the check value of the catalogs of CRCs */
    for (size_t size = 0; size + 8 <= sizeof bytes; size++) {
        CHECK(checksum(bytes + size % 8, size) == checksum_by_tables(bytes + size % 8, size));
    }
}

int main(void)
{
    test_checksum();
    test_archive();
    if (failures > 0) {
        fprintf(stderr, "%d checks failed\n", failures);
        return 1;
    }
    puts("npz: all checks passed");
    return 0;
}
