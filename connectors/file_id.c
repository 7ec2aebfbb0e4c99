// SPDX-License-Identifier: Apache-2.0
#include "connectors/file_id.h"

#include "base/hash.h"

#include <sys/stat.h>
#include <unistd.h>

// Reads up to `n` bytes from the start of the file, whatever its position.
static ssize_t read_start(int fd, uint8_t *p, size_t n)
{
    size_t got = 0;
    while (got < n) {
        ssize_t r = pread(fd, p + got, n - got, (off_t)got);
        if (r < 0)
            return -1;
        if (r == 0)
            break;
        got += (size_t)r;
    }
    return (ssize_t)got;
}

int file_id_of(int fd, struct file_id *out, struct err *e)
{
    uint8_t start[FILE_ID_BYTES];
    struct stat st;
    if (fstat(fd, &st) != 0)
        return err_io(e, "cannot stat the file");
    ssize_t n = read_start(fd, start, sizeof start);
    if (n < 0)
        return err_io(e, "cannot read the start of the file");
    *out = (struct file_id){.device = (uint64_t)st.st_dev,
                            .inode = (uint64_t)st.st_ino,
                            .fingerprint = hash_bytes(slice_of(start, (size_t)n)),
                            .covers = (uint32_t)n};
    return 0;
}

int file_id_begins(int fd, const struct file_id *id)
{
    uint8_t start[FILE_ID_BYTES];
    ssize_t n = read_start(fd, start, id->covers);
    if (n < 0)
        return -1;
    return (uint32_t)n == id->covers && hash_bytes(slice_of(start, (size_t)n)) == id->fingerprint;
}

int file_id_matches(int fd, const struct file_id *id)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return -1;
    if ((uint64_t)st.st_dev != id->device || (uint64_t)st.st_ino != id->inode)
        return 0;
    return file_id_begins(fd, id);
}
