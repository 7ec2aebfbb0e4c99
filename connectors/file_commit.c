// SPDX-License-Identifier: Apache-2.0
#include "connectors/file_commit.h"

#include "base/dirs.h"
#include "base/buf.h"
#include "base/failpoint.h"
#include "base/logline.h"
#include "connectors/commit_entry.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPEN_ATTEMPTS = 16, ENTRY_BYTES_MAX = 4 << 20 };

static void entry_name(const struct file_commit *c, int64_t number, char out[FILE_COMMIT_NAME])
{
    snprintf(out, FILE_COMMIT_NAME, "%s-%d-%012" PRId64 ".json", c->topic, c->partition, number);
}

void file_commit_names(const struct file_commit *c, int64_t first_row, char name[FILE_COMMIT_NAME],
                       char tmp[FILE_COMMIT_NAME])
{
    snprintf(name, FILE_COMMIT_NAME, "%s-%d-%012" PRId64 ".%s", c->topic, c->partition, first_row,
             c->format);
    snprintf(tmp, FILE_COMMIT_NAME, ".%s-%d-%012" PRId64 ".%s.%012" PRId64 ".tmp", c->topic,
             c->partition, first_row, c->format, c->opening);
}

// Twelve or more digits at s, then `tail` at once (NULL: anything); -1 otherwise.
static int64_t number_at(const char *s, const char **tail)
{
    char *end;
    if (strspn(s, "0123456789") < 12)
        return -1;
    errno = 0;
    long long n = strtoll(s, &end, 10);
    *tail = end;
    return errno == 0 ? (int64_t)n : -1;
}

static const char *after_prefix(const struct file_commit *c, const char *name, const char *lead)
{
    char prefix[FILE_COMMIT_NAME];
    int n = snprintf(prefix, sizeof prefix, "%s%s-%d-", lead, c->topic, c->partition);
    return strncmp(name, prefix, (size_t)n) == 0 ? name + n : NULL;
}

// A fresh directory stream over `fd`, whose position stays its own.
static DIR *open_stream(int fd)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    if (d == NULL && copy >= 0)
        close(copy);
    return d;
}

static int newest_entry(const struct file_commit *c, int64_t *newest, struct err *e)
{
    DIR *d = open_stream(c->entries);
    if (d == NULL)
        return err_io(e, "cannot list \"%s/_commit\"", c->path);
    *newest = -1;
    for (struct dirent *f; (f = readdir(d)) != NULL;) {
        const char *rest = after_prefix(c, f->d_name, ""), *tail;
        int64_t n = rest == NULL ? -1 : number_at(rest, &tail);
        if (n > *newest && strcmp(tail, ".json") == 0)
            *newest = n;
    }
    closedir(d);
    return 0;
}

static void delete_strays(const struct file_commit *c)
{
    DIR *d = open_stream(c->dir);
    if (d == NULL)
        return;
    for (struct dirent *f; (f = readdir(d)) != NULL;) {
        const char *rest = after_prefix(c, f->d_name, "."), *tail;
        size_t n = strlen(f->d_name);
        if (rest != NULL && number_at(rest, &tail) >= 0 && n > 4 &&
            strcmp(f->d_name + n - 4, ".tmp") == 0)
            (void)unlinkat(c->dir, f->d_name, 0);
    }
    closedir(d);
}

