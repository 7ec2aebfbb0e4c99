// SPDX-License-Identifier: Apache-2.0
//
// The data directory:
//   .lock       flock; holds the pid of the process that has it open
//   meta        format version and cluster id, made last at the first open
//   snapshot    all metadata as of the last checkpoint
//   journal/    <number>.wal: what happened since
//   topics/     <topic>-<partition>/<base offset>.log and .index
#include "broker/broker.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/dirs.h"
#include "base/logline.h"
#include "broker/core.h"
#include "broker/disk.h"
#include "broker/recovery.h"

enum { FORMAT_VERSION = 1, REFUSAL_REPEAT_MS = 10000 };

static int lock_dir(struct broker *b, struct err *e)
{
    char path[SEGMENT_PATH], pid[32] = "";
    snprintf(path, sizeof(path), "%s/.lock", b->dir);
    b->lock_fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0666);
    if (b->lock_fd < 0)
        return err_io(e, "cannot open %s", path);
    if (flock(b->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK)
            return err_io(e, "cannot lock %s", path);
        ssize_t n = pread(b->lock_fd, pid, sizeof(pid) - 1, 0);
        return err_set(e, ERR_EXISTS,
                       "data directory %s is in use by process %s; stop it, or use another "
                       "directory",
                       b->dir, n > 0 ? pid : "(unknown)");
    }
    int n = snprintf(pid, sizeof(pid), "%d", (int)getpid());
    if (ftruncate(b->lock_fd, 0) < 0 || disk_write(b->lock_fd, pid, (size_t)n, 0) < 0)
        return err_io(e, "cannot write %s", path);
    return 0;
}

static int make_cluster_id(struct broker *b, struct err *e)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint8_t random[CLUSTER_ID_CHARS];
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return err_io(e, "no random numbers");
    for (int i = 0; i < CLUSTER_ID_CHARS; i++)
        b->cluster_id[i] = digits[random[i] & 63];
    b->cluster_id[CLUSTER_ID_CHARS] = 0;
    return 0;
}

// `meta` is gone from a directory that topics were made in: starting anew would delete them.
static int refuse_orphans(const struct broker *b, struct err *e)
{
    char path[SEGMENT_PATH];
    snprintf(path, sizeof(path), "%s/topics", b->dir);
    DIR *d = opendir(path);
    if (d == NULL)
        return err_io(e, "cannot list %s", path);
    bool used = false;
    for (struct dirent *f; !used && (f = readdir(d)) != NULL;)
        used = strcmp(f->d_name, ".") != 0 && strcmp(f->d_name, "..") != 0;
    closedir(d);
    return !used ? 0
                 : err_set(e, ERR_CORRUPT,
                           "%s/meta is missing, but there are topics in %s; restore the file from "
                           "a copy, or name another data directory",
                           b->dir, path);
}

// The first open: an empty snapshot and journal; `meta` comes last and says that all is there.
static int make_store(struct broker *b, struct err *e)
{
    struct buf file;
    char meta[64];
    if (make_cluster_id(b, e) < 0 || journal_new_file(&b->journal, 1, 1, e) < 0)
        return -1;
    buf_init(&file);
    struct snapshot_head head = {1, 1, b->catalog.next_partition};
    snapshot_build(b, &head, &file);
    int r = disk_replace(b->dir, "snapshot", buf_slice(&file), e);
    buf_release(&file);
    if (r < 0)
        return -1;
    int n =
        snprintf(meta, sizeof(meta), "weir-broker %d\ncluster %s\n", FORMAT_VERSION, b->cluster_id);
    return disk_replace(b->dir, "meta", slice_of(meta, (size_t)n), e);
}

static int read_meta(struct broker *b, struct slice text, struct err *e)
{
    char s[128];
    int version = 0;
    snprintf(s, sizeof(s), "%.*s", (int)text.n, (const char *)text.p);
    if (sscanf(s, "weir-broker %d cluster %22s", &version, b->cluster_id) != 2 ||
        strlen(b->cluster_id) != CLUSTER_ID_CHARS)
        return err_set(e, ERR_CORRUPT, "%s/meta is damaged; restore it from a copy", b->dir);
    if (version != FORMAT_VERSION)
        return err_set(e, ERR_UNSUPPORTED,
                       "data directory %s has format %d; this version reads format %d", b->dir,
                       version, FORMAT_VERSION);
    return 0;
}

