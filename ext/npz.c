#include "npz.h"

#include "checksum.h"

#include <string.h>

enum {
    END_SIZE = 22,
    ENTRY_SIZE = 46,
    LOCAL_SIZE = 30,
    MAX_HEADER = 10000,
    MAX_DIGITS = 9,
    STORED = 0,
    DEFLATED = 8
};

static size_t two_bytes(const unsigned char *at)
{
    return (size_t)at[0] | (size_t)at[1] << 8;
}

static size_t four_bytes(const unsigned char *at)
{
    return two_bytes(at) | two_bytes(at + 2) << 16;
}

/* Whether a member's name is that of a band, with or without the suffix. */
static int is_called(const unsigned char *name, size_t size, const char *wanted)
{
    const size_t length = strlen(wanted);
    return size >= length && memcmp(name, wanted, length) == 0 &&
           (size == length || (size == length + 4 && memcmp(name + length, ".npy", 4) == 0));
}

/* Whether a member may say something of the image that it stands beside, as weights, masks and PSFs do. */
static int stands_beside(const unsigned char *name, size_t size)
{
    static const char *const words[] = {"invvar", "ivar", "weight", "mask", "psf"};
    for (size_t word = 0; word < sizeof words / sizeof words[0]; word++) {
        const size_t length = strlen(words[word]);
        if (size >= length && memcmp(name, words[word], length) == 0) {
            return 1;
        }
    }
    return 0;
}

/* Advance past a literal, if it stands there. */
static int skip(const unsigned char **at, const unsigned char *end, const char *literal)
{
    const size_t length = strlen(literal);
    if ((size_t)(end - *at) < length || memcmp(*at, literal, length) != 0) {
        return 0;
    }
    *at += length;
    return 1;
}

/* A number above 0, as Python spells it: without zeros before it. */
static int read_number(const unsigned char **at, const unsigned char *end, size_t *number)
{
    size_t digits = 0;
    *number = 0;
    if (*at < end && **at == '0') {
        return 0;
    }
    while (*at < end && **at >= '0' && **at <= '9' && digits <= MAX_DIGITS) {
        *number = *number * 10 + (size_t)(**at - '0');
        (*at)++;
        digits++;
    }
    return digits > 0 && digits <= MAX_DIGITS;
}

/* The header of an npy as NumPy writes it for a plane in C order; anything else is not for us. */
static int read_header(const unsigned char *content, size_t size, npz_plane *plane)
{
    if (size < 12 || memcmp(content, "\x93NUMPY", 6) != 0 || (content[6] != 1 && content[6] != 2) ||
        content[7] != 0) {
        return 0;
    }
    const size_t prefix = content[6] == 1 ? 10 : 12;
    const size_t start = prefix + (content[6] == 1 ? two_bytes(content + 8) : four_bytes(content + 8));
    if (start > size || start > MAX_HEADER) {
        return 0;
    }
    const unsigned char *at = content + prefix, *end = content + start;
    if (!skip(&at, end, "{'descr': '") || end - at < 3) {
        return 0;
    }
    memcpy(plane->type, at, 3);
    plane->type[3] = 0;
    at += 3;
    ingest_dtype dtype;
    if (!skip(&at, end, "', 'fortran_order': False, 'shape': (") || !read_number(&at, end, &plane->height) ||
        !skip(&at, end, ", ") || !read_number(&at, end, &plane->width) || !skip(&at, end, "), }") ||
        ingest_parse_dtype(plane->type, &dtype) != INGEST_OK) {
        return 0;
    }
    while (at < end && *at == ' ') {
        at++;
    }
    while (at < end && *at == '\n') {
        at++;
    }
    plane->pixels = content + start;
    const size_t numbers = (size - start) / dtype.size;
    return at == end && plane->height > 0 && plane->width > 0 && numbers * dtype.size == size - start &&
           numbers % plane->height == 0 && numbers / plane->height == plane->width;
}