static int read_file(const struct file_commit *c, const char *name, struct buf *out, struct err *e)
{
    int fd = openat(c->entries, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_io(e, "cannot open \"%s/_commit/%s\"", c->path, name);
    ssize_t n;
    do {
        n = read(fd, buf_reserve(out, 8192), 8192);
        out->n += n > 0 ? (uint32_t)n : 0;
    } while (n > 0 && out->n < ENTRY_BYTES_MAX);
    close(fd);
    return n < 0 ? err_io(e, "cannot read \"%s/_commit/%s\"", c->path, name) : 0;
}

static int write_all(int fd, const struct buf *b)
{
    for (uint32_t at = 0; at < b->n;) {
        ssize_t n = write(fd, b->p + at, b->n - at);
        if (n < 0 && errno != EINTR)
            return -1;
        at += n > 0 ? (uint32_t)n : 0;
    }
    return fsync(fd);
}

// Writes the bytes aside, then takes the entry's name. ERR_EXISTS: somebody has it.
static int publish(const struct file_commit *c, int64_t number, const struct buf *b, struct err *e)
{
    char name[FILE_COMMIT_NAME], tmp[FILE_COMMIT_NAME + 48];
    static _Atomic uint32_t counter;
    entry_name(c, number, name);
    snprintf(tmp, sizeof tmp, ".%s.%ld.%u.tmp", name, (long)getpid(), counter++);
    int fd = openat(c->entries, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return err_io(e, "cannot create \"%s/_commit/%s\"", c->path, tmp);
    if (write_all(fd, b) != 0) {
        err_io(e, "cannot write \"%s/_commit/%s\"", c->path, tmp);
        close(fd);
        (void)unlinkat(c->entries, tmp, 0);
        return -1;
    }
    close(fd);
    int rc = linkat(c->entries, tmp, c->entries, name, 0);
    int why = errno;
    (void)unlinkat(c->entries, tmp, 0);
    if (rc != 0 && why == EEXIST)
        return err_set(e, ERR_EXISTS, "\"%s/_commit/%s\" is taken", c->path, name);
    errno = why;
    if (rc != 0 || fsync(c->entries) != 0)
        return err_io(e, "cannot publish \"%s/_commit/%s\"", c->path, name);
    return 0;
}

// The temporary file becomes the final one. In a repair, done already is fine, and so is a finished
// file that somebody has taken away since.
static int rename_one(const struct file_commit *c, int64_t opening, const struct sink_file *f,
                      struct err *e)
{
    bool repair = opening != c->opening;
    char tmp[FILE_COMMIT_NAME + 32];
    snprintf(tmp, sizeof tmp, ".%s.%012" PRId64 ".tmp", f->name, opening);
    if (renameat(c->dir, tmp, c->dir, f->name) == 0 || (repair && errno == ENOENT))
        return 0;
    return err_io(e, "cannot rename \"%s/%s\" to \"%s\"", c->path, tmp, f->name);
}

static int rename_all(const struct file_commit *c, int64_t opening, const struct sink_file *files,
                      uint32_t n, struct err *e)
{
    for (uint32_t i = 0; i < n; i++)
        if (rename_one(c, opening, &files[i], e) != 0)
            return -1;
    if (n > 0 && fsync(c->dir) != 0)
        return err_io(e, "cannot sync directory \"%s\"", c->path);
    return 0;
}

static int foreign(const struct file_commit *c, const struct commit_entry *entry, struct err *e)
{
    if (strcmp(entry->format, c->format) != 0)
        return err_set(e, ERR_INVALID,
                       "\"%s\" already holds topic %s as %s, not %s; give the sink another path",
                       c->path, c->topic, entry->format, c->format);
    if (memcmp(entry->topic_id, c->topic_id, 16) != 0)
        return err_set(e, ERR_INVALID,
                       "\"%s\" was written from another topic %s (deleted and created again, or "
                       "another data directory), so its offsets mean nothing here; give the sink "
                       "another path, or move the directory away to write everything again",
                       c->path, c->topic);
    return 0;
}

// Reads entry `number` and finishes what it promised.
static int load_entry(struct file_commit *c, int64_t number, struct err *e)
{
    char name[FILE_COMMIT_NAME];
    struct commit_entry entry;
    struct buf b;
    buf_init(&b);
    entry_name(c, number, name);
    int rc = read_file(c, name, &b, e);
    if (rc == 0)
        rc = commit_entry_decode(buf_slice(&b), &entry, e);
    if (rc == 0) {
        rc = foreign(c, &entry, e);
        if (rc == 0)
            rc = rename_all(c, entry.opening, entry.files, entry.files_count, e);
        c->next_offset = entry.next_offset;
        c->next_row = entry.next_row;
        commit_entry_release(&entry);
    } else if (e->code == ERR_CORRUPT) {
        e->code = ERR_INVALID;
        err_wrap(e, "\"%s/_commit/%s\"", c->path, name);
    }
    buf_release(&b);
    return rc;
}

static int add_entry(struct file_commit *c, const struct sink_file *files, uint32_t n,
                     int64_t next_offset, int64_t next_row, struct err *e)
{
    struct commit_entry entry = {.number = c->number + 1,
                                 .opening = c->opening,
                                 .partition = c->partition,
                                 .next_offset = next_offset,
                                 .next_row = next_row,
                                 .files = (struct sink_file *)files,
                                 .files_count = n};
    snprintf(entry.topic, sizeof entry.topic, "%s", c->topic);
    snprintf(entry.format, sizeof entry.format, "%s", c->format);
    memcpy(entry.topic_id, c->topic_id, 16);
    struct buf b;
    buf_init(&b);
    commit_entry_encode(&entry, &b);
    int rc = publish(c, entry.number, &b, e);
    buf_release(&b);
    return rc;
}

// Follows the ledger to its end and puts our opening entry there (L2).
static int take_over(struct file_commit *c, struct err *e)
{
    for (int i = 0; i < OPEN_ATTEMPTS; i++) {
        int64_t newest = -1;
        if (newest_entry(c, &newest, e) != 0 || (newest >= 0 && load_entry(c, newest, e) != 0))
            return -1;
        c->number = newest;
        c->opening = newest + 1; // no entry that exists can carry it
        if (add_entry(c, NULL, 0, c->next_offset, c->next_row, e) == 0) {
            c->number = c->opening;
            delete_strays(c);
            return 0;
        }
        if (e->code != ERR_EXISTS)
            return -1;
    }
    return err_set(e, ERR_AGAIN, "\"%s\": others keep taking topic %s partition %d over", c->path,
                   c->topic, c->partition);
}

static int open_directories(struct file_commit *c, struct err *e)
{
    if (dirs_make(c->path, e) != 0)
        return -1;
    c->dir = open(c->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (c->dir < 0)
        return err_io(e, "cannot open directory \"%s\"", c->path);
    if (mkdirat(c->dir, "_commit", 0777) != 0 && errno != EEXIST)
        return err_io(e, "cannot create directory \"%s/_commit\"", c->path);
    c->entries = openat(c->dir, "_commit", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (c->entries < 0 || fsync(c->dir) != 0)
        return err_io(e, "cannot open directory \"%s/_commit\"", c->path);
    return 0;
}

int file_commit_open(struct file_commit *c, const char *path, const struct log_topic_info *topic,
                     int32_t partition, const char *format, struct err *e)
{
    memset(c, 0, sizeof *c);
    c->dir = c->entries = -1;
    c->path = check_alloc(strdup(path));
    size_t n = strlen(c->path);
    while (n > 1 && c->path[n - 1] == '/')
        c->path[--n] = 0;
    snprintf(c->topic, sizeof c->topic, "%s", topic->name);
    memcpy(c->topic_id, topic->id, 16);
    c->partition = partition;
    snprintf(c->format, sizeof c->format, "%s", format);
    c->next_offset = c->opening = -1;
    if (open_directories(c, e) != 0 || take_over(c, e) != 0) {
        file_commit_close(c);
        return -1;
    }
    return 0;
}

void file_commit_close(struct file_commit *c)
{
    if (c->path == NULL)
        return;
    if (c->entries >= 0)
        close(c->entries);
    if (c->dir >= 0)
        close(c->dir);
    free(c->path);
    c->path = NULL;
}

int file_commit_add(struct file_commit *c, const struct sink_file *files, uint32_t n,
                    int64_t next_offset, int64_t next_row, struct err *e)
{
    if (fsync(c->dir) != 0) // the temporary files' names
        return err_io(e, "cannot sync directory \"%s\"", c->path);
    if (add_entry(c, files, n, next_offset, next_row, e) != 0) {
        if (e->code == ERR_EXISTS)
            err_set(e, ERR_FENCED,
                    "\"%s\": another process has taken over topic %s partition %d; this one stops",
                    c->path, c->topic, c->partition);
        return -1;
    }
    c->number++;
    c->next_offset = next_offset;
    c->next_row = next_row;
    FAILPOINT("sink.after_commit_entry");
    if (rename_all(c, c->opening, files, n, e) != 0)
        return -1;
    FAILPOINT("sink.after_rename");
    return 0;
}
