// SPDX-License-Identifier: Apache-2.0
//
// Unpack: decompression of batches that ordinary Kafka clients wrote: gzip, snappy (bare and in
// xerial's framing), lz4 frames, zstd. Output is bounded, so that a small batch cannot fill memory.
// Any thread.
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "log/batch.h"

// Appends the unpacked bytes to `out`, at most `limit` of them. ERR_CORRUPT, ERR_LIMIT or
// ERR_UNSUPPORTED; `out` then holds what it held before.
int unpack(enum batch_codec codec, struct slice in, uint32_t limit, struct buf *out, struct err *e);
