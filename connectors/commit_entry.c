// SPDX-License-Identifier: Apache-2.0
#include "connectors/commit_entry.h"

#include "connectors/json_map.h"
#include "formats/value.h"

#include <inttypes.h>

static void put_file(const struct sink_file *f, struct buf *out)
{
    buf_str(out, "\n  {\"name\":");
    value_json_string(slice_str(f->name), out);
    buf_printf(out,
               ",\"rows\":%" PRId64 ",\"bytes\":%" PRId64 ",\"crc32\":\"%08x\","
               "\"first_offset\":%" PRId64 ",\"last_offset\":%" PRId64 ",\"min_time\":%" PRId64
               ",\"max_time\":%" PRId64 "}",
               f->rows, f->bytes, f->crc32, f->first_offset, f->last_offset, f->min_time,
               f->max_time);
}

void commit_entry_encode(const struct commit_entry *c, struct buf *out)
{
    buf_printf(out, "{\"version\":1,\"number\":%" PRId64 ",\"opening\":%" PRId64 ",\n\"topic\":",
               c->number, c->opening);
    value_json_string(slice_str(c->topic), out);
    buf_str(out, ",\"topic_id\":\"");
    for (int i = 0; i < 16; i++)
        buf_printf(out, "%02x", c->topic_id[i]);
    buf_printf(out, "\",\"partition\":%d,\"format\":", c->partition);
    value_json_string(slice_str(c->format), out);
    buf_printf(out, ",\n\"next_offset\":%" PRId64 ",\"next_row\":%" PRId64 ",\n\"files\":[",
               c->next_offset, c->next_row);
    for (uint32_t i = 0; i < c->files_count; i++) {
        if (i > 0)
            buf_u8(out, ',');
        put_file(&c->files[i], out);
    }
    buf_str(out, "]}\n");
}

static bool get_id(const struct value *map, uint8_t id[16])
{
    char text[33];
    if (!json_map_text(map, "topic_id", text, sizeof text) || strlen(text) != 32)
        return false;
    for (int i = 0; i < 16; i++) {
        unsigned byte;
        if (sscanf(text + 2 * i, "%2x", &byte) != 1)
            return false;
        id[i] = (uint8_t)byte;
    }
    return true;
}

static bool get_file(const struct value *v, struct sink_file *f)
{
    uint64_t crc;
    memset(f, 0, sizeof *f);
    if (!json_map_text(v, "name", f->name, sizeof f->name) || strchr(f->name, '/') != NULL ||
        !json_map_hex(v, "crc32", &crc) || crc > UINT32_MAX)
        return false;
    f->crc32 = (uint32_t)crc;
    return json_map_int(v, "rows", &f->rows) && json_map_int(v, "bytes", &f->bytes) &&
           json_map_int(v, "first_offset", &f->first_offset) &&
           json_map_int(v, "last_offset", &f->last_offset) &&
           json_map_int(v, "min_time", &f->min_time) && json_map_int(v, "max_time", &f->max_time);
}

static bool get_entry(const struct value *v, struct commit_entry *c)
{
    int64_t version, partition;
    const struct value *files = json_map_get(v, "files");
    if (!json_map_int(v, "version", &version) || version != 1 ||
        !json_map_int(v, "number", &c->number) || !json_map_int(v, "opening", &c->opening) ||
        !json_map_text(v, "topic", c->topic, sizeof c->topic) || !get_id(v, c->topic_id) ||
        !json_map_int(v, "partition", &partition) ||
        !json_map_text(v, "format", c->format, sizeof c->format) ||
        !json_map_int(v, "next_offset", &c->next_offset) ||
        !json_map_int(v, "next_row", &c->next_row) || files == NULL || files->type != VALUE_LIST)
        return false;
    c->partition = (int32_t)partition;
    c->files = check_alloc(calloc(files->count + 1, sizeof *c->files));
    for (c->files_count = 0; c->files_count < files->count; c->files_count++)
        if (!get_file(&files->items[c->files_count], &c->files[c->files_count]))
            return false;
    return true;
}

int commit_entry_decode(struct slice json, struct commit_entry *out, struct err *e)
{
    struct arena a;
    struct value v;
    arena_init(&a);
    memset(out, 0, sizeof *out);
    int rc = json_map_parse(json, &a, &v, e);
    if (rc == 0 && !get_entry(&v, out))
        rc = err_set(e, ERR_CORRUPT, "a member is missing or of the wrong type");
    if (rc != 0) {
        commit_entry_release(out);
        e->code = ERR_CORRUPT;
        err_wrap(e, "not a commit entry of this version");
    }
    arena_release(&a);
    return rc;
}

void commit_entry_release(struct commit_entry *c)
{
    free(c->files);
    c->files = NULL;
}
