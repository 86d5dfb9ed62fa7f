/*
 * CRC-32 as zip archives have it (polynomial 0x04C11DB7, reflected), at the speed of memory where the processor
 * multiplies without carry.
 */
#ifndef GEN5ASTRO_CHECKSUM_H
#define GEN5ASTRO_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

uint32_t checksum(const unsigned char *bytes, size_t size);

/* The same by tables, on every machine. */
uint32_t checksum_by_tables(const unsigned char *bytes, size_t size);

#endif