/* The member that an entry of the directory speaks of. */
static int read_entry(const unsigned char *archive, size_t directory, const unsigned char *entry, npz_member *member)
{
    const size_t offset = four_bytes(entry + 42), flags = two_bytes(entry + 8), method = two_bytes(entry + 10);
    if ((flags & 1) != 0 || (method != STORED && method != DEFLATED) || directory < LOCAL_SIZE ||
        offset > directory - LOCAL_SIZE || memcmp(archive + offset, "PK\x03\x04", 4) != 0) {
        return 0;
    }
    member->packed_at = offset + LOCAL_SIZE + two_bytes(archive + offset + 26) + two_bytes(archive + offset + 28);
    member->packed_size = four_bytes(entry + 20);
    member->size = four_bytes(entry + 24);
    member->checksum = (uint32_t)four_bytes(entry + 16);
    member->deflated = method == DEFLATED;
    return member->packed_at <= directory && member->packed_size <= directory - member->packed_at &&
           (member->deflated || member->packed_size == member->size);
}

/* Where in the archive each band's entry stands; of two with one name the later one counts, as in zip readers. */
static int find_entries(const unsigned char *archive, size_t size, const char *names, size_t bands,
                        const unsigned char **entries, size_t *directory)
{
    if (size < END_SIZE || memcmp(archive + size - END_SIZE, "PK\x05\x06", 4) != 0) {
        return 0;
    }
    const unsigned char *end = archive + size - END_SIZE;
    *directory = four_bytes(end + 16);
    if (*directory > size - END_SIZE || four_bytes(end + 12) != size - END_SIZE - *directory) {
        return 0; /* with bytes before the archive, other readers count from elsewhere */
    }
    memset(entries, 0, bands * sizeof *entries);
    const unsigned char *at = archive + *directory;
    for (size_t left = two_bytes(end + 10); left > 0; left--) {
        if (end - at < ENTRY_SIZE || memcmp(at, "PK\x01\x02", 4) != 0) {
            return 0;
        }
        const size_t name_size = two_bytes(at + 28), extra = two_bytes(at + 30) + two_bytes(at + 32);
        if ((size_t)(end - at) - ENTRY_SIZE < name_size + extra || stands_beside(at + ENTRY_SIZE, name_size)) {
            return 0;
        }
        const char *name = names;
        for (size_t band = 0; band < bands; band++, name += strlen(name) + 1) {
            if (is_called(at + ENTRY_SIZE, name_size, name)) {
                entries[band] = at;
            }
        }
        at += ENTRY_SIZE + name_size + extra;
    }
    return at == end;
}

int npz_find_members(const unsigned char *archive, size_t size, const char *names, size_t bands, size_t limit,
                     npz_member *members)
{
    const unsigned char *entries[NPZ_MAX_BANDS];
    size_t directory;
    if (bands == 0 || bands > NPZ_MAX_BANDS || !find_entries(archive, size, names, bands, entries, &directory)) {
        return 0;
    }
    for (size_t band = 0; band < bands; band++) {
        if (entries[band] == NULL || !read_entry(archive, directory, entries[band], members + band) ||
            members[band].size > limit) {
            return 0;
        }
        limit -= members[band].size;
    }
    return 1;
}

int npz_read_plane(const unsigned char *archive, const npz_member *member, npz_inflate inflate, void *context,
                   npz_plane *plane)
{
    const unsigned char *content = archive + member->packed_at;
    if (member->deflated) {
        content = inflate(context, content, member->packed_size, member->size);
    }
    return content != NULL && checksum(content, member->size) == member->checksum &&
           read_header(content, member->size, plane);
}

int npz_ingest(const unsigned char *archive, size_t size, const char *names, size_t bands, size_t height, size_t width,
               size_t limit, npz_inflate inflate, void *context, float *out, ingest_census *census, uint64_t *digest)
{
    npz_member members[NPZ_MAX_BANDS];
    char type[4] = "";
    ingest_hash hash = ingest_start();
    const size_t pixels = height * width;
    if (!npz_find_members(archive, size, names, bands, limit, members)) {
        return 0;
    }
    for (size_t band = 0; band < bands; band++) {
        npz_plane plane;
        ingest_dtype dtype;
        if (!npz_read_plane(archive, members + band, inflate, context, &plane) || plane.height != height ||
            plane.width != width || ingest_parse_dtype(plane.type, &dtype) != INGEST_OK) {
            return 0;
        }
        if (band > 0 && strcmp(plane.type, type) != 0) {
            return 0;
        }
        memcpy(type, plane.type, sizeof type);
        census[band] = ingest_plane(plane.pixels, dtype, pixels, out + band * pixels, &hash);
    }
    *digest = ingest_finish(hash, out, bands * pixels);
    return 1;
}
