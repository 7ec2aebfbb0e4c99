// SPDX-License-Identifier: Apache-2.0
//
// The broker over TCP, judged by librdkafka: compression, idempotence, reading by partition from
// the beginning, an offset or a time, admin requests, metadata, long polls, and a raw socket for
// what no client would send.
#include "broker/net.h"
#include "log/batch.h"

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on
#include <arpa/inet.h>
#include <ftw.h>
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WAIT_MS = 30000 };

struct bench {
    char dir[64], address[64];
    struct broker *broker;
    struct net *net;
};

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static void start(struct bench *b)
{
    struct err e;
    struct broker_config config = {.dir = b->dir,
                                   .durability = BROKER_FSYNC,
                                   .housekeeping_ms = -1,
                                   .auto_create = true,
                                   .auto_partitions = 4};
    struct net_config net = {.listen = "127.0.0.1:0", .request_max = 32 << 20};
    if (broker_open(&config, &b->broker, &e) != 0 || net_start(b->broker, &net, &b->net, &e) != 0)
        fail_msg("%s", e.text);
    snprintf(b->address, sizeof(b->address), "127.0.0.1:%u", net_port(b->net));
}

static void stop(struct bench *b)
{
    net_stop(b->net);
    broker_close(b->broker);
}

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    strcpy(b->dir, "/tmp/weir-tcp-XXXXXX");
    assert_non_null(mkdtemp(b->dir));
    start(b);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    stop(b);
    nftw(b->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(b);
    return 0;
}

// --- librdkafka ---------------------------------------------------------------------------------

struct delivery {
    int good, bad;
    int64_t last_offset;
};

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    struct delivery *d = opaque;
    (void)rk;
    if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        d->good++;
        d->last_offset = m->offset;
    } else {
        d->bad++;
    }
}

static rd_kafka_t *client(struct bench *b, rd_kafka_type_t type, const char *const *settings,
                          struct delivery *d)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char text[512];
    rd_kafka_conf_set(conf, "bootstrap.servers", b->address, text, sizeof(text));
    for (int i = 0; settings != NULL && settings[i] != NULL; i += 2) {
        if (rd_kafka_conf_set(conf, settings[i], settings[i + 1], text, sizeof(text)) !=
            RD_KAFKA_CONF_OK)
            fail_msg("%s", text);
    }
    if (d != NULL) {
        rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
        rd_kafka_conf_set_opaque(conf, d);
    }
    rd_kafka_t *rk = rd_kafka_new(type, conf, text, sizeof(text));
    if (rk == NULL)
        fail_msg("%s", text);
    return rk;
}

static void send_numbers(rd_kafka_t *rk, const char *topic, int32_t partition, int n,
                         int64_t first_time)
{
    for (int i = 0; i < n; i++) {
        char value[64], key[16];
        int length = snprintf(value, sizeof(value), "value %d of many, many, many, many", i);
        snprintf(key, sizeof(key), "k%d", i);
        rd_kafka_resp_err_t r = rd_kafka_producev(
            rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition),
            RD_KAFKA_V_KEY(key, strlen(key)), RD_KAFKA_V_VALUE(value, (size_t)length),
            RD_KAFKA_V_TIMESTAMP(first_time + i), RD_KAFKA_V_HEADER("h", "x", 1),
            RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
        assert_int_equal(r, RD_KAFKA_RESP_ERR_NO_ERROR);
    }
    assert_int_equal(rd_kafka_flush(rk, WAIT_MS), RD_KAFKA_RESP_ERR_NO_ERROR);
}