static int open_store(struct broker *b, struct err *e)
{
    struct recovered r;
    if (recovery_run(b, &r, e) < 0)
        return -1;
    if (!r.replayed)
        return journal_new_file(&b->journal, r.journal, r.sequence, e);
    logline(LOG_INFO, "broker", "recovered %s from its journal", b->dir);
    b->journal.number = r.journal;
    b->journal.sequence = r.sequence;
    return broker_checkpoint(b, e);
}

static int start(struct broker *b, struct err *e)
{
    char path[SEGMENT_PATH];
    struct buf meta;
    snprintf(path, sizeof(path), "%s/topics", b->dir);
    if (dirs_make(b->dir, e) < 0 || lock_dir(b, e) < 0 || disk_make_dir(path, e) < 0 ||
        journal_init(&b->journal, b, e) < 0)
        return -1;
    buf_init(&meta);
    snprintf(path, sizeof(path), "%s/meta", b->dir);
    int r = disk_load(path, &meta, e);
    if (r == 0)
        r = read_meta(b, buf_slice(&meta), e) < 0 ? -1 : open_store(b, e);
    else if (e->code == ERR_NOT_FOUND)
        r = refuse_orphans(b, e) < 0 ? -1 : make_store(b, e);
    buf_release(&meta);
    if (r < 0 || journal_start(&b->journal, e) < 0)
        return -1;
    return keeper_start(&b->keeper, e);
}

static void set_defaults(struct broker *b, const struct broker_config *config)
{
    enum { SEGMENT = 256 << 20, CHECKPOINT = 64 << 20, HOUSEKEEPING = 30000, PARTITIONS = 4 };
    b->config = *config;
    b->dir = check_alloc(strdup(config->dir));
    b->config.dir = b->dir;
    b->clk = config->clk == NULL ? clk_real() : config->clk;
    b->config.clk = b->clk;
    if (config->segment_bytes == 0)
        b->config.segment_bytes = SEGMENT;
    if (config->checkpoint_bytes == 0)
        b->config.checkpoint_bytes = CHECKPOINT;
    if (config->housekeeping_ms == 0)
        b->config.housekeeping_ms = HOUSEKEEPING;
    if (config->auto_partitions == 0)
        b->config.auto_partitions = PARTITIONS;
}

static void init_locks(struct broker *b)
{
    pthread_rwlockattr_t attr;
    pthread_rwlockattr_init(&attr);
    // A checkpoint may not starve behind a stream of appends.
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&b->gate, &attr);
    pthread_rwlockattr_destroy(&attr);
    pthread_mutex_init(&b->housekeeping, NULL);
    pthread_mutex_init(&b->checkpointing, NULL);
    pthread_mutex_init(&b->failure_mutex, NULL);
    pthread_mutex_init(&b->progress_mutex, NULL);
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&b->progress_cond, &clock);
    pthread_condattr_destroy(&clock);
}

static void destroy(struct broker *b)
{
    keeper_stop(&b->keeper);
    journal_release(&b->journal);
    catalog_release(&b->catalog);
    producers_release(&b->producers);
    group_offsets_release(&b->offsets);
    pthread_rwlock_destroy(&b->gate);
    pthread_mutex_destroy(&b->housekeeping);
    pthread_mutex_destroy(&b->checkpointing);
    pthread_mutex_destroy(&b->failure_mutex);
    pthread_mutex_destroy(&b->progress_mutex);
    pthread_cond_destroy(&b->progress_cond);
    if (b->lock_fd >= 0)
        close(b->lock_fd);
    free(b->dir);
    free(b);
}

int broker_open(const struct broker_config *config, struct broker **out, struct err *e)
{
    struct broker *b = check_alloc(calloc(1, sizeof(*b)));
    *out = NULL;
    b->lock_fd = b->notify_fd = b->journal.fd = -1;
    set_defaults(b, config);
    init_locks(b);
    catalog_init(&b->catalog);
    producers_init(&b->producers);
    group_offsets_init(&b->offsets);
    keeper_init(&b->keeper, b);
    if (start(b, e) < 0) {
        err_wrap(e, "cannot open the broker");
        destroy(b);
        return -1;
    }
    *out = b;
    return 0;
}

void broker_close(struct broker *b)
{
    struct err e;
    if (b == NULL)
        return;
    if (!broker_has_failed(b) && broker_checkpoint(b, &e) < 0)
        logline(LOG_ERROR, "broker", "closing without a checkpoint: %s", e.text);
    destroy(b);
}

const struct broker_config *broker_settings(const struct broker *b)
{
    return &b->config;
}

