// SPDX-License-Identifier: Apache-2.0
//
// Avro container: object container files, which Spark, Python and others read directly: a header
// with the schema, then blocks of records, each ended by the file's sync marker. Written here
// rather than with Avro-C, whose schemas lose logical types and defaults on the way into the
// header.
//
// Names keep clear of Avro-C's (avro_writer_…, avro_reader_…), which is linked too.
//
// Thread: one owner each. A writer's block is in memory until it is full (about 64 KiB) or flushed;
// what has been flushed is complete: a reader of the file so far sees whole records.
#pragma once

#include "formats/codec.h"

struct avro_container;

// Creates or empties the file and writes its header. `codec` is "null" or "deflate" (NULL:
// deflate).
int avro_container_open(const char *path, const struct schema *, const char *codec,
                        struct avro_container **out, struct err *);
// One record, as doc_encode gives it for FORMAT_AVRO with the same schema.
int avro_container_append(struct avro_container *, struct slice record, struct err *);
int avro_container_flush(struct avro_container *, struct err *); // ends the block and writes it
int avro_container_sync(struct avro_container *, struct err *);  // flush, then fdatasync
int avro_container_fd(const struct avro_container *);            // borrowed, for fsync and the like
uint64_t
avro_container_bytes(const struct avro_container *); // in the file so far, without the block
uint64_t avro_container_records(const struct avro_container *); // appended
// Flushes, closes and frees; freed also when it fails. Does not sync.
int avro_container_close(struct avro_container *, struct err *);
void avro_container_drop(struct avro_container *); // closes and frees without flushing

struct avro_scan;

// `reader_schema` NULL: the file's own; it is borrowed until close.
int avro_scan_open(const char *path, const struct schema *reader_schema, struct avro_scan **out,
                   struct err *);
const struct codec *avro_scan_codec(const struct avro_scan *); // to open the records with
struct slice avro_scan_schema(const struct avro_scan *);       // the file's, as Avro JSON
// 1: a record, borrowed until the next call; 0: the end; -1: ERR_CORRUPT or ERR_IO.
int avro_scan_next(struct avro_scan *, struct slice *record, struct err *);
void avro_scan_close(struct avro_scan *);