// Reads a partition from `offset` to its end; returns the records read, checks keys and values.
static int read_numbers(struct bench *b, const char *topic, int32_t partition, int64_t offset,
                        int first)
{
    const char *settings[] = {"group.id",
                              "readers",
                              "enable.partition.eof",
                              "true",
                              "enable.auto.commit",
                              "false",
                              "check.crcs",
                              "true",
                              NULL};
    rd_kafka_t *rk = client(b, RD_KAFKA_CONSUMER, settings, NULL);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, partition)->offset = offset;
    assert_int_equal(rd_kafka_assign(rk, list), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_topic_partition_list_destroy(list);
    int n = 0;
    for (bool end = false; !end;) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, WAIT_MS);
        assert_non_null(m);
        if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            end = true;
        } else if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            fail_msg("%s", rd_kafka_message_errstr(m));
        } else {
            char value[64], key[16];
            snprintf(value, sizeof(value), "value %d of many, many, many, many", first + n);
            snprintf(key, sizeof(key), "k%d", first + n);
            assert_int_equal(m->len, strlen(value));
            assert_memory_equal(m->payload, value, m->len);
            assert_memory_equal(m->key, key, m->key_len);
            n++;
        }
        rd_kafka_message_destroy(m);
    }
    rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
    return n;
}

// Really compressed: librdkafka falls back silently when it misses a version. (It also leaves tiny
// batches as they are, which compression would make larger.)
static void check_codec(struct bench *b, const char *topic, int codec)
{
    struct buf bytes;
    struct broker_read info;
    struct batch_header h;
    buf_init(&bytes);
    assert_int_equal(
        broker_read(broker_partition_find(b->broker, topic, 1), 0, 1 << 20, false, &bytes, &info),
        BROKER_OK);
    int large = 0;
    for (struct slice left = buf_slice(&bytes); batch_header_parse(left, &h) == 1;
         left = slice_of(left.p + h.size, left.n - h.size)) {
        if (h.count < 20)
            continue;
        assert_int_equal(h.attributes & BATCH_CODEC, codec);
        large++;
    }
    assert_true(large > 0);
    free(info.aborted);
    buf_release(&bytes);
}

static void takes_every_codec(void **state)
{
    struct bench *b = *state;
    static const char *const codecs[] = {"none", "gzip", "snappy", "lz4", "zstd"};
    for (size_t i = 0; i < 5; i++) {
        struct delivery d = {0};
        const char *settings[] = {"compression.codec", codecs[i], "linger.ms", "50", NULL};
        char topic[32];
        snprintf(topic, sizeof(topic), "codec-%s", codecs[i]);
        rd_kafka_t *rk = client(b, RD_KAFKA_PRODUCER, settings, &d);
        send_numbers(rk, topic, 1, 500, 1000000);
        rd_kafka_destroy(rk);
        assert_int_equal(d.good, 500);
        assert_int_equal(d.last_offset, 499);
        check_codec(b, topic, (int)i);
        assert_int_equal(read_numbers(b, topic, 1, RD_KAFKA_OFFSET_BEGINNING, 0), 500);
        assert_int_equal(read_numbers(b, topic, 1, 321, 321), 179);
    }
}

static void serves_idempotent_producers(void **state)
{
    struct bench *b = *state;
    struct delivery d = {0};
    const char *settings[] = {"enable.idempotence", "true", "linger.ms", "5",
                              "batch.num.messages", "100",  NULL};
    rd_kafka_t *rk = client(b, RD_KAFKA_PRODUCER, settings, &d);
    send_numbers(rk, "idempotent", 0, 2000, 1000000);
    assert_int_equal(d.good, 2000);
    stop(b); // a restart between two batches: sequences go on
    int port = atoi(strrchr(b->address, ':') + 1);
    struct err e;
    struct broker_config config = {.dir = b->dir, .housekeeping_ms = -1, .auto_create = true};
    char listen_on[64];
    snprintf(listen_on, sizeof(listen_on), "127.0.0.1:%d", port);
    struct net_config net = {.listen = listen_on};
    if (broker_open(&config, &b->broker, &e) != 0 || net_start(b->broker, &net, &b->net, &e) != 0)
        fail_msg("%s", e.text);
    send_numbers(rk, "idempotent", 0, 1000, 2000000);
    assert_int_equal(d.good, 3000);
    assert_int_equal(d.bad, 0);
    assert_int_equal(d.last_offset, 2999);
    rd_kafka_destroy(rk);
    assert_int_equal(read_numbers(b, "idempotent", 0, 2000, 0), 1000);
}

