// SPDX-License-Identifier: Apache-2.0
//
// Reading journals: which frames are there, and whether what is not there may be missing.
//
// The bytes behind the last synced frame may be anything: a write that the power cut short leaves
// any subset of its sectors. So a bad frame is the end of the journal, unless a good frame with a
// later number lies behind it: that one was written only after the bad one had been synced, so the
// bad one was acknowledged and has been damaged since.
#include "broker/journal.h"

#include <inttypes.h>

#include "broker/disk.h"
#include "log/crc32c.h"

// Frame: magic 4 | crc 4 | length 4 | zero 4 | sequence 8 | payload | up to 7 zeros. The crc covers
// what is behind it but for the padding.
// File:  magic 8 | number 8 | first sequence 8 | zero 4 | crc 4.
static const uint8_t FRAME_MAGIC[4] = {'w', 'e', 'j', 'f'};
static const uint8_t FILE_MAGIC[8] = {'w', 'e', 'i', 'r', 'w', 'a', 'l', '1'};

enum { FRAME_CRC_FROM = 8, FRAME_ALIGN = 8 };

void journal_frame_put(uint8_t out[JOURNAL_FRAME], struct slice payload, uint64_t sequence)
{
    memcpy(out, FRAME_MAGIC, sizeof(FRAME_MAGIC));
    bytes_put32(out + 8, payload.n);
    bytes_put32(out + 12, 0);
    bytes_put64(out + 16, sequence);
    uint32_t crc = crc32c(out + FRAME_CRC_FROM, JOURNAL_FRAME - FRAME_CRC_FROM);
    bytes_put32(out + 4, crc32c_extend(crc, payload.p, payload.n));
}

void journal_header_put(uint8_t out[JOURNAL_HEADER], uint64_t number, uint64_t sequence)
{
    memcpy(out, FILE_MAGIC, sizeof(FILE_MAGIC));
    bytes_put64(out + 8, number);
    bytes_put64(out + 16, sequence);
    bytes_put32(out + 24, 0);
    bytes_put32(out + 28, crc32c(out, 28));
}

// A whole good frame at `at`: its payload; else p == NULL.
static struct slice frame_at(struct slice file, int64_t at, uint64_t *sequence)
{
    struct slice none = {NULL, 0};
    const uint8_t *p = file.p + at;
    if (at + JOURNAL_FRAME > file.n || memcmp(p, FRAME_MAGIC, sizeof(FRAME_MAGIC)) != 0)
        return none;
    uint32_t length = bytes_get32(p + 8);
    if (length > file.n - at - JOURNAL_FRAME)
        return none;
    if (crc32c(p + FRAME_CRC_FROM, JOURNAL_FRAME - FRAME_CRC_FROM + length) != bytes_get32(p + 4))
        return none;
    *sequence = bytes_get64(p + 16);
    return slice_of(p + JOURNAL_FRAME, length);
}

// The first good frame behind `at` with a number above `sequence`, or -1.
static int64_t later_frame(struct slice file, int64_t at, uint64_t sequence)
{
    for (at += FRAME_ALIGN; at + JOURNAL_FRAME <= file.n; at += FRAME_ALIGN) {
        uint64_t found;
        if (frame_at(file, at, &found).p != NULL && found > sequence)
            return at;
    }
    return -1;
}

static bool blank(struct slice s)
{
    for (uint32_t i = 0; i < s.n; i++)
        if (s.p[i] != 0)
            return false;
    return true;
}

// 1: the file was never used.
static int check_header(const struct journal_source *j, struct slice file, uint64_t sequence,
                        struct err *e)
{
    const uint8_t *p = file.p;
    if (file.n < JOURNAL_HEADER || memcmp(p, FILE_MAGIC, 8) != 0 ||
        crc32c(p, 28) != bytes_get32(p + 28)) {
        // The file is synced before it is used: one without a header was never used.
        if (j->last && (file.n < JOURNAL_HEADER || later_frame(file, 0, 0) < 0))
            return 1;
        return err_set(e, ERR_CORRUPT, "journal %s, position 0: bad header", j->path);
    }
    if (bytes_get64(p + 8) != j->number || bytes_get64(p + 16) != sequence)
        return err_set(e, ERR_CORRUPT,
                       "journal %s begins with frame %" PRIu64 " where %" PRIu64
                       " was expected: it is not the file that belongs here",
                       j->path, bytes_get64(p + 16), sequence);
    return 0;
}

// There is no good frame `sequence` at `at`. Was there one once?
static int check_tail(const struct journal_source *j, struct slice file, int64_t at,
                      uint64_t sequence, struct err *e)
{
    if (!j->synced)
        return 0;
    int64_t later = later_frame(file, at, sequence);
    if (later >= 0)
        return err_set(e, ERR_CORRUPT,
                       "journal %s, position %" PRId64 ": damaged frame %" PRIu64
                       " holds acknowledged data (an intact later frame follows at %" PRId64
                       "); restore the data directory from a copy",
                       j->path, at, sequence, later);
    if (!j->last && at < file.n && !blank(slice_of(file.p + at, (size_t)(file.n - at))))
        return err_set(e, ERR_CORRUPT,
                       "journal %s, position %" PRId64 ": damaged frame %" PRIu64
                       " in a journal that a later one follows",
                       j->path, at, sequence);
    return 0;
}

static int read_frames(const struct journal_source *j, struct slice file, uint64_t *sequence,
                       journal_each each, void *arg, struct err *e)
{
    int64_t at = JOURNAL_HEADER;
    for (;;) {
        uint64_t found;
        struct slice payload = frame_at(file, at, &found);
        if (payload.p == NULL || found != *sequence)
            return check_tail(j, file, at, *sequence, e);
        if (payload.n == 0) // a seal: nothing was written behind it
            return check_tail(j, file, at + JOURNAL_FRAME, *sequence, e);
        struct journal_frame f = {found, payload, at};
        int r = each(arg, &f, e);
        if (r != 0)
            return r < 0 ? err_wrap(e, "journal %s, position %" PRId64, j->path, at) : 0;
        at += journal_frame_size(payload.n);
        ++*sequence;
    }
}

int journal_read(const struct journal_source *j, uint64_t *sequence, journal_each each, void *arg,
                 struct err *e)
{
    struct buf file;
    buf_init(&file);
    int r = disk_load(j->path, &file, e);
    if (r == 0)
        r = check_header(j, buf_slice(&file), *sequence, e);
    if (r == 0)
        r = read_frames(j, buf_slice(&file), sequence, each, arg, e);
    buf_release(&file);
    return r < 0 ? -1 : 0;
}
