// SPDX-License-Identifier: Apache-2.0
//
// Crc32c: the Castagnoli checksum of record batches and journals. Any thread; no state but tables
// that are made once, before main.
#pragma once

#include <stddef.h>
#include <stdint.h>

// The checksum of `n` bytes.
uint32_t crc32c(const void *p, size_t n);
// Goes on from the checksum of what came before: crc32c_extend(crc32c(a), b) == crc32c(a ++ b).
uint32_t crc32c_extend(uint32_t crc, const void *p, size_t n);
// The portable implementation, always there, so that tests can compare the two.
uint32_t crc32c_portable(uint32_t crc, const void *p, size_t n);