static void finds_offsets_by_time(void **state)
{
    struct bench *b = *state;
    struct delivery d = {0};
    rd_kafka_t *rk = client(b, RD_KAFKA_PRODUCER, NULL, &d);
    send_numbers(rk, "times", 2, 100, 1000000);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(2);
    rd_kafka_topic_partition_list_add(list, "times", 2)->offset = 1000042;
    rd_kafka_topic_partition_list_add(list, "times", 3)->offset = 1000042;
    assert_int_equal(rd_kafka_offsets_for_times(rk, list, WAIT_MS), RD_KAFKA_RESP_ERR_NO_ERROR);
    assert_int_equal(list->elems[0].offset, 42);
    assert_int_equal(list->elems[1].offset, RD_KAFKA_OFFSET_END);
    rd_kafka_topic_partition_list_destroy(list);
    int64_t low, high;
    assert_int_equal(rd_kafka_query_watermark_offsets(rk, "times", 2, &low, &high, WAIT_MS),
                     RD_KAFKA_RESP_ERR_NO_ERROR);
    assert_int_equal(low, 0);
    assert_int_equal(high, 100);
    assert_int_equal(read_numbers(b, "times", 2, 42, 42), 58);
    rd_kafka_destroy(rk);
}

static void reports_metadata(void **state)
{
    struct bench *b = *state;
    rd_kafka_t *rk = client(b, RD_KAFKA_PRODUCER, NULL, NULL);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, "sprung", NULL);
    const struct rd_kafka_metadata *m;
    assert_int_equal(rd_kafka_metadata(rk, 0, topic, &m, WAIT_MS), RD_KAFKA_RESP_ERR_NO_ERROR);
    assert_int_equal(m->broker_cnt, 1);
    assert_int_equal(m->brokers[0].port, net_port(b->net));
    assert_int_equal(m->topic_cnt, 1);
    assert_int_equal(m->topics[0].err, RD_KAFKA_RESP_ERR_NO_ERROR);
    assert_int_equal(m->topics[0].partition_cnt, 4);
    assert_int_equal(m->topics[0].partitions[3].leader, m->brokers[0].id);
    rd_kafka_metadata_destroy(m);
    rd_kafka_topic_destroy(topic);
    char *cluster = rd_kafka_clusterid(rk, WAIT_MS);
    assert_string_equal(cluster, broker_cluster_id(b->broker));
    rd_kafka_mem_free(rk, cluster);
    rd_kafka_destroy(rk);
}

static rd_kafka_event_t *next_event(rd_kafka_queue_t *q, rd_kafka_event_type_t type)
{
    rd_kafka_event_t *ev = rd_kafka_queue_poll(q, WAIT_MS);
    assert_non_null(ev);
    assert_int_equal(rd_kafka_event_type(ev), type);
    assert_int_equal(rd_kafka_event_error(ev), RD_KAFKA_RESP_ERR_NO_ERROR);
    return ev;
}

static void create_topics(rd_kafka_t *rk, rd_kafka_queue_t *q)
{
    char text[256];
    rd_kafka_NewTopic_t *topics[] = {
        rd_kafka_NewTopic_new("made", 3, 3, text, sizeof(text)), // replication 3: accepted
        rd_kafka_NewTopic_new("not/made", 1, 1, text, sizeof(text)),
    };
    rd_kafka_NewTopic_set_config(topics[0], "cleanup.policy", "compact");
    rd_kafka_CreateTopics(rk, topics, 2, NULL, q);
    rd_kafka_event_t *ev = next_event(q, RD_KAFKA_EVENT_CREATETOPICS_RESULT);
    size_t n;
    const rd_kafka_topic_result_t **r =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(ev), &n);
    assert_int_equal(n, 2);
    assert_int_equal(rd_kafka_topic_result_error(r[0]), RD_KAFKA_RESP_ERR_NO_ERROR);
    assert_int_equal(rd_kafka_topic_result_error(r[1]), RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION);
    rd_kafka_event_destroy(ev);
    rd_kafka_NewTopic_destroy_array(topics, 2);
}

