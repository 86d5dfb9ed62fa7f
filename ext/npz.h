/*
 * npz archives of the usual kind: a plane a band, stored or deflated. Whatever is not exactly that (encrypted, broken,
 * commented, in Fortran order, with weights, a mask or a PSF beside the planes, ...) is left to a reader that can say what
 * it is. Knows bytes only; no Python, and not how to inflate.
 */
#ifndef GEN5ASTRO_NPZ_H
#define GEN5ASTRO_NPZ_H

#include "ingest.h"

#include <stddef.h>
#include <stdint.h>

enum { NPZ_MAX_BANDS = 16 };

/* Where a member's bytes stand in an archive, and what they should come to. */
typedef struct {
    size_t packed_at;
    size_t packed_size;
    size_t size;
    uint32_t checksum;
    int deflated;
} npz_member;

/* Pixels within the bytes of a member, at any alignment. */
typedef struct {
    const unsigned char *pixels;
    size_t height;
    size_t width;
    char type[4]; /* number type as ingest_parse_dtype takes it */
} npz_plane;

/* What inflates: returns exactly size bytes that live until the next call, or NULL. */
typedef const unsigned char *(*npz_inflate)(void *context, const unsigned char *packed, size_t packed_size, size_t size);

/*
 * Find the members that hold the bands' planes. names are their names without ".npy", each ended by a zero. Returns 1
 * where all are there, stored or deflated, within bounds, and come to no more than limit bytes together.
 */
int npz_find_members(const unsigned char *archive, size_t size, const char *names, size_t bands, size_t limit,
                     npz_member *members);

/* Read a member, inflating it where need be; returns 1 where its checksum is right and it holds a plane. */
int npz_read_plane(const unsigned char *archive, const npz_member *member, npz_inflate inflate, void *context,
                   npz_plane *plane);

/*
 * Ingest an archive as ingest_row does an image. Returns 0, and leaves out and census with any content, where it is not
 * of the usual kind or its planes are not height * width pixels of one number type.
 */
int npz_ingest(const unsigned char *archive, size_t size, const char *names, size_t bands, size_t height, size_t width,
               size_t limit, npz_inflate inflate, void *context, float *out, ingest_census *census, uint64_t *digest);

#endif
