/// The CRC-32 of zlib, gzip and PNG, for stored bytes that others read as well (why not zlib's: the
/// core needs libc alone).
///
/// Source   RFC 1952 section 8 (polynomial 0xedb88320, reflected, inverted at both ends)
#ifndef NORN_BASE_CRC32_H
#define NORN_BASE_CRC32_H

#include <stddef.h>
#include <stdint.h>

/// Of `bytes` after what `crc` is of; 0 begins. Any thread.
uint32_t norn_crc32(uint32_t crc, const void *bytes, size_t count);

#endif