static void describe_topic(rd_kafka_t *rk, rd_kafka_queue_t *q)
{
    rd_kafka_ConfigResource_t *asked = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, "made");
    rd_kafka_DescribeConfigs(rk, &asked, 1, NULL, q);
    rd_kafka_event_t *ev = next_event(q, RD_KAFKA_EVENT_DESCRIBECONFIGS_RESULT);
    size_t n, entries;
    const rd_kafka_ConfigResource_t **r =
        rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(ev), &n);
    assert_int_equal(n, 1);
    assert_int_equal(rd_kafka_ConfigResource_error(r[0]), RD_KAFKA_RESP_ERR_NO_ERROR);
    const rd_kafka_ConfigEntry_t **e = rd_kafka_ConfigResource_configs(r[0], &entries);
    bool seen = false;
    for (size_t i = 0; i < entries; i++) {
        if (strcmp(rd_kafka_ConfigEntry_name(e[i]), "cleanup.policy") == 0) {
            assert_string_equal(rd_kafka_ConfigEntry_value(e[i]), "compact");
            assert_int_equal(rd_kafka_ConfigEntry_source(e[i]),
                             RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG);
            seen = true;
        }
    }
    assert_true(seen);
    rd_kafka_event_destroy(ev);
    rd_kafka_ConfigResource_destroy(asked);
}

static void delete_topic(rd_kafka_t *rk, rd_kafka_queue_t *q, rd_kafka_resp_err_t expected)
{
    rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new("made");
    rd_kafka_DeleteTopics(rk, &topic, 1, NULL, q);
    rd_kafka_event_t *ev = next_event(q, RD_KAFKA_EVENT_DELETETOPICS_RESULT);
    size_t n;
    const rd_kafka_topic_result_t **r =
        rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(ev), &n);
    assert_int_equal(n, 1);
    assert_int_equal(rd_kafka_topic_result_error(r[0]), expected);
    rd_kafka_event_destroy(ev);
    rd_kafka_DeleteTopic_destroy(topic);
}

static void serves_admins(void **state)
{
    struct bench *b = *state;
    rd_kafka_t *rk = client(b, RD_KAFKA_PRODUCER, NULL, NULL);
    rd_kafka_queue_t *q = rd_kafka_queue_new(rk);
    create_topics(rk, q);
    describe_topic(rk, q);
    delete_topic(rk, q, RD_KAFKA_RESP_ERR_NO_ERROR);
    delete_topic(rk, q, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    rd_kafka_queue_destroy(q);
    rd_kafka_destroy(rk);
}

static void *send_later(void *arg)
{
    struct bench *b = arg;
    struct delivery d = {0};
    rd_kafka_t *rk = client(b, RD_KAFKA_PRODUCER, NULL, &d);
    send_numbers(rk, "poll", 0, 1, 1000);
    rd_kafka_destroy(rk);
    return NULL;
}

// A waiting consumer gets a record although its fetch may wait for minutes: only a wake by
// the commit can deliver it.
static void wakes_long_polls(void **state)
{
    struct bench *b = *state;
    struct broker_topic_config config = broker_topic_config_default(b->broker);
    struct err e;
    assert_int_equal(broker_topic_create(b->broker, "poll", 1, &config, &e), BROKER_OK);
    const char *settings[] = {"group.id",
                              "g",
                              "fetch.wait.max.ms",
                              "250000",
                              "socket.timeout.ms",
                              "300000",
                              "enable.partition.eof",
                              "true",
                              NULL};
    rd_kafka_t *rk = client(b, RD_KAFKA_CONSUMER, settings, NULL);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, "poll", 0)->offset = 0;
    assert_int_equal(rd_kafka_assign(rk, list), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_topic_partition_list_destroy(list);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, send_later, b), 0);
    bool got = false;
    while (!got) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, WAIT_MS);
        assert_non_null(m);
        got = m->err == RD_KAFKA_RESP_ERR_NO_ERROR;
        rd_kafka_message_destroy(m);
    }
    pthread_join(thread, NULL);
    rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
}