const char *broker_cluster_id(const struct broker *b)
{
    return b->cluster_id;
}

// --- failure ------------------------------------------------------------------------------------

void broker_fail(struct broker *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    pthread_mutex_lock(&b->failure_mutex);
    bool first = !atomic_load(&b->failed);
    if (first) {
        vsnprintf(b->failure, sizeof(b->failure), fmt, ap);
        atomic_store(&b->failed, true);
    }
    pthread_mutex_unlock(&b->failure_mutex);
    va_end(ap);
    if (first)
        logline(LOG_ERROR, "broker", "%s; the broker answers reads only, until it is opened anew",
                b->failure);
}

void broker_refused(struct broker *b, const char *text)
{
    pthread_mutex_lock(&b->failure_mutex);
    int64_t now = clk_mono_ms(b->clk);
    bool tell = strcmp(b->refusal, text) != 0 || now - b->refused_ms >= REFUSAL_REPEAT_MS;
    if (tell) {
        snprintf(b->refusal, sizeof(b->refusal), "%s", text);
        b->refused_ms = now;
    }
    pthread_mutex_unlock(&b->failure_mutex);
    if (tell)
        logline(LOG_ERROR, "broker", "write refused: %s", text);
}

void broker_refusal(struct broker *b, char *out, size_t size)
{
    pthread_mutex_lock(&b->failure_mutex);
    snprintf(out, size, "%s", b->refusal);
    pthread_mutex_unlock(&b->failure_mutex);
}

const char *broker_failure(struct broker *b)
{
    return atomic_load(&b->failed) ? b->failure : NULL;
}

const char *broker_error_name(enum broker_error e)
{
    static const struct {
        enum broker_error error;
        const char *name;
    } names[] = {
        {BROKER_OK, "NONE"},
        {BROKER_UNKNOWN_SERVER_ERROR, "UNKNOWN_SERVER_ERROR"},
        {BROKER_OFFSET_OUT_OF_RANGE, "OFFSET_OUT_OF_RANGE"},
        {BROKER_CORRUPT_MESSAGE, "CORRUPT_MESSAGE"},
        {BROKER_UNKNOWN_TOPIC_OR_PARTITION, "UNKNOWN_TOPIC_OR_PARTITION"},
        {BROKER_MESSAGE_TOO_LARGE, "MESSAGE_TOO_LARGE"},
        {BROKER_INVALID_TOPIC, "INVALID_TOPIC_EXCEPTION"},
        {BROKER_INVALID_REQUIRED_ACKS, "INVALID_REQUIRED_ACKS"},
        {BROKER_INVALID_TIMESTAMP, "INVALID_TIMESTAMP"},
        {BROKER_UNSUPPORTED_VERSION, "UNSUPPORTED_VERSION"},
        {BROKER_TOPIC_ALREADY_EXISTS, "TOPIC_ALREADY_EXISTS"},
        {BROKER_INVALID_PARTITIONS, "INVALID_PARTITIONS"},
        {BROKER_INVALID_REPLICATION_FACTOR, "INVALID_REPLICATION_FACTOR"},
        {BROKER_INVALID_CONFIG, "INVALID_CONFIG"},
        {BROKER_INVALID_REQUEST, "INVALID_REQUEST"},
        {BROKER_OUT_OF_ORDER_SEQUENCE, "OUT_OF_ORDER_SEQUENCE_NUMBER"},
        {BROKER_DUPLICATE_SEQUENCE, "DUPLICATE_SEQUENCE_NUMBER"},
        {BROKER_INVALID_PRODUCER_EPOCH, "INVALID_PRODUCER_EPOCH"},
        {BROKER_INVALID_TXN_STATE, "INVALID_TXN_STATE"},
        {BROKER_INVALID_PRODUCER_ID_MAPPING, "INVALID_PRODUCER_ID_MAPPING"},
        {BROKER_INVALID_TRANSACTION_TIMEOUT, "INVALID_TRANSACTION_TIMEOUT"},
        {BROKER_CONCURRENT_TRANSACTIONS, "CONCURRENT_TRANSACTIONS"},
        {BROKER_STORAGE_ERROR, "KAFKA_STORAGE_ERROR"},
        {BROKER_UNSUPPORTED_COMPRESSION, "UNSUPPORTED_COMPRESSION_TYPE"},
        {BROKER_INVALID_RECORD, "INVALID_RECORD"},
        {BROKER_PRODUCER_FENCED, "PRODUCER_FENCED"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (names[i].error == e)
            return names[i].name;
    return "UNKNOWN";
}
