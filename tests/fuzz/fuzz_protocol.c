// SPDX-License-Identifier: Apache-2.0
//
// One request of arbitrary bytes through the protocol core, on a broker opened once in a temporary
// directory. The request must be answered, refused or parked; an answer must carry its own size.
// A parked call is resumed past its deadline. Topic creation is kept small by deleting what came
// up.
#include "broker/api.h"

#include <ftw.h>
#include <sched.h>
#include <stdlib.h>

static struct broker *broker;
static struct api api;
static struct api_call call;

struct found {
    char names[64][API_NAME_SIZE];
    int count;
};

static bool find_each(void *arg, const struct broker_topic_info *info)
{
    struct found *f = arg;
    if (strcmp(info->name, "t") != 0)
        snprintf(f->names[f->count++], API_NAME_SIZE, "%s", info->name);
    return f->count < 64;
}

static char dir[] = "/tmp/weir-fuzz-XXXXXX";

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static void clean_up(void)
{
    api_release(&api);
    api_call_release(&call);
    broker_close(broker);
    nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void open_once(void)
{
    struct err e;
    CHECK(mkdtemp(dir) != NULL);
    atexit(clean_up);
    struct broker_config config = {.dir = dir,
                                   .durability = BROKER_OS,
                                   .housekeeping_ms = -1,
                                   .auto_create = true,
                                   .auto_partitions = 1};
    CHECK(broker_open(&config, &broker, &e) == 0);
    struct broker_topic_config topic = broker_topic_config_default(broker);
    CHECK(broker_topic_create(broker, "t", 1, &topic, &e) == BROKER_OK);
    api_init(&api, broker, "127.0.0.1", 9092);
    api_call_init(&call, &api);
}

static void delete_others(void)
{
    struct found f = {.count = 0};
    struct err e;
    broker_topic_each(broker, find_each, &f);
    for (int i = 0; i < f.count; i++)
        broker_topic_delete(broker, f.names[i], &e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned runs;
    struct buf out;
    if (broker == NULL)
        open_once();
    buf_init(&out);
    enum api_result r = api_start(&call, slice_of(data, size), 0, &out);
    while (r == API_PARKED) {
        sched_yield();
        r = api_resume(&call, (int64_t)INT32_MAX + 1, &out);
    }
    if (r == API_ANSWERED)
        CHECK(out.n >= 8 && bytes_get32(out.p) == out.n - 4);
    else
        CHECK(out.n == 0);
    buf_release(&out);
    if (++runs % 64 == 0)
        delete_others();
    return 0;
}