// --- raw sockets --------------------------------------------------------------------------------

static int dial(struct bench *b)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(net_port(b->net)),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

static void expect_close(int fd)
{
    uint8_t byte;
    assert_true(recv(fd, &byte, 1, 0) <= 0);
    close(fd);
}

static void closes_on_nonsense(void **state)
{
    struct bench *b = *state;
    static const char *const nonsense[] = {
        "GET / HTTP/1.1\r\n\r\n", // a size beyond the limit
        "\xff\xff\xff\xff",       // a negative one
    };
    for (size_t i = 0; i < 2; i++) {
        int fd = dial(b);
        size_t n = strlen(nonsense[i]);
        assert_int_equal(send(fd, nonsense[i], n, MSG_NOSIGNAL), n);
        expect_close(fd);
    }
    int fd = dial(b); // an api key nobody knows
    assert_int_equal(send(fd, "\0\0\0\x0a\x27\x0f\0\0\0\0\0\1\xff\xff", 14, MSG_NOSIGNAL), 14);
    expect_close(fd);
}

static void answers_pipelined_requests_in_order(void **state)
{
    struct bench *b = *state;
    enum { REQUESTS = 200 };
    uint8_t bytes[REQUESTS][14]; // ApiVersions 0
    for (int i = 0; i < REQUESTS; i++) {
        memcpy(bytes[i], "\0\0\0\x0a\0\x12\0\0\0\0\0\0\xff\xff", 14);
        bytes[i][11] = (uint8_t)i;
    }
    int fd = dial(b);
    for (size_t at = 0; at < sizeof(bytes); at += 7) // torn at every odd place
        assert_int_equal(send(fd, (uint8_t *)bytes + at, 7, MSG_NOSIGNAL), 7);
    for (int i = 0; i < REQUESTS; i++) {
        uint8_t head[8];
        static uint8_t body[4096];
        assert_int_equal(recv(fd, head, 8, MSG_WAITALL), 8);
        uint32_t size = bytes_get32(head) - 4;
        assert_true(size <= sizeof(body));
        assert_int_equal(bytes_get32(head + 4), i);
        assert_int_equal(recv(fd, body, size, MSG_WAITALL), size);
    }
    close(fd);
}

static void writes_its_address(void **state)
{
    struct bench *b = *state;
    char path[128], line[128] = "";
    snprintf(path, sizeof(path), "%s/broker.addr", b->dir);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof(line), f));
    fclose(f);
    line[strcspn(line, "\n")] = 0;
    assert_string_equal(line, b->address);
    stop(b);
    assert_int_equal(access(path, F_OK), -1);
    start(b);
}

static void refuses_bad_addresses(void **state)
{
    struct bench *b = *state;
    struct err e;
    struct net *net;
    struct net_config config = {.listen = "nowhere"};
    assert_int_equal(net_start(b->broker, &config, &net, &e), -1);
    assert_non_null(strstr(e.text, "HOST:PORT"));
    config.listen = b->address; // taken by ourselves
    assert_int_equal(net_start(b->broker, &config, &net, &e), -1);
    assert_non_null(strstr(e.text, "taken"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(takes_every_codec),     TEST(serves_idempotent_producers),
        TEST(finds_offsets_by_time), TEST(reports_metadata),
        TEST(serves_admins),         TEST(wakes_long_polls),
        TEST(closes_on_nonsense),    TEST(answers_pipelined_requests_in_order),
        TEST(writes_its_address),    TEST(refuses_bad_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
