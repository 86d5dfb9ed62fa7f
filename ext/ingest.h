/*
 * The ingest pass: pixels as they come off the wire (any byte order, number type and plane order) become one native
 * float32 row (band, y, x), counted and digested on the way. Knows numbers and sizes only; no Python.
 */
#ifndef GEN5ASTRO_INGEST_H
#define GEN5ASTRO_INGEST_H

#include <stddef.h>
#include <stdint.h>

typedef enum {
    INGEST_OK = 0,
    INGEST_DTYPE,     /* no such number type */
    INGEST_WIRE_SIZE, /* the wire does not hold bands * pixels numbers exactly */
    INGEST_OUT_SIZE,  /* the row does not hold bands * pixels floats exactly */
    INGEST_ALIGNMENT  /* the row is not aligned for floats */
} ingest_status;

/* Order of the planes on the wire. */
typedef enum {
    INGEST_CHW, /* (band, y, x) */
    INGEST_HWC  /* (y, x, band) */
} ingest_layout;

/* A number type, as NumPy spells it: '<', '>', '|' or '=', then f, i or u, then the size in bytes. */
typedef struct {
    char kind;   /* 'f', 'i' or 'u' */
    size_t size; /* bytes */
    int swapped; /* whether the wire's byte order is not this machine's */
} ingest_dtype;

/* What one plane holds; low and high are NaN where no pixel is finite. */
typedef struct {
    size_t finite;
    size_t zeros;
    float low;
    float high;
} ingest_census;

/* XXH64 on its way: what its four lanes have taken in of the row, and how many floats that is. */
typedef struct {
    uint64_t lanes[4];
    size_t taken;
} ingest_hash;

ingest_status ingest_parse_dtype(const char *text, ingest_dtype *dtype);

/*
 * Convert one image. wire may be unaligned; out must not overlap it. census has one entry a band. digest is that of
 * ingest_digest over the whole row.
 */
ingest_status ingest_row(const void *wire, size_t wire_size, ingest_dtype dtype, ingest_layout layout, size_t bands,
                         size_t pixels, float *out, size_t out_size, ingest_census *census, uint64_t *digest);

/*
 * Convert one contiguous plane of pixels, at any alignment, to out, which is aligned, and count it. hash takes in what
 * it can of the plane, which follows those before it; ingest_finish takes in the rest of the row.
 */
ingest_census ingest_plane(const void *wire, ingest_dtype dtype, size_t pixels, float *out, ingest_hash *hash);

ingest_hash ingest_start(void);
uint64_t ingest_finish(ingest_hash begun, const float *values, size_t count);

/* XXH64 (seed 0) of the little-endian bytes of the floats, the same on every machine. */
uint64_t ingest_digest(const float *values, size_t count);

/* A sentence for a status. */
const char *ingest_message(ingest_status status);

#endif
